"""Masks: the tokens that may come next in an answer with a shape."""
