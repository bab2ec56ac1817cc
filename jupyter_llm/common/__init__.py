"""What knows no model, notebook or chat."""
