"""Progress of long work: steps, and the line that shows them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from jupyter_llm.common.bundle import bundle
from jupyter_llm.common.controls import plain
from jupyter_llm.errors import OptionError

TICK_S = 0.25
"""Seconds between checks of a stream's progress."""

NOTHING = bundle("")
"""An empty output, in place of a progress line."""

_ERASE = "\r\x1b[K"  # erases a terminal's line
DELAY_S = 1.0  # shorter work shows no line
PERIOD_S = 0.5
_WIDTH = 20  # of a bar, in characters


@dataclass(frozen=True, slots=True)
class Step:
    """A step of long work: its text, and its share from 0 to 1 where that can be computed."""

    text: str
    share: float | None = None

    def line(self, elapsed_s: float) -> str:
        """Return the step as one line: a bar, the text and the seconds so far."""
        bar = ""
        if self.share is not None:
            num_full = round(_WIDTH * max(0.0, min(1.0, self.share)))
            bar = "█" * num_full + "░" * (_WIDTH - num_full) + " "
        return f"{bar}{self.text}, {int(elapsed_s)} s"


ShowProgress = Callable[[Step], None]
"""Shows a step in place of the last one. It may be called at any rate."""


class Pace:
    """Decides when the progress line is due: after one second, then every half second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = self._still_s = clock()
        self._shown_s = float("-inf")

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._began_s

    def settle(self) -> None:
        """Restart the delay, because the user sees something new."""
        self._still_s = self._clock()

    def is_due(self) -> bool:
        """Whether to show a line now; a True postpones the next line."""
        now_s = self._clock()
        if now_s - self._still_s < DELAY_S or now_s - self._shown_s < PERIOD_S:
            return False
        self._shown_s = now_s
        return True


class TerminalLine:
    """A terminal's progress line; each step overwrites the last one."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pace = Pace()
        self._is_shown = False

    def show(self, step: Step) -> None:
        """Show a step if a line is due."""
        if self._pace.is_due():
            self._is_shown = True
            # A name may contain control characters, and a terminal would obey them.
            self._out.write(_ERASE + plain(step.line(self._pace.elapsed_s)))
            self._out.flush()

    def erase(self) -> None:
        """Erase the line if we wrote one."""
        if self._is_shown:
            self._is_shown = False
            self._out.write(_ERASE)
            self._out.flush()

    def __enter__(self) -> ShowProgress:
        return self.show

    def __exit__(self, *_exc_info: object) -> None:
        self.erase()


def check_show(show: object) -> None:
    """Check that the option `show_progress` is a function or None."""
    if show is not None and not callable(show):
        raise OptionError(
            f"show_progress must be a function that takes each step, or None, not {show!r:.60}."
        )


def showing(show: ShowProgress | None = None) -> AbstractContextManager[ShowProgress]:
    """Return a context that shows steps: by `show`, or else in a line that disappears at the end.

    The line is below the cell or in the terminal. Only the main thread gets one: the output of
    other threads would appear below whichever cell ran last.
    """
    check_show(show)
    if show is not None:
        return nullcontext(show)
    place = _place()
    if place == "cell":
        return _below_the_cell()
    return nullcontext(lambda _step: None) if place is None else TerminalLine(sys.stderr)


def note(text: str, show: ShowProgress | None = None) -> None:
    """Show a result in a line that stays, in the place where its steps were shown."""
    place = _place() if text else None
    if text and show is not None:
        show(Step(text, 1.0))
    elif place == "cell":
        from IPython.display import display

        display(bundle(text), raw=True)
    elif place == "terminal":
        sys.stderr.write(f"{plain(text)}\n")


def _place() -> Literal["cell", "terminal"] | None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if threading.current_thread() is not threading.main_thread():
        return None
    if getattr(shell, "kernel", None) is not None:
        return "cell"
    return "terminal" if sys.stderr.isatty() else None


@contextmanager
def _below_the_cell() -> Iterator[ShowProgress]:
    """Show steps in an output of the running cell, and empty the output at the end."""
    from IPython.display import DisplayHandle

    pace = Pace()
    handle: Any = None

    def show(step: Step) -> None:
        nonlocal handle
        if not pace.is_due():
            return
        data = bundle(step.line(pace.elapsed_s))
        if handle is None:
            handle = DisplayHandle()  # set before it is displayed: an interrupt may come in between
            handle.display(data, raw=True)
        else:
            handle.update(data, raw=True)

    try:
        yield show
    finally:
        if handle is not None:
            handle.update(NOTHING, raw=True)
