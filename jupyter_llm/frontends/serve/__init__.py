"""The resident models, served to other programs of this machine by OpenAI's protocol."""
