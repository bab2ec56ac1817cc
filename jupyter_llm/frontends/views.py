"""What a user sees while the model works: the growing answer, the loading bar."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from jupyter_llm.common.controls import plain
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.errors import PromptInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jupyter_llm.engine.base import Completion, Stream

_MIN_INTERVAL_S = 1 / 30  # a notebook draws no faster, and Jupyter drops messages that flood it
_BAR_DELAY_S = 0.5  # small models load before a bar could be read


class View(Protocol):
    """Where an answer appears while it is written."""

    def progress(self, text: str) -> None:
        """Show how far the model is before there is an answer."""

    def update(self, text: str) -> None:
        """Show the text so far."""

    def close(self, text: str, note: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Show the final text, and a note about it if there is one.

        `metadata` goes into the output's, where there is a notebook to keep it.
        """


class NotebookView:
    """One output of a cell that is replaced as the text grows.

    The saved notebook holds the last state. `mime` is text/markdown or text/plain; `publish` is
    the shell's `DisplayPublisher.publish`.
    """

    def __init__(self, publish: Callable[..., None], mime: str) -> None:
        self._publish = publish
        self._mime = mime
        self._display_id: str | None = None

    def progress(self, text: str) -> None:
        """Show how far the model is; the answer takes its place."""
        self._show({self._mime: text, "text/plain": text})

    def update(self, text: str) -> None:
        """Show the text so far."""
        self._show({self._mime: self._safe(text), "text/plain": text})

    def close(self, text: str, note: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Show the final text, and a note about it if there is one; `metadata` is saved too."""
        plain = f"{text}\n\n({note})" if note else text
        rich = self._safe(text)
        if note:
            rich += f"\n\n*{note}*" if self._mime == "text/markdown" else f"\n\n({note})"
        self._show({"text/plain": plain, self._mime: rich.lstrip("\n")}, metadata)

    def _safe(self, text: str) -> str:
        return untrusted_markdown(text) if self._mime == "text/markdown" else text

    def _show(self, data: dict[str, str], metadata: Mapping[str, Any] | None = None) -> None:
        is_update = self._display_id is not None
        if self._display_id is None:
            self._display_id = f"jupyter-llm-{os.urandom(8).hex()}"
        self._publish(
            data,
            metadata=dict(metadata or {}),
            transient={"display_id": self._display_id},
            update=is_update,
        )


class TerminalView:
    """A terminal, where text can only be added; one that does not go on from the last is added."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = ""
        self._has_bar = False

    def progress(self, text: str) -> None:
        """Write over the line."""
        self._out.write(f"\r{text}")
        self._out.flush()
        self._has_bar = True

    def update(self, text: str) -> None:
        """Write what is new of the text."""
        if self._has_bar:
            self._out.write("\r\x1b[K")  # erase the line
            self._has_bar = False
        if not text.startswith(self._shown):
            self._out.write("\n\n")
            self._shown = ""
        # A terminal obeys control characters, and the model is not the one to command it.
        self._out.write(plain(text[len(self._shown) :]))
        self._out.flush()
        self._shown = text

    def close(
        self,
        text: str,
        note: str,
        metadata: Mapping[str, Any] | None = None,  # noqa: ARG002  a terminal keeps none
    ) -> None:
        """Write the rest and a note."""
        self.update(text)
        self._out.write(f"\n({note})\n" if note else "\n")


class NoView:
    """Shows nothing."""

    def progress(self, text: str) -> None:
        """Do nothing."""

    def update(self, text: str) -> None:
        """Do nothing."""

    def close(self, text: str, note: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""


def make_view(shell: Any, mime: str) -> View:
    """Return the view for a shell: its cell's output, or the terminal."""
    is_terminal = any(base.__name__ == "TerminalInteractiveShell" for base in type(shell).__mro__)
    return (
        TerminalView(sys.stdout) if is_terminal else NotebookView(shell.display_pub.publish, mime)
    )


def answer_metadata(completion: Completion) -> Mapping[str, Any]:
    """Return the metadata of an output that shows a completion: its record."""
    return completion.provenance.to_metadata() if completion.provenance is not None else {}


def show(
    stream: Stream,
    view: View,
    *,
    note: Callable[[Completion], str],
    metadata: Callable[[Completion], Mapping[str, Any]] = answer_metadata,
) -> Completion:
    """Show a stream until its end and return the completion.

    `note` makes the line below the finished text, and `metadata` what the output is saved with.
    What an interrupt leaves is shown and marked before `PromptInterrupted` goes on to the caller.
    """
    completion = watch(stream, view)
    view.close(completion.text, note(completion), metadata(completion))
    return completion


def watch(stream: Stream, view: View) -> Completion:
    """Show a stream while it is written, and leave it to others to close the view.

    Only what ends it early is shown and marked here.
    """
    text = ""
    shown_s = float("-inf")
    try:
        for chunk in stream:
            text += chunk.text
            if time.monotonic() - shown_s >= _MIN_INTERVAL_S:
                view.update(text)
                shown_s = time.monotonic()
        completion = stream.result()
    except KeyboardInterrupt as interrupt:
        # It may come while we draw, where the stream does not see it.
        told = interrupt if isinstance(interrupt, PromptInterrupted) else stream.interrupt()
        show_interrupt(told, view)
        raise told from None
    except BaseException:
        if text:
            view.close(text, "broken off")
        raise
    return completion


def show_interrupt(interrupt: PromptInterrupted, view: View) -> None:
    """Show what an interrupt left, marked as interrupted."""
    completion = interrupt.completion
    count = completion.usage.completion_tokens if completion is not None else 0
    text = completion.text if completion is not None else ""
    metadata = answer_metadata(completion) if completion is not None else None
    view.close(text, f"interrupted after {count} tokens", metadata)


@contextmanager
def loading_bar(
    name: str, size_bytes: int, view: View | None = None
) -> Iterator[Callable[[float], None]]:
    """Show how far a model has been loaded; give the function to be told the share, 0 to 1.

    In a view the answer takes the bar's place; without one the bar is printed and wiped away, but
    on the main thread only: what other threads print lands in whichever cell ran last.
    """
    options = {"desc": f"Loading {name}", "unit": "B", "unit_scale": True, "delay": _BAR_DELAY_S}
    with _bar(size_bytes, view, **options) as bar:
        yield lambda share: _advance(bar, int(share * size_bytes))


@contextmanager
def tuning_bar(name: str, view: View | None = None) -> Iterator[Callable[[float, str], None]]:
    """Show how far a model has been measured; give the function to be told the share and what.

    It appears as `loading_bar` does.
    """
    line = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
    with _bar(100, view, desc=f"Measuring {name}", bar_format=line) as bar:

        def tell(share: float, text: str) -> None:
            if bar is not None:
                bar.n = int(100 * share)
                bar.set_postfix_str(text)

        yield tell


@contextmanager
def replay_bar(num_answers: int, view: View | None = None) -> Iterator[Callable[[int], None]]:
    """Show how many answers have been written again; give the function to be told the number.

    It appears as `loading_bar` does.
    """
    line = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} [{elapsed}]"
    options = {"desc": "Writing again", "bar_format": line, "delay": _BAR_DELAY_S}
    with _bar(num_answers, view, **options) as bar:
        yield lambda num_done: _advance(bar, num_done)


@contextmanager
def _bar(total: int, view: View | None, **options: Any) -> Iterator[Any]:
    """Show a progress bar of tqdm's, or None where nobody would see it."""
    if view is None and threading.current_thread() is not threading.main_thread():
        yield None
        return
    from tqdm import tqdm

    file = _bar_file() if view is None else _ViewFile(view)
    with tqdm(total=total, leave=False, file=file, **options) as bar:
        yield bar


def _bar_file() -> TextIO:
    """Return where a bar is printed: a notebook shows stderr in red, a pipeline reads stdout."""
    return sys.stdout if "ipykernel" in sys.modules else sys.stderr


def _advance(bar: Any, position: int) -> None:
    if bar is not None:
        bar.update(position - bar.n)


class _ViewFile(io.TextIOBase):
    """Where tqdm writes its bar, for a view to show."""

    def __init__(self, view: View) -> None:
        self._view = view

    def write(self, text: str) -> int:
        bar = text.strip()
        if bar:  # tqdm wipes its bar away with spaces
            self._view.progress(bar)
        return len(text)
