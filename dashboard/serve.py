"""The dashboard without gunicorn: `python -m dashboard.serve`. For Windows; see cluster/serving/wsgi.py."""

from gevent import monkey

monkey.patch_all()

import sys

from cluster import load, paths
from cluster.config import Dashboard
from cluster.errors import FairleadError
from cluster.serving import wsgi

GRACE_S = 3.0

if __name__ == "__main__":
    try:
        port = (load.load(paths.config_file()).dashboard or Dashboard()).port
        from dashboard.app import dashboard  # made by its __getattr__

        dashboard.start()
        wsgi.serve(dashboard.app, port, GRACE_S, leaving=dashboard.stop)
    except FairleadError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"dashboard: {error}")
