"""Shows the progress of the model and the growing answer."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from jupyter_llm.common.bars import NOTHING, TICK_S, Pace, Step, TerminalLine
from jupyter_llm.common.bundle import Bundle, bundle
from jupyter_llm.common.controls import plain
from jupyter_llm.common.html_text import Html, filled, folded, joined, paragraph
from jupyter_llm.common.markdown import enclosed, joined_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import PromptInterrupted, thought_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion

    Metadata = Mapping[str, Any] | None

_MIN_INTERVAL_S = 1 / 30  # notebooks draw no faster, and Jupyter drops messages above a rate


class View:
    """A place that shows an answer while it is written; this base class shows nothing."""

    def progress(self, step: Step) -> None:
        """Show the progress, if the work takes long."""

    def think(self, reasoning: str, num_tokens: int) -> None:  # noqa: ARG002 for subclasses
        """Show the thoughts so far, or their length."""
        self.progress(Step(f"Thinking: {count_of(num_tokens, 'token')} so far"))

    def update(self, text: str) -> None:
        """Show the text so far, or its length."""
        self.progress(Step(f"Writing: {count_of(len(text.split()), 'word')} so far"))

    def close(
        self, text: str, note: str, metadata: Metadata = None, *, html: Html | None = None
    ) -> None:
        """Show the final text, and a note about it if there is one.

        `metadata` is stored with the output of a notebook. `html` replaces the text where it can be
        shown.
        """

    def remark(self, text: str) -> None:
        """Show a remark below the final text that is not saved with it; `""` removes it."""

    def clear(self) -> None:
        """Remove the progress line."""


class NotebookView(View):
    """One output of a cell that is replaced as the text grows.

    The saved notebook has the last state. `mime` is text/markdown or text/plain; `publish` is the
    shell's `DisplayPublisher.publish`. `clear_cell` empties the cell if it shows only this view,
    and returns whether it did.
    """

    def __init__(
        self,
        publish: Callable[..., None],
        mime: str,
        clear_cell: Callable[[], bool] = lambda: False,
        pace: Pace | None = None,
    ) -> None:
        self._publish = publish
        self._mime = mime
        self._clear_cell = clear_cell
        self._pace = pace or Pace()
        self._display_id: str | None = None
        self._text = ""
        self._thought = ("", 0)  # and the number of tokens
        self._line = ""  # the progress line below the text
        # shows the final state with a remark
        self._settled: Callable[[str], None] = lambda _remark: None

    def progress(self, step: Step) -> None:
        """Show the progress, below the text if there is one; the next output replaces it."""
        if not self._pace.is_due():
            return
        line, before = step.line(self._pace.elapsed_s), self._line
        if line != before:  # an unchanged line need not be drawn again
            self._line = line
            # A name may contain markup, which is harmless in plain text.
            self._show(self._bundle(self._text, line) if self._text else bundle(line))

    def think(self, reasoning: str, num_tokens: int) -> None:
        """Show the thoughts so far, folded; they stay above the text."""
        self._thought, self._line = (reasoning, num_tokens), ""
        if not self._text:
            self._pace.settle()
            self._show(self._bundle("", is_thinking=True))

    def update(self, text: str) -> None:
        """Show the text so far."""
        if text == self._text and not self._line:
            return
        self._text, self._line = text, ""
        self._pace.settle()
        self._show(self._bundle(text))

    def close(
        self, text: str, note: str, metadata: Metadata = None, *, html: Html | None = None
    ) -> None:
        """Show the final text, and a note about it if there is one; `metadata` is saved, too."""
        self._text, self._line = text, ""

        def show(remark: str) -> None:
            notes = "; ".join(filter(None, (note, remark)))
            self._show(self._bundle(text, notes, html=html), metadata)

        self._settled = show
        show("")

    def remark(self, text: str) -> None:
        """Show a remark after the note."""
        self._settled(text)

    def clear(self) -> None:
        """Remove the progress line; a text stays."""
        if not self._line:
            return
        self._line = ""
        if self._text or self._thought[0]:
            self._show(self._bundle(self._text))
        elif self._clear_cell():
            self._display_id = None
        else:
            self._show(NOTHING)

    def _bundle(
        self, text: str, note: str = "", *, is_thinking: bool = False, html: Html | None = None
    ) -> Bundle:
        """Return a text, or its `html`, with its thoughts above and a note below, as a bundle."""
        reasoning, num_tokens = self._thought
        thoughts_line = f"thinking, {count_of(num_tokens, 'token')} so far"
        thoughts_line = thoughts_line if is_thinking else thought_for(num_tokens)
        thoughts_note = reasoning and f"({thoughts_line})"
        plain = "\n\n".join(filter(None, (thoughts_note, text, note and f"({note})")))
        thoughts = folded(thoughts_line.capitalize(), reasoning) if reasoning else Html()
        if html:
            below = filled("<p><em>{}</em></p>", paragraph(note)) if note else Html()
            return bundle(plain, joined([thoughts, html, below]))
        if self._mime != "text/markdown":
            return bundle(plain)
        parts = filter(None, (text.lstrip("\n"), note and f"*{note}*"))
        return bundle(plain, enclosed(thoughts, joined_markdown(parts)))

    def _show(self, data: Bundle, metadata: Metadata = None) -> None:
        is_update = self._display_id is not None
        if self._display_id is None:
            self._display_id = f"jupyter-llm-{os.urandom(8).hex()}"
        self._publish(
            data,
            metadata=dict(metadata or {}),
            transient={"display_id": self._display_id},
            update=is_update,
        )


class TerminalView(View):
    """A terminal, where text can only be appended.

    A text that does not continue the last one is written below it. With `notes` the text goes to a
    pipe or a file unchanged, and remarks go to `notes`.
    """

    def __init__(self, out: TextIO, notes: TextIO | None = None) -> None:
        self._out = out
        self._notes = notes
        self._line = TerminalLine(out)
        self._shown = ""
        self._num_thought = 0

    def progress(self, step: Step) -> None:
        """Overwrite the progress line, until there is text."""
        if not self._shown and self._notes is None:
            self._line.show(step)

    def think(self, reasoning: str, num_tokens: int) -> None:
        """Show the length of the thoughts so far; it stays above the text."""
        if not self._shown:
            self._num_thought = num_tokens
        super().think(reasoning, num_tokens)

    def clear(self) -> None:
        """Erase the progress line."""
        self._line.erase()

    def update(self, text: str) -> None:
        """Write the new part of the text."""
        self.clear()
        if self._num_thought and self._notes is None:
            self._out.write(f"({thought_for(self._num_thought)})\n\n")
        self._num_thought = 0
        if not text.startswith(self._shown):
            self._out.write("\n\n")
            self._shown = ""
        new = text[len(self._shown) :]
        # A terminal obeys control characters, and the model must not control it.
        self._out.write(plain(new) if self._notes is None else new)
        self._out.flush()
        self._shown = text

    def close(
        self,
        text: str,
        note: str,
        metadata: Metadata = None,  # noqa: ARG002 a terminal has none
        *,
        html: Html | None = None,  # noqa: ARG002 a terminal shows none
    ) -> None:
        """Write the rest and a note."""
        self.update(text)
        if self._notes is None or (text and not text.endswith("\n")):
            self._out.write("\n")
        self.remark(note)

    def remark(self, text: str) -> None:
        """Write a remark on its own line."""
        if text:
            print(f"({text})", file=self._notes or self._out)


class SilentView(View):
    """A view of the progress alone, for an answer that is assigned to a variable."""

    def __init__(self, view: View) -> None:
        self._view = view

    def progress(self, step: Step) -> None:
        """Show the progress."""
        self._view.progress(step)

    def close(self, *_answer: Any, **_options: Any) -> None:
        """Remove the progress line."""
        self.clear()

    def clear(self) -> None:
        """Remove the progress line."""
        self._view.clear()


def make_view(shell: Any, mime: str, clear_cell: Callable[[], bool] = lambda: False) -> View:
    """Return the view for a shell: its cell's output, or the terminal; see `NotebookView`."""
    if any(base.__name__ == "TerminalInteractiveShell" for base in type(shell).__mro__):
        return TerminalView(sys.stdout)
    return NotebookView(shell.display_pub.publish, mime, clear_cell)


