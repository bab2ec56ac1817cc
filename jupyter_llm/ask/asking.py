"""Sends requests to an engine, by the rules of who asks: the one place that calls `submit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from jupyter_llm.engine.request import Priority

if TYPE_CHECKING:
    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.engine.base import BulkEngine, Stream
    from jupyter_llm.engine.request import Request

Origin = Literal["cell", "chat", "task", "draft", "row", "ghost", "unasked", "guest", "again"]
"""Who asks: code in a cell, a chat, a task about the notebook, one of several drafts, a row of a
column, ghost text, nobody (ghost text in an empty cell), another program, or whoever has an earlier
answer written or read again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The priority of an origin's requests, and what is stored of its answers.

    `priority`: None leaves that of the request. `is_logged`: the answer is logged for `/verify`,
    and its prompt is stored. `is_private`: nothing is written to the disk; a request of any origin
    may be private.
    """

    priority: Priority | None
    is_logged: bool = False
    is_private: bool = False


RULES: dict[Origin, Rule] = {
    "cell": Rule(Priority.CHAT, is_logged=True),
    "chat": Rule(Priority.CHAT, is_logged=True),
    "task": Rule(Priority.CHAT, is_logged=True),
    "draft": Rule(Priority.CHAT),  # whoever takes a draft logs that one
    "row": Rule(Priority.BULK),  # `columns.kept` stores the answers of rows
    "ghost": Rule(Priority.GHOST),
    "unasked": Rule(Priority.BACKGROUND),  # any other request ends it
    "guest": Rule(Priority.GUEST, is_private=True),
    "again": Rule(None),
}


def ask(
    engine: BulkEngine, request: Request, origin: Origin, log: AnswerLog | None = None
) -> Stream:
    """Let an engine answer a request; an origin that is logged needs the log."""
    rule = RULES[origin]
    priority = request.priority if rule.priority is None else rule.priority
    is_private = request.is_private or rule.is_private
    request = replace(request, priority=priority, is_private=is_private)
    stream = engine.submit(request)
    if rule.is_logged:
        assert log is not None
        log.log(request, stream.future)
    return stream
