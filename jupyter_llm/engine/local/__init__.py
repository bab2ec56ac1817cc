"""All that is llama.cpp."""
