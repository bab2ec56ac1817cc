"""A dialogue in plain words: the chat template of models that have none, or none that works."""

SOURCE = (
    "{% for message in messages %}{% if message.role == 'user' %}User: "
    "{% elif message.role == 'assistant' %}Assistant: {% endif %}{{ message.content | trim }}\n\n"
    "{% endfor %}Assistant:"
)

STOPS = ("\n\nUser:", "\n\nAssistant:", "\nUser:", "\nAssistant:")
"""Where the answer is over: a model that only continues texts writes the next turns, too."""
