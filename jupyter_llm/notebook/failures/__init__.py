"""Errors of cells: their places, causes and mends."""
