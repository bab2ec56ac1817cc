"""A model that llama.cpp runs: weights, contexts, memory and threads."""
