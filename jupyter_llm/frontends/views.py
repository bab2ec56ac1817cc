"""What a user sees while the model works: the growing answer, the loading bar."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from jupyter_llm.common.controls import plain
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.engine.completion import PromptInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion

_MIN_INTERVAL_S = 1 / 30  # a notebook draws no faster, and Jupyter drops messages that flood it


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
    """The view for a shell: its cell's output, or the terminal."""
    is_terminal = any(base.__name__ == "TerminalInteractiveShell" for base in type(shell).__mro__)
    return (
        TerminalView(sys.stdout) if is_terminal else NotebookView(shell.display_pub.publish, mime)
    )


def answer_metadata(completion: Completion) -> Mapping[str, Any]:
    """The metadata of an output that shows a completion: its record."""
    return completion.provenance.to_metadata() if completion.provenance is not None else {}


def watch(stream: Stream, view: View) -> Completion:
    """Show a stream until its end, and leave it to others to close the view.

    What an interrupt leaves is shown and marked before `PromptInterrupted` goes on to the caller.
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
