"""From prompts to tokens, and from tokens back to text."""
