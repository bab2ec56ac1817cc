"""Measurements and trials of a model on this machine; most results are remembered."""
