"""Python that need not be valid."""
