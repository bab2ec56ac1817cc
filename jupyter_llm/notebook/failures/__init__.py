"""What went wrong, and where."""
