"""Serving a program without gunicorn. The one part of `cluster` that needs gevent: nothing else in it may."""
