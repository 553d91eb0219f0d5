"""Discrete-event simulation of a fleet, with the very classes that balance. Read engine.py first.

    from lab.simulate import Scenario, simulate
    result = simulate(Scenario(load=0.9), "least_connections", seed=1)
    result.latency_ms[result.measured]

scenario.py what is simulated · workload.py the requests · nodes.py how a node works · balancer.py, knowledge.py what a
balancer does and knows · engine.py the event loop · bounds.py what no balancer can beat · runs.py many seeds on many
processors · figures.py ratios and intervals · table.py, plot.py for people · experiments/ the published tables
"""

from lab import tools

tools.need("numpy", "matplotlib")

from lab.simulate.result import Result, simulate
from lab.simulate.scenario import Scenario

__all__ = ["Result", "Scenario", "simulate"]
