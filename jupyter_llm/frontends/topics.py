"""The help by topics: one Markdown file each, for every front end and the README."""

from __future__ import annotations

from pathlib import Path

from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.errors import MagicUsageError

_FOLDER = Path(__file__).parents[1] / "help"


def topics() -> list[str]:
    """Return the names of all topics."""
    return sorted(path.stem for path in _FOLDER.glob("*.md"))


def topic(name: str) -> str:
    """Return a topic's text; `MagicUsageError` names the nearest topic if there is none."""
    if (wanted := name.lower()) not in topics():
        hint = nearest(wanted, topics(), f"There are {', '.join(topics())}.")
        raise MagicUsageError(f"There is no help about {name[:40]!r}.", hint)
    return (_FOLDER / f"{wanted}.md").read_text(encoding="utf-8")


def topic_table() -> str:
    """Return the topics with their first lines, as a Markdown table."""
    titles = [(f"`/help {name}`", topic(name).partition("\n")[0][2:]) for name in topics()]
    return markdown_table(("topic", ""), titles)
