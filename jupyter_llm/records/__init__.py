"""Records of answers: which model wrote a text, and whether it does so again."""
