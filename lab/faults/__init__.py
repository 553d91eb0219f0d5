"""The fault table: break something under load, take it back, and say what clients saw. `python -m lab.faults --help`.

    16 kept clients ──► fairlead │ haproxy │ nginx ──► 3 nodes that misbehave when they are told to
      load.py             balancers.py                   node.py (told over a pipe of its own, not over HTTP)

    of_nodes.py, of_balancer.py, of_clients.py ─► registry.py ─► stage.py ─► rows.py ─► table.py
    what is broken, and what is promised           all of them    one fault    counted    for people

Every fault has a stage of its own: fresh nodes, a fresh balancer, a fresh load. Where the targets come from and what
was measured: docs/faults.md.
"""
