"""Which algorithm is faster on this fleet, by how much, and how sure is that? `python -m lab.compare_algorithms -h`.

    calibrate.py ─► design.py ─► experiment.py ─► statistics.py ─► result.py ─► report.py
    how much the    which arms,   switch, drain,   ratios with      comparison    one HTML
    fleet takes     which order   send, note       intervals        .json, CSV    page

Every algorithm is given the same seeded schedules in randomized blocks, one of them twice (A/A): when the comparison
finds a difference between an algorithm and itself, it must not be believed. How to read it: docs/compare.md.
"""

from lab import tools

tools.need("numpy", "hdrh")
