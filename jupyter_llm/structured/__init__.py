"""Answers with a shape: one prompt, or one for a whole column."""
