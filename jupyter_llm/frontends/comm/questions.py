"""What a front end wants to know without changing anything of the chat; each asks on a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import NoNotebookError
from jupyter_llm.frontends.comm.code import check, prepare
from jupyter_llm.frontends.comm.suggestions import description, suggestions
from jupyter_llm.notebook.cells.shell import current_shell
from jupyter_llm.notebook.code.landing import LaterInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_llm.engine.base import Completion
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
        Suggestions,
        ToFrontEnd,
    )
    from jupyter_llm.frontends.comm.sync import KernelSide
    from jupyter_llm.notebook.cells.events import CellEvent


class Questions:
    """Answers the questions of one panel. May take its time, so never on a thread of a comm."""

    def __init__(self, side: KernelSide) -> None:
        self._side = side
        self._later: LaterInput | None = None
        self._lock = threading.Lock()  # guards that there is one

    def close(self) -> None:
        """Let no code land any more."""
        if self._later is not None:
            self._later.close()

    def by_type(self) -> dict[str, Callable[[Any], ToFrontEnd]]:
        """Return what answers each type of message."""
        return {
            "complete": self.complete,
            "describe": self.describe,
            "check": self.check,
            "prepare": self.prepare,
            "land": self.land,
        }

    def complete(self, message: Complete) -> Suggestions:
        """Say what may stand at the cursor."""
        return suggestions(message["id"], message["text"], message["cursor"], self._cells)

    def describe(self, message: Describe) -> Description:
        """Say what there is to say of a suggestion."""
        text = description(message["kind"], message["name"], self._cells)
        return {"type": "description", "id": message["id"], "text": text}

    def check(self, message: Check) -> Checked:
        """Say which names in code exist nowhere."""
        return {"type": "checked", "id": message["id"], "results": check(message["sources"])}

    def prepare(self, message: Prepare) -> Prepared:
        """Return code as a cell is to hold it."""
        source, metadata = self._prepared(message)
        return {"type": "prepared", "id": message["id"], "source": source, "metadata": metadata}

    def land(self, message: Land) -> Landed:
        """Bring code below the next cell that runs, and say so."""
        shell = current_shell()
        if shell is None:
            raise NoNotebookError
        with self._lock:
            if self._later is None:
                self._later = LaterInput(shell)
        source, _ = self._prepared(message)
        text = self._later.write([source], replace=message["in_place"])
        return {"type": "landed", "id": message["id"], "text": f"{text[0].upper()}{text[1:]}."}

    def _prepared(self, message: Prepare | Land) -> tuple[str, dict[str, Any]]:
        answer: Completion | None = None
        if message["number"] is not None:
            answer = self._side.chat.turn(message["number"]).completion
        elif message["notice"] is not None:
            answer = self._side.answer(message["notice"])
        return prepare(message["source"], answer)

    @property
    def _cells(self) -> Sequence[CellEvent]:
        return self._side.chat.llm.timeline.snapshot().visible
