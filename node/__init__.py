"""The backends: simulated nodes that do real, measurable, breakable work. They meet the balancer only over HTTP."""
