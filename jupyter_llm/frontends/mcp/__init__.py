"""What agents of others are told of the notebook, and may try in a copy of it; by MCP."""
