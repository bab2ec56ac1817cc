"""The texts that the workloads are made of.

Raw ChatML where nothing else is said. Token counts are SmolLM2's.
"""

from __future__ import annotations

SYSTEM_TEXT = "You are the assistant of a data notebook."
SYSTEM = f"<|im_start|>system\n{SYSTEM_TEXT}<|im_end|>\n"


def question(text: str) -> str:
    """Return a user's turn in ChatML, with the assistant's opened."""
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def notebook(topic: str, num_cells: int) -> str:
    """Write a notebook of about 51 tokens a cell; topics share no cell."""
    return "\n".join(
        f"## In [{i}]\n"
        f"{topic}_{i} = pd.read_csv('{topic}-{i}.csv')\n"
        f"print({topic}_{i}['price'].sum())\n"
        f"## Out [{i}]\n"
        f"{(i * 7919) % 1000}.{i % 10}"
        for i in range(num_cells)
    )


def long_notebook(topic: str) -> str:
    """Open a prompt with a notebook of about 1,600 tokens; the question is still to come."""
    return f"{SYSTEM}<|im_start|>user\nMy notebook up to here:\n{notebook(topic, 32)}\n"


CLOSING = "What does the last cell print?<|im_end|>\n<|im_start|>assistant\n"

GREETING = SYSTEM + question("hi")
TALE = SYSTEM + question("Write a long tale about a clockmaker and the sea.")


DESKS = (
    ("a lost badge", "the front desk", "today"),
    ("a broken lamp", "the electricians", "this week"),
    ("water on the floor", "the plumbers", "at once"),
    ("a slow computer", "the service desk", "this week"),
    ("a cold room", "the heating team", "today"),
    ("a missing parcel", "the mail room", "today"),
    ("a wrong invoice", "the accountants", "this month"),
    ("a stuck door", "the locksmith", "at once"),
    ("a noisy fan", "the heating team", "this week"),
    ("a full bin", "the cleaners", "today"),
    ("an empty printer", "the service desk", "today"),
    ("a dead plant", "the gardeners", "this month"),
)
INSTRUCTION = (
    SYSTEM
    + "<|im_start|>user\nYou sort the tickets of an office building. Say in one sentence which "
    "desk a ticket goes to and how soon somebody has to look at it. These are the rules:\n"
    + "".join(
        f"- Whoever reports {what} is sent to {desk}, who come {when}.\n"
        for what, desk, when in DESKS
    )
    + "Where no rule fits, the ticket goes to the front desk.\n"
)


def map_rows(num_rows: int) -> list[str]:
    """Write rows of about 26 tokens of their own after a shared instruction of about 300."""
    return [
        f"{INSTRUCTION}Ticket {i}: in room {i * 13 % 400} there is {DESKS[i % 12][0]}, since "
        f"{i % 9} days now.<|im_end|>\n<|im_start|>assistant\n"
        for i in range(num_rows)
    ]


_PASSAGE = (
    "Anna keeps the weather station on the hill above the harbour. Every morning at six she walks "
    "up the narrow path, reads the thermometer, empties the rain gauge and writes both figures "
    "into a green notebook. In winter the path is covered with ice, and she takes the long way "
    "round past the chapel. The station was built in 1911 by a retired sea captain who did not "
    "trust the forecasts of the city. His instruments are still there: a brass barometer, a wind "
    "vane in the shape of a whale, and a clock that is four minutes slow. Anna sends her figures "
    "to the institute at the end of each month. Nobody there has ever asked who she is, but once "
    "a year a small parcel arrives with a new notebook and three sharpened pencils."
)
# The first words of the copy are given, since so small a model would not begin it by itself. It
# copies the rest but for a few words.
EDITING = (
    "Repeat the text between the lines word for word, but write Maria instead of Anna.\n"
    f"---\n{_PASSAGE}\n---\n"
    "Here is the text with Maria:\n---\nMaria keeps the weather station on the hill"
)
TOPICS = ("weather", "budget", "traffic", "energy", "health", "music")
