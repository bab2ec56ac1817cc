"""Summaries of variables for prompts, and the secrets that these mask."""
