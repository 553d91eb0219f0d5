"""The side-by-side bench: this balancer and others, same nodes, same load, one run. `python -m lab.bench --help`.

    CPU 0                                CPU 1
    fairlead │ haproxy │ nginx │ naive   wrk, one nginx that plays all nodes, the bench itself

    scenarios.py ─► balancers.py ─► processes.py ─► load.py ─► measure.py ─► table.py
    what is asked   who is asked    on which CPU    wrk        one row each   for people

The measure is requests per CPU second of the balancer's own processes: it does not depend on whether the balancer or
the load generator is the first to have enough. How to read it, and what it came to: docs/performance.md.
"""
