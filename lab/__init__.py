"""Trying and measuring: nothing here is needed to run a fleet."""
