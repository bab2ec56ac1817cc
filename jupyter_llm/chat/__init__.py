"""TALK: chats, the context that their prompts include, and what is stored of them."""
