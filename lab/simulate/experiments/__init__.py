"""Published tables, set up anew: one file each."""

from lab.simulate.experiments.base import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
