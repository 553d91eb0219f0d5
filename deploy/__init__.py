"""Putting a fleet on its hosts and keeping it running: Supervisor on one machine, Fabric on many."""