def answer_metadata(completion: Completion) -> Mapping[str, Any]:
    """Return the metadata of an output that shows a completion: its record."""
    return completion.provenance.to_metadata() if completion.provenance is not None else {}


def cut_off(completion: Completion, *, has_options: bool = True) -> str:
    """Return why an answer ended early, "" if it did not.

    With `has_options`, the text also names the option that allows more.
    """
    if completion.finish_reason == "repetition":
        text = "stopped because the text repeats itself"
        return f"{text} (`--may-repeat` lets it continue)" if has_options else text
    is_all_thought = bool(completion.reasoning and not completion.text)
    if completion.finish_reason != "length":
        is_bare = is_all_thought and completion.finish_reason == "stop"
        return "the model thought but did not answer" if is_bare else ""
    text = f"cut off after {count_of(completion.usage.completion_tokens, 'token')}"
    text += " of thoughts" if is_all_thought else ""
    if not has_options:
        return f"{text}, the limit here"
    if is_all_thought:
        return f"{text} (`-n` allows more, `--no-think` skips them)"
    return f"{text} (`-n` allows more, up to the context window)"


def remarks(completion: Completion, *, has_options: bool = True, has_end: bool = True) -> str:
    """Return the remarks below an answer: the server it was sent to, and why it ended early."""
    record, parts = completion.provenance, []
    if record is not None and record.model.host:
        parts.append(f"sent to {record.model.host}")
        if completion.choice is not None and completion.choice.is_approximate:
            parts.append("probabilities are rough: the server may split texts into other tokens")
        elif completion.choice is not None or completion.logprobs:
            parts.append("probabilities are approximate")
    if has_end and (ended := cut_off(completion, has_options=has_options)):
        parts.append(ended)
    return "; ".join(parts)


