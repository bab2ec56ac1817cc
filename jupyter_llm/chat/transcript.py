"""Chats as something to read or to take along: Markdown, JSON, the metadata of a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_llm.chat.saved import SavedChat, SavedTurn
from jupyter_llm.chat.saved_json import chats_to_json
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.markdown import joined_markdown, untrusted_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import Completion
from jupyter_llm.notebook.files import write_metadata

_ENDS = {"cancelled": "(interrupted)", "length": "(cut off)", "error": "(failed)"}


def to_markdown(chats: Mapping[str, SavedChat], *, title: str = "Chats") -> str:
    """Return chats as a transcript that is safe to show anywhere."""
    parts = [f"# {one_line(title)}"]
    for chat in chats.values():
        parts.append(f"## {one_line(chat.name)}")
        if chat.system:
            parts.append(untrusted_markdown(f"System text:\n\n{_quoted(chat.system)}"))
        parts += _turns(chat, has_details=True)
    # Once more, since a formula might begin in one turn and end in another.
    return untrusted_markdown("\n\n".join(parts)) + "\n"


def chat_markdown(chat: SavedChat) -> str:
    """Return the turns of one chat, numbered, as Markdown that is safe to show."""
    return joined_markdown(_turns(chat, has_details=False))


def _turns(chat: SavedChat, *, has_details: bool) -> Iterator[str]:
    if chat.num_dropped:
        yield f"({count_of(chat.num_dropped, 'older turn')} not kept any more, for want of room)"
    for number, turn in enumerate(chat.turns, chat.num_dropped + 1):
        details = f" {_details(turn)}" if has_details else ""
        yield turn_markdown(number, turn.prompt, turn.completion, details)
    if chat.num_other_branches:
        yield f"({other_branches(chat.num_other_branches)} of this chat not shown)"


def turn_markdown(number: int, prompt: str, answer: Completion, details: str = "") -> str:
    """Return one turn as Markdown that is safe to show.

    An answer that was cut off in a code block does not swallow what comes after it.
    """
    end = _ENDS.get(answer.finish_reason)
    text = "\n\n".join([answer.text, *([end] if end else [])])
    return untrusted_markdown(f"**{number}.**{details}\n\n{_quoted(prompt)}\n\n{text}")


def _details(turn: SavedTurn) -> str:
    completion = turn.completion
    seed = [] if completion.seed is None else [f"seed {completion.seed}"]
    return ", ".join([date_of(turn), one_line(completion.model), *seed])


def date_of(turn: SavedTurn) -> str:
    """Return when a turn was finished, by the clock here; its zone goes along on journeys."""
    when = datetime.fromtimestamp(turn.finished_at, UTC).astimezone()
    return f"{when:%Y-%m-%d %H:%M %z}"


def other_branches(number: int) -> str:
    """Return a number of branches beside the active one in words."""
    return count_of(number, "other branch", "other branches")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def to_json(chats: Mapping[str, SavedChat]) -> str:
    """Return chats as JSON, in the form that `portable` leaves."""
    return json.dumps({"chats": _record(chats)}, indent=1) + "\n"


def portable(chat: SavedChat) -> SavedChat:
    """Return the words of a chat alone, as they go from hand to hand.

    What went along with the prompts stays here: it is not what the user chose to show. So do the
    tokens, which could say something else than the words beside them if somebody else wrote them.
    """
    turns = (
        replace(
            turn,
            completion=replace(turn.completion, token_ids=None),
            sent=None,
            told=None,
            number=0,
            parent=None,
        )
        for turn in chat.turns
    )
    return replace(chat, turns=tuple(turns), state=None)


def into_notebook(notebook: Path, chats: Mapping[str, SavedChat]) -> None:
    """Write chats into the metadata of a notebook file.

    They are as `portable` leaves them, and replace those that are there. Nothing else of the file
    changes; whoever has it open must load it again.

    Raises
    ------
    NotebookFileError
        The file cannot be read or written, or is no valid notebook; nothing changed.
    """
    write_metadata(notebook, ("jupyter_llm", "chats"), _record(chats))


def _record(chats: Mapping[str, SavedChat]) -> dict[str, Any]:
    return chats_to_json({name: portable(chat) for name, chat in chats.items()})
