"""Where `fab` looks first, so that it works from the project's folder. The tasks are in deploy/fabfile.py."""

from deploy.fabfile import namespace

__all__ = ["namespace"]
