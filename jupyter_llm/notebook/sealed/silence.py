"""The quiet of a copy: what its code would show is kept, and nothing reaches the front end."""

from __future__ import annotations

import atexit
import builtins
import gc
import getpass
import io
import logging
import os
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.sealed.refusals import refuse_exit, refuse_input
from jupyter_llm.notebook.values.peek import exported, is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_PRINTED = 4000  # characters; the first and the last half of them
_PICTURES = ("image/png", "image/svg+xml", "image/jpeg", "application/pdf")
_MARKS = ("application/vnd.plotly", "application/vnd.vega", "application/vnd.bokeh")


class Printed(io.TextIOBase):
    """A text that others write, of which the beginning and the end are kept."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._first = self._last = ""

    def write(self, text: str) -> int:
        """Take some text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        room = _MAX_PRINTED // 2 - len(self._first)
        self._first += text[:room]
        self._last = (self._last + text[room:])[-_MAX_PRINTED:]
        return len(text)

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    @property
    def text(self) -> str:
        """What is left of it."""
        rest = self._last
        if len(rest) > _MAX_PRINTED // 2:
            rest = " … " + rest[-_MAX_PRINTED // 2 :]
        return self._first + rest


class Silence:
    """What a copy would have shown: what is printed, and how many pictures."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.stdout = Printed()
        self.num_pictures = 0
        self._figures = set(_open_figures())
        self._shown: list[Any] = []  # pictures that were displayed

    @property
    def drawn(self) -> Counter[str]:
        """How many new lines and bars the pictures of matplotlib's have."""
        new = self._new_figures()
        figures = [*self._shown, *(sys.modules["matplotlib.pyplot"].figure(one) for one in new)]
        found: Counter[str] = Counter()
        made = {id(one) for one in gc.get_objects()} if figures else set()
        for figure in {id(figure): figure for figure in figures}.values():
            filled = [one for one in figure.axes if one.has_data() or one.texts or one.tables]
            bars = [bar for axes in filled if axes.containers for bar in axes.patches]
            lines = [line for axes in filled for line in axes.lines]
            lines *= all(line.get_label() != "_nolegend_" for line in lines)  # no parts of boxes
            parts = {"line": len({*map(id, lines)} & made), "bar": len({*map(id, bars)} & made)}
            kind = "picture" if filled or figure.texts else "empty picture"
            found.update(parts if any(parts.values()) else {kind: 1})
        return +found

    @property
    def num_figures(self) -> int:
        """How many pictures were displayed, or are ready to be when the cell ends."""
        return self.num_pictures + len(self._new_figures())

    def _new_figures(self) -> set[int]:
        return set(_open_figures()) - self._figures

    def begin(self) -> None:
        """Take the place of all that shows anything; there is no end."""
        sys.stdout = sys.__stdout__ = self.stdout  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = Printed()  # type: ignore[misc, assignment]
        sys.stdin = sys.__stdin__ = io.StringIO()  # type: ignore[misc, assignment]
        sys.dont_write_bytecode = True
        _spare_folders()
        sys.displayhook = lambda _value: None
        builtins.input = refuse_input
        getpass.getpass = refuse_input
        gc.freeze()  # from now on it only names what is made from now on
        atexit._clear()  # noqa: SLF001  there is no other way
        logging.disable(logging.CRITICAL)
        if self._shell is not None:
            self._silence_shell()

    def count(self, data: object) -> None:
        """Count what is displayed, if it is a picture."""
        if isinstance(data, dict) and any(
            kind in _PICTURES or str(kind).startswith(_MARKS) for kind in data
        ):
            self.num_pictures += 1

    def _silence_shell(self) -> None:
        shell = self._shell
        publisher, formatter = shell.display_pub, shell.display_formatter
        formatter.format = partial(self._format, formatter.format)
        publisher.publish = lambda data, *_args, **_kwargs: self.count(data)
        publisher.clear_output = lambda *_args, **_kwargs: None
        shell.ask_exit = refuse_exit
        shell.history_manager.enabled = False
        shell.events.callbacks = {name: [] for name in shell.events.callbacks}
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            kernel.session.send = lambda *_args, **_kwargs: None
        for name in ("comm.base_comm", "ipykernel.comm.comm"):
            with suppress(Exception):
                sys.modules[name].BaseComm.publish_msg = lambda *_args, **_kwargs: None

    def _format(self, formatted: Callable[..., Any], value: object, *how: Any, **more: Any) -> Any:
        if is_a(value, exported("matplotlib.figure", "Figure")):
            self._shown.append(value)  # it is closed when it was displayed
        return formatted(value, *how, **more)


def _spare_folders() -> None:
    """Let matplotlib be content with what is there: its first import makes folders."""
    folders = (Path.home() / kind / "matplotlib" for kind in (".config", ".cache"))
    if not all(folder.is_dir() for folder in folders):
        # Not `tempfile`'s, which it finds by writing there.
        os.environ.setdefault("MPLCONFIGDIR", "/tmp")  # noqa: S108


def _open_figures() -> Iterator[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        yield from pyplot.get_fignums()
