"""What keeps a host's programs alive where Supervisor does not run: on Windows.

`python -m deploy.keeper start | stop | status | run`. program.py says when to start and when to wait (pure), child.py
is the process, keeper.py keeps all of them, local_api.py answers and client.py asks. Nothing here needs Linux.
"""
