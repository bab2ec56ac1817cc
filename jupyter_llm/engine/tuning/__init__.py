"""Which settings run a model file fastest on this machine."""
