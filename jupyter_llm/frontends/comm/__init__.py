"""A chat over a comm, whatever the host."""
