"""Finds, describes and downloads models: from a name to a GGUF file that can be trusted."""
