"""Imports what its argument names; for the test of the blocker."""

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(sys.argv[1])
