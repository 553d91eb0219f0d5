"""The open-loop load generator. `python -m lab.load --help`.

    workload.py ─► schedule.py ─► generator.py ─► records.py ─► summary.py
    what is asked   when, what     sends it         one row        figures, and
    for             and how long                    a request      whether to believe them

Open loop: requests leave when the schedule says so, whether or not the answers to earlier ones are there, as the
requests of many independent people do. A closed loop (wrk, most uses of Locust) waits for a slow server and so hides
how slow it is. Latency counts from the moment at which a request was to be sent.
"""

from lab import tools

tools.need("numpy", "hdrh")
