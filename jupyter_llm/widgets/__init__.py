"""The chat panel: a widget that talks to the resident model."""
