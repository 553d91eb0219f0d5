"""The side-by-side bench: this balancer and others, same nodes, same load, one run. `python -m lab.bench --help`.

    CPU 0                                CPU 1
    fairlead │ haproxy │ nginx │ envoy   wrk, one nginx that plays all nodes, the bench itself
             │ caddy │ naive

    scenarios.py ─► balancers.py, peers.py ─► processes.py ─► load.py ─► rows.py ─► table.py
    what is asked   who is asked              on which CPU    wrk        one each   for people

The measure is requests per CPU second of the balancer's own processes: it does not depend on whether the balancer or
the load generator is the first to have enough. How to read it, and what it came to: docs/performance.md.
"""
