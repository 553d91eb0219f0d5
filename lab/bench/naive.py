"""The balancer that everybody writes first: Flask takes the request, `requests` sends it on, whole bodies in memory.

It is here to be measured against. Run by gunicorn's gevent worker; NAIVE_NODES is "host:port,host:port".
"""

import itertools
import os

import requests
from flask import Flask, Response, request

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "content-encoding"}

application = Flask(__name__)
turns = itertools.cycle(os.environ.get("NAIVE_NODES", "").split(","))


@application.route("/", defaults={"path": ""}, methods=METHODS)
@application.route("/<path:path>", methods=METHODS)
def forward(path: str) -> Response:
    """One request to the node whose turn it is."""
    headers = {name: value for name, value in request.headers if name.lower() != "host"}
    headers["X-Forwarded-For"] = request.remote_addr or ""
    answer = requests.request(
        request.method, f"http://{next(turns)}/{path}", params=list(request.args.items(multi=True)),
        headers=headers, data=request.get_data(), allow_redirects=False, timeout=30,
    )  # fmt: skip
    fields = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
    return Response(answer.content, answer.status_code, fields)
