"""Chats as Markdown to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.question import asked_in
from jupyter_llm.chat.store import SavedChat
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.markdown import Markdown, joined_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import Completion

ENDS = {
    "cancelled": "(interrupted)",
    "length": "(cut off)",
    "error": "(failed)",
    "repetition": "(stopped: it repeated itself)",
}


def to_markdown(chats: Mapping[str, SavedChat], *, title: str = "Chats") -> str:
    """Return chats as a transcript that is safe to show anywhere."""
    parts = [f"# {one_line(title)}"]
    for chat in chats.values():
        parts.append(f"## {one_line(chat.name)}")
        if chat.state.system:
            parts.append(f"System text:\n\n{_quoted(chat.state.system)}")
        parts += _turns(chat, has_details=True)
    return f"{joined_markdown(parts)}\n"


def chat_markdown(chat: SavedChat) -> Markdown:
    """Return the turns of one chat, numbered, as Markdown that is safe to show."""
    return joined_markdown(_turns(chat, has_details=False))


def _turns(chat: SavedChat, *, has_details: bool) -> Iterator[str]:
    if chat.num_dropped:
        yield f"({count_of(chat.num_dropped, 'older turn')} not kept any more, for want of room)"
    for number, turn in enumerate(chat.turns, chat.num_dropped + 1):
        details = f", {_details(turn)}" if has_details else ""
        yield turn_markdown(number, turn.prompt, turn.completion, turn.by, details)
    if chat.num_other_branches:
        yield f"({other_branches(chat.num_other_branches)} of this chat not shown)"


def turn_markdown(
    number: int, prompt: str, answer: Completion, by: str = "", details: str = ""
) -> str:
    """Return one turn as Markdown, to be taken for untrusted, with the names of person and model.

    `by` is empty where only one person can have asked.
    """
    person, model = one_line(by) or "You", one_line(answer.model) or "Model"
    end = ENDS.get(answer.finish_reason)
    thought = f"({answer.thought})" if answer.reasoning else ""
    text = "\n\n".join(filter(None, (thought, answer.markdown, end)))
    asked = f"**{number}. {person}:**\n\n{_quoted(asked_in(prompt))}"
    return f"{asked}\n\n**{model}**{details}:\n\n{text}"


def _details(turn: Turn) -> str:
    completion = turn.completion
    seed = [] if completion.seed is None else [f"seed {completion.seed}"]
    return ", ".join([date_of(turn.finished_at), *seed])


def date_of(when: float) -> str:
    """Return when a turn was finished, in local time with its zone."""
    date = datetime.fromtimestamp(when, UTC).astimezone()
    return f"{date:%Y-%m-%d %H:%M %z}"


def other_branches(number: int) -> str:
    """Return a number of other branches in words."""
    return count_of(number, "other branch", "other branches")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
