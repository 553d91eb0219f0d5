"""Published tables, set up anew: one file each."""

from lab.simulate.experiments.base import Experiment
from lab.simulate.experiments.policies import POLICIES
from lab.simulate.experiments.prequal import PREQUAL_6, PREQUAL_7

EXPERIMENTS: dict[str, Experiment] = {"policies": POLICIES, "prequal-6": PREQUAL_6, "prequal-7": PREQUAL_7}
