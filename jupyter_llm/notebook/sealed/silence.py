"""Captures the outputs of code in a copy, so that none reaches the front end."""

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

_MAX_PRINTED = 4000  # characters: half from the beginning, half from the end
_PICTURES = ("image/png", "image/svg+xml", "image/jpeg", "application/pdf")
_MARKS = ("application/vnd.plotly", "application/vnd.vega", "application/vnd.bokeh")


class Printed(io.TextIOBase):
    """A text stream that keeps its beginning and its end."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._first = self._last = ""

    def write(self, text: str) -> int:
        """Append a text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        room = _MAX_PRINTED // 2 - len(self._first)
        self._first += text[:room]
        self._last = (self._last + text[room:])[-_MAX_PRINTED:]
        return len(text)

    def writable(self) -> bool:
        """Whether the stream can be written to."""
        return True

    @property
    def text(self) -> str:
        """Return the kept text."""
        rest = self._last
        if len(rest) > _MAX_PRINTED // 2:
            rest = " … " + rest[-_MAX_PRINTED // 2 :]
        return self._first + rest


class Silence:
    """The captured outputs of a copy: printed text, and a count of figures."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.stdout = Printed()
        self.num_pictures = 0
        self._figures = set(_open_figures())
        self._shown: list[Any] = []  # figures that were displayed

    @property
    def drawn(self) -> Counter[str]:
        """Return the counts of new lines and bars in matplotlib's figures."""
        new = self._new_figures()
        figures = [*self._shown, *(sys.modules["matplotlib.pyplot"].figure(one) for one in new)]
        counts: Counter[str] = Counter()
        new_ids = {id(one) for one in gc.get_objects()} if figures else set()
        for figure in {id(figure): figure for figure in figures}.values():
            filled = [one for one in figure.axes if one.has_data() or one.texts or one.tables]
            bars = [bar for axes in filled if axes.containers for bar in axes.patches]
            lines = [line for axes in filled for line in axes.lines]
            # not parts of box plots
            lines *= all(line.get_label() != "_nolegend_" for line in lines)
            parts = {
                "line": len({*map(id, lines)} & new_ids),
                "bar": len({*map(id, bars)} & new_ids),
            }
            kind = "figure" if filled or figure.texts else "empty figure"
            counts.update(parts if any(parts.values()) else {kind: 1})
        return +counts

    @property
    def num_figures(self) -> int:
        """Return the number of figures that were displayed, or will be at the cell's end."""
        return self.num_pictures + len(self._new_figures())

    def _new_figures(self) -> set[int]:
        return set(_open_figures()) - self._figures

    def begin(self) -> None:
        """Replace everything that shows outputs; this cannot be undone."""
        sys.stdout = sys.__stdout__ = self.stdout  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = Printed()  # type: ignore[misc, assignment]
        sys.stdin = sys.__stdin__ = io.StringIO()  # type: ignore[misc, assignment]
        sys.dont_write_bytecode = True
        _spare_folders()
        sys.displayhook = lambda _value: None
        builtins.input = refuse_input
        getpass.getpass = refuse_input
        gc.freeze()  # `gc.get_objects` then lists only new objects
        atexit._clear()  # noqa: SLF001 no public way
        logging.disable(logging.CRITICAL)
        if self._shell is not None:
            self._silence_shell()

    def count(self, data: object) -> None:
        """Count an output if it is a figure."""
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

    def _format(
        self, formatted: Callable[..., Any], value: object, *options: Any, **more: Any
    ) -> Any:
        if is_a(value, exported("matplotlib.figure", "Figure")):
            self._shown.append(value)  # pyplot closes it after display
        return formatted(value, *options, **more)


def _spare_folders() -> None:
    """Point matplotlib to an existing folder: its first import would create some."""
    folders = (Path.home() / kind / "matplotlib" for kind in (".config", ".cache"))
    if not all(folder.is_dir() for folder in folders):
        # Not `tempfile.gettempdir()`, which writes a file to find it.
        os.environ.setdefault("MPLCONFIGDIR", "/tmp")  # noqa: S108


def _open_figures() -> Iterator[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        yield from pyplot.get_fignums()
