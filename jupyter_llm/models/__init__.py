"""WHICH model: from names to GGUF files that can be trusted."""
