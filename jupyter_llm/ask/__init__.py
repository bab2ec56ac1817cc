"""ASK: one question, the shape of its answer, and what a model answered."""
