"""Front ends: they parse input, call the API, and show results."""
