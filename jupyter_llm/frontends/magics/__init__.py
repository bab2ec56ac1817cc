"""The magics `%llm` and `%%llm`."""
