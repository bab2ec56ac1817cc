"""Which tokens may come next in an answer with a shape."""
