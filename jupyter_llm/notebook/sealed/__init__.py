"""A sealed copy of the kernel, in which code is tried and can change nothing outside."""
