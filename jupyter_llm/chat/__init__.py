"""TALK: conversations, what they tell the model and what is kept of them."""
