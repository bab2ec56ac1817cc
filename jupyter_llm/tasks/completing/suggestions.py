"""What is asked for at a cursor, what is suggested there, and one request on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.tasks.completing.ending import MAX_LINES

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.notebook.cells.document import CellKind


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostRequest:
    """Where somebody writes, and how much is wanted there.

    `prefix` and `suffix` are all of the cell before and behind the cursor. `is_invoked` says that
    somebody asked by hand, which gives an answer in Markdown and in prompts too.
    """

    cell_id: str
    prefix: str
    suffix: str = ""
    kind: CellKind = "code"
    num_items: int = 1
    max_lines: int = MAX_LINES
    is_invoked: bool = False


@dataclass(frozen=True, slots=True)
class GhostText:
    """One suggestion as far as it is written, all of it each time; "" when final: none."""

    item: int
    text: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class GhostItem:
    """One suggestion that is finished.

    `usage` counts what was read and written for it over all tries. `completion` is the last of
    these as the model wrote it, with its record; None if it was asked nothing.
    """

    text: str = ""
    usage: Usage = field(default_factory=Usage)
    completion: Completion | None = None


@dataclass(frozen=True, slots=True)
class GhostEnd:
    """The end of a request that was not cancelled; where there is nothing `reason` may say why."""

    items: tuple[GhostItem, ...] = ()
    reason: str = ""


Tell = Callable[[GhostText | GhostEnd], None]
"""Takes what there is to show; called on any thread."""


class GhostRun:
    """One request on its way."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._streams: list[Stream] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._end = GhostEnd()
        self.is_cancelled = False

    def cancel(self) -> None:
        """Tell nothing any more, and let the model stop. Returns at once; from any thread."""
        with self._lock:
            self.is_cancelled = True
            streams = [*self._streams]
        for stream in streams:
            stream.cancel()

    @property
    def is_stopped(self) -> bool:
        """Whether the model has stopped."""
        return self._stopped.is_set()

    def result(self, timeout_s: float) -> GhostEnd:
        """Wait until the model has stopped; what it wrote until then, also if it was cancelled."""
        self._stopped.wait(timeout_s)
        return self._end

    def tell(self, news: GhostText | GhostEnd) -> None:
        """Pass something on, unless nobody wants it any more."""
        if not self.is_cancelled:
            self._tell(news)
        if isinstance(news, GhostEnd):
            self._end = news
            self._stopped.set()

    def follow(self, stream: Stream) -> None:
        """Let a stream end with this."""
        with self._lock:
            self._streams.append(stream)
            is_late = self.is_cancelled
        if is_late:
            stream.cancel()
