"""Decides which sequence runs when, and draws or judges its tokens; imports no llama.cpp."""
