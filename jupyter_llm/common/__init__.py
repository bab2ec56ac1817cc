"""Helpers that know no model, notebook or chat."""
