"""A node without gunicorn: `FAIRLEAD_NODE=l1 python -m node.serve`. For Windows; see cluster/serving/wsgi.py."""

from gevent import monkey

monkey.patch_all()

import sys

from cluster.errors import FairleadError
from cluster.serving import wsgi
from node import settings

GRACE_S = 10.0

if __name__ == "__main__":
    try:
        from node.app import application  # made by its __getattr__

        wsgi.serve(application, settings.this_node().port, GRACE_S)
    except FairleadError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"node: {error}")
