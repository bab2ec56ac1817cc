"""Cells of the notebook, and their runs."""
