"""KNOW the notebook: what ran, what is defined, what failed, and who wrote what."""
