"""The notebook: cells that ran, variables, failures, and the origin of its texts."""
