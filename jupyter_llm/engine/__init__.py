"""Runs a model: takes requests, returns tokens."""
