"""Reading and repairing Python, valid or not."""
