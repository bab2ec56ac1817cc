"""Collects a running cell's outputs as text, up to a size."""

from __future__ import annotations

import re
import traceback
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any

from jupyter_llm.common.clipping import Scroll, clip
from jupyter_llm.notebook.cells.events import Output, OutputKind, Picture
from jupyter_llm.notebook.values.kinds import clean

TRANSCRIPT_KEY = "jupyter_llm_transcript"
"""The metadata key of a panel's id, in an output that shows a whole conversation."""

_MAX_CHARS = 12_000  # of one output; a prompt includes less
_NUM_HEAD, _NUM_TAIL = 12, 20  # outputs of one cell to keep
_MAX_PICTURE = 4_000_000  # characters or bytes
_Bundle = Mapping[str, Any]  # data by MIME types
_NUM_FRAMES = 6
_COMM_LOG = "No such comm: "
_MAX_DEPTH = 50  # frames that are read
_MEANINGLESS = re.compile(r"<IPython\.core\.display\.\w+ object>")
_CELL_FILE = re.compile(r"[^\s\"'<>]*ipykernel_\d+[/\\]\d+\.py")


def _steady(text: str) -> str:
    """Return a text that is the same in every kernel: without addresses and cells' file names."""
    return _CELL_FILE.sub("cell", clean(text))


def bundle_text(bundle: _Bundle) -> str:
    """Return a MIME bundle as text: its plain text, or the type of an image or the like."""
    for mime in bundle:
        if mime.startswith(("image/", "video/", "audio/")):
            return f"<{mime}>"
    for mime in ("text/plain", "text/markdown", "text/latex"):
        text = bundle.get(mime)
        if isinstance(text, str) and not _MEANINGLESS.fullmatch(text):
            return _steady(clip(text, _MAX_CHARS))
    return " ".join(f"<{mime}>" for mime in bundle if mime != "text/plain")


def picture_of(bundle: _Bundle) -> Picture | None:
    """Return the PNG or JPEG picture of a MIME bundle, unless it is very large."""
    for mime in ("image/png", "image/jpeg"):
        data = bundle.get(mime)
        if isinstance(data, str | bytes) and len(data) <= _MAX_PICTURE:
            text = b64encode(data).decode() if isinstance(data, bytes) else data
            return mime, "".join(text.split())
    return None


def error_text(error: BaseException, cell_name: Callable[[str], str | None]) -> str:
    """Return an exception as text: its message, then the lines of the notebook that it passed.

    `cell_name` returns the name of a file name's cell, and None for other files. Of these only the
    innermost frame is included.
    """
    shown = _steady(clip("".join(traceback.format_exception_only(error)), _MAX_CHARS // 4))
    lines = shown.strip().splitlines() or [type(error).__name__]
    if isinstance(error, SyntaxError):  # its text begins with the code
        lines = [lines[-1], f"line {error.lineno}: {(error.text or '').strip()}"]
    if not hasattr(error, "_render_traceback_"):  # such an error's message is complete
        lines += _frames(error.__traceback__, cell_name)
    return "\n  ".join(lines)


def _frames(trace: TracebackType | None, cell_name: Callable[[str], str | None]) -> list[str]:
    stack = traceback.StackSummary.extract(
        traceback.walk_tb(trace), limit=-_MAX_DEPTH, lookup_lines=False
    )
    names = [cell_name(frame.filename) for frame in stack]
    frames = []
    for frame, name in zip(stack, names, strict=True):
        if name or (any(names) and frame is stack[-1]):
            # A path without its part that differs on each machine.
            _folder, is_installed, inside = frame.filename.rpartition("site-packages/")
            file = name or (inside if is_installed else PurePath(frame.filename).name)
            line = f": {frame.line}" if frame.line else ""
            frames.append(f"{file}, line {frame.lineno}, in {frame.name}{line}")
    num_more = len(frames) - _NUM_FRAMES
    return frames if num_more <= 0 else [f"({num_more} more frames)", *frames[-_NUM_FRAMES:]]


@dataclass(slots=True)
class _Entry:
    kind: OutputKind
    text: str | Scroll
    display_id: str | None = None
    picture: Picture | None = None


class CellOutputs:
    """The outputs of one run of a cell in order, with updates and clearing applied.

    If there are many, the first and the last are kept, with a line that counts the others.
    """

    def __init__(self) -> None:
        self._shown: list[_Entry] = []
        self._num_dropped = 0
        self._is_cleared = False  # by the next output

    def write(self, kind: OutputKind, text: str) -> None:
        """Append to a stream. Omit the log line of `comm`: a page causes it, not the cell."""
        if kind == "stderr" and text.startswith(_COMM_LOG):
            return
        last = self._begin()
        if last is None or last.kind != kind or not isinstance(last.text, Scroll):
            last = _Entry(kind, Scroll(_MAX_CHARS))
            self._add(last)
        assert isinstance(last.text, Scroll)
        last.text.write(text)

    def fail(self, text: str) -> None:
        """Append an error."""
        self._begin()
        self._add(_Entry("error", text))

    def show(self, kind: OutputKind, data: _Bundle, display_id: str | None = None) -> None:
        """Append a result or a display."""
        self._begin()
        if text := bundle_text(data):
            self._add(_Entry(kind, text, display_id, picture_of(data)))

    def update(self, display_id: str | None, data: _Bundle) -> None:
        """Change an earlier display of this cell; displays of other cells are not changed."""
        for shown in self._shown:
            if display_id is not None and shown.display_id == display_id:
                shown.text, shown.picture = bundle_text(data), picture_of(data)

    def clear(self, *, wait: bool) -> None:
        """Delete the outputs, at once or before the next one."""
        self._is_cleared = True
        if not wait:
            self._begin()

    def pictures(self) -> list[Picture]:
        """Return the pictures among the outputs."""
        return [one.picture for one in self._shown if one.picture is not None]

    def finish(self) -> tuple[Output, ...]:
        """Return the outputs."""
        texts = (s.text if isinstance(s.text, str) else _steady(str(s.text)) for s in self._shown)
        outputs = [Output(one.kind, text) for one, text in zip(self._shown, texts, strict=True)]
        if self._num_dropped:
            note = Output("display", f"[… {self._num_dropped:,} outputs left out …]")
            outputs.insert(_NUM_HEAD, note)
        return tuple(output for output in outputs if output.text)

    def _begin(self) -> _Entry | None:
        """Return the last output, after a delayed clearing."""
        if self._is_cleared:
            self._is_cleared = False
            self._shown.clear()
            self._num_dropped = 0
        return self._shown[-1] if self._shown else None

    def _add(self, shown: _Entry) -> None:
        self._shown.append(shown)
        if len(self._shown) > _NUM_HEAD + _NUM_TAIL:
            del self._shown[_NUM_HEAD]
            self._num_dropped += 1
