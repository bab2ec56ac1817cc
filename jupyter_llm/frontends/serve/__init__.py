"""Serves the resident models to other programs on this machine."""
