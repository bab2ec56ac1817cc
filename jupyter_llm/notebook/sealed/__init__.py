"""Code that is tried in a copy of the kernel, where it can change nothing."""
