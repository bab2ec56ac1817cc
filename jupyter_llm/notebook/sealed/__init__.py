"""A copy of the kernel in which code is tried, and that can change nothing."""
