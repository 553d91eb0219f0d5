"""The browser page: shows and steers the fleet. Speaks to balancers over their control API only."""
