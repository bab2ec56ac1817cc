"""Parsing of typed prompts and commands, for all front ends."""
