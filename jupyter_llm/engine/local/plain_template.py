"""A dialogue in plain words: the chat template of models that have none, or none that works."""

SOURCE = (
    "{% for message in messages %}{% if message.role == 'user' %}User: "
    "{% elif message.role == 'assistant' %}Assistant: {% endif %}{{ message.content | trim }}\n\n"
    "{% endfor %}Assistant:"
)

TURNS = ("User:", "Assistant:")
"""What begins a turn. A model that only continues texts may leave its own empty."""

STOPS = tuple(f"{blank}{turn}" for blank in ("\n\n", "\n") for turn in TURNS)
"""Where the answer is over: such a model writes the next turns, too."""