def watch(stream: Stream, view: View) -> Completion:
    """Show a stream until its end; the caller closes the view.

    Before there is text, the progress or the thoughts are shown. After an interrupt the text so far
    is shown and marked, and `PromptInterrupted` is raised.
    """
    text = reasoning = ""
    shown_s = float("-inf")
    try:
        for chunk in stream.chunks(TICK_S):
            text += chunk.text
            reasoning += chunk.reasoning
            if not (text.strip() or reasoning):
                view.progress(stream.progress.step)
            elif time.monotonic() - shown_s >= _MIN_INTERVAL_S:
                if text.strip():
                    view.update(text)
                else:
                    view.think(reasoning, stream.progress.num_written)
                shown_s = time.monotonic()
        completion = stream.result()
        if completion.reasoning:
            view.think(completion.reasoning, completion.usage.reasoning_tokens)
    except KeyboardInterrupt as interrupt:
        # The interrupt may come while we draw, outside the stream.
        interruption = interrupt if isinstance(interrupt, PromptInterrupted) else stream.interrupt()
        show_interrupt(interruption, view)
        raise interruption from None
    except BaseException:
        if text:
            view.close(text, "broken off")
        view.clear()
        raise
    return completion


def show_interrupt(interrupt: PromptInterrupted, view: View) -> None:
    """Show the text of an interrupted answer, marked as interrupted."""
    completion = interrupt.completion
    count = completion.usage.completion_tokens if completion is not None else 0
    note = f"interrupted after {count_of(count, 'token')}" if count else "interrupted"
    text = completion.text if completion is not None else ""
    sent = remarks(completion) if completion is not None else ""
    if completion is not None and completion.reasoning:
        view.think(completion.reasoning, completion.usage.reasoning_tokens)
    if interrupt.best is not None:
        result = "the best draft" if completion is not None else "the result"
        text, note = str(interrupt.best), f"interrupted; this is {result} so far"
    metadata = answer_metadata(completion) if completion is not None else None
    view.close(text, "; ".join(filter(None, (sent, note))), metadata)
