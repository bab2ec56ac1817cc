"""Tools by which agents read the notebook, and try code in a copy of it; by MCP."""
