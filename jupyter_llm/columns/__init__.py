"""ONE QUESTION A ROW: columns, functions and operators."""
