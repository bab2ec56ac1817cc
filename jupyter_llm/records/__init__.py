"""PROVE: which model wrote what, and whether it does so again."""
