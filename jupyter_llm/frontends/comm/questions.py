"""What a front end wants to know without changing anything of the chat; each asks on a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import NoNotebookError
from jupyter_llm.frontends.comm.code import check, prepare
from jupyter_llm.frontends.comm.messages import (
    Check,
    Checked,
    Complete,
    Describe,
    Description,
    Land,
    Landed,
    Prepare,
    Prepared,
)
from jupyter_llm.frontends.comm.suggestions import description, suggestions
from jupyter_llm.notebook.cells.shell import current_shell
from jupyter_llm.notebook.code.landing import LaterInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.frontends.comm.messages import FromFrontEnd, Suggestions, ToFrontEnd
    from jupyter_llm.notebook.cells.events import CellEvent


class Questions:
    """Answers the questions of one front end. May take its time, so never on a thread of a comm.

    `answer` finds the completion that a notice shows.
    """

    def __init__(self, chat: Chat, answer: Callable[[str], Completion | None]) -> None:
        self._chat = chat
        self._answer = answer
        self._later: LaterInput | None = None
        self._lock = threading.Lock()  # guards that there is one

    def close(self) -> None:
        """Let no code land any more."""
        if self._later is not None:
            self._later.close()

    def by_type(self) -> dict[type[FromFrontEnd], Callable[[Any], ToFrontEnd]]:
        """What answers each type of message."""
        return {
            Complete: self._complete,
            Describe: self._describe,
            Check: lambda asked: Checked(id=asked.id, results=check(asked.sources)),
            Prepare: self._prepare,
            Land: self._land,
        }

    def _complete(self, asked: Complete) -> Suggestions:
        return suggestions(asked.id, asked.text, asked.cursor, self._cells)

    def _describe(self, asked: Describe) -> Description:
        return Description(id=asked.id, text=description(asked.kind, asked.name, self._cells))

    def _prepare(self, asked: Prepare) -> Prepared:
        source, metadata = self._prepared(asked)
        return Prepared(id=asked.id, source=source, metadata=metadata)

    def _land(self, asked: Land) -> Landed:
        """Bring code below the next cell that runs, and say so."""
        shell = current_shell()
        if shell is None:
            raise NoNotebookError
        with self._lock:
            if self._later is None:
                self._later = LaterInput(shell)
        source, _ = self._prepared(asked)
        text = self._later.write([source], replace=asked.in_place)
        return Landed(id=asked.id, text=f"{text[0].upper()}{text[1:]}.")

    def _prepared(self, asked: Prepare | Land) -> tuple[str, dict[str, Any]]:
        answer: Completion | None = None
        if asked.number is not None:
            answer = self._chat.turn(asked.number).completion
        elif asked.notice is not None:
            answer = self._answer(asked.notice)
        return prepare(asked.source, answer)

    @property
    def _cells(self) -> Sequence[CellEvent]:
        return self._chat.timeline.snapshot().visible
