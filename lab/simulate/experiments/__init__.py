"""Published tables, set up anew: one file each."""

from lab.simulate.experiments.base import Experiment
from lab.simulate.experiments.policies import POLICIES

EXPERIMENTS: dict[str, Experiment] = {"policies": POLICIES}
