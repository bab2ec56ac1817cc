"""HAVE IT DONE: what the model is asked to do with code, and what becomes of its answer."""
