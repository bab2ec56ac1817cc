"""What a user sees while the model works: what goes on, and the growing answer."""

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

_MIN_INTERVAL_S = 1 / 30  # a notebook draws no faster, and Jupyter drops messages that flood it


class View:
    """Where an answer appears while it is written; by itself, nowhere."""

    def progress(self, step: Step) -> None:
        """Show what goes on, where that has taken its time."""

    def think(self, reasoning: str, num_tokens: int) -> None:  # noqa: ARG002  not everywhere
        """Show what was thought so far, or how much."""
        self.progress(Step(f"Thinking: {count_of(num_tokens, 'token')} so far"))

    def update(self, text: str) -> None:
        """Show the text so far, or how much there is."""
        self.progress(Step(f"Writing: {count_of(len(text.split()), 'word')} so far"))

    def close(
        self, text: str, note: str, metadata: Metadata = None, *, html: Html | None = None
    ) -> None:
        """Show the final text, and a note about it if there is one.

        `metadata` goes into the output's, where there is a notebook to keep it. With `html`, that
        is shown for the text where it can be.
        """

    def remark(self, said: str) -> None:
        """Say below the final text what is not to be saved with it; `""` takes it away."""

    def clear(self) -> None:
        """Take away what has shown what goes on."""


class NotebookView(View):
    """One output of a cell that is replaced as the text grows.

    The saved notebook holds the last state. `mime` is text/markdown or text/plain; `publish` is
    the shell's `DisplayPublisher.publish`. `clear_cell` takes away all that the cell shows, if that
    is nothing but this view, and says whether it did.
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
        self._thought = ("", 0)  # and how many tokens
        self._line = ""  # what goes on, below the text
        self._settled: Callable[[str], None] = lambda _remark: None  # shows the end, and a remark

    def progress(self, step: Step) -> None:
        """Show what goes on, below the text if there is one; what comes next takes its place."""
        if not self._pace.is_due():
            return
        line, before = step.line(self._pace.elapsed_s), self._line
        if line != before:  # a front end need not draw what it shows already
            self._line = line
            # A name may be anything, and plain text is what it says.
            self._show(self._bundle(self._text, line) if self._text else bundle(line))

    def think(self, reasoning: str, num_tokens: int) -> None:
        """Show what was thought so far, folded; that stays above the text."""
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
        """Show the final text, and a note about it if there is one; `metadata` is saved too."""
        self._text, self._line = text, ""

        def show(remark: str) -> None:
            said = "; ".join(filter(None, (note, remark)))
            self._show(self._bundle(text, said, html=html), metadata)

        self._settled = show
        show("")

    def remark(self, said: str) -> None:
        """Show it behind the note."""
        self._settled(said)

    def clear(self) -> None:
        """Take away what has shown what goes on; a text stays."""
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
        """A text, or `html` for it, with its thoughts above and a line below it, in its forms."""
        reasoning, num_tokens = self._thought
        said = f"thinking, {count_of(num_tokens, 'token')} so far"
        said = said if is_thinking else thought_for(num_tokens)
        told = reasoning and f"({said})"
        plain = "\n\n".join(filter(None, (told, text, note and f"({note})")))
        thoughts = folded(said.capitalize(), reasoning) if reasoning else Html()
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
    """A terminal, where text can only be added; one that does not go on from the last is added.

    With `notes` the text goes to a pipe or a file, as it is, and what is said of it to the notes.
    """

    def __init__(self, out: TextIO, notes: TextIO | None = None) -> None:
        self._out = out
        self._notes = notes
        self._line = TerminalLine(out)
        self._shown = ""
        self._num_thought = 0

    def progress(self, step: Step) -> None:
        """Write over the line, as long as there is no text in it."""
        if not self._shown and self._notes is None:
            self._line.show(step)

    def think(self, reasoning: str, num_tokens: int) -> None:
        """Show how much was thought so far; that stays above the text."""
        if not self._shown:
            self._num_thought = num_tokens
        super().think(reasoning, num_tokens)

    def clear(self) -> None:
        """Erase the line that has shown what goes on."""
        self._line.erase()

    def update(self, text: str) -> None:
        """Write what is new of the text."""
        self.clear()
        if self._num_thought and self._notes is None:
            self._out.write(f"({thought_for(self._num_thought)})\n\n")
        self._num_thought = 0
        if not text.startswith(self._shown):
            self._out.write("\n\n")
            self._shown = ""
        new = text[len(self._shown) :]
        # A terminal obeys control characters, and the model is not the one to command it.
        self._out.write(plain(new) if self._notes is None else new)
        self._out.flush()
        self._shown = text

    def close(
        self,
        text: str,
        note: str,
        metadata: Metadata = None,  # noqa: ARG002  a terminal keeps none
        *,
        html: Html | None = None,  # noqa: ARG002  nor does it show any
    ) -> None:
        """Write the rest and a note."""
        self.update(text)
        if self._notes is None or (text and not text.endswith("\n")):
            self._out.write("\n")
        self.remark(note)

    def remark(self, said: str) -> None:
        """Write it on a line of its own."""
        if said:
            print(f"({said})", file=self._notes or self._out)


class SilentView(View):
    """Shows how far an answer is and nothing of it, as where it goes into a variable."""

    def __init__(self, view: View) -> None:
        self._view = view

    def progress(self, step: Step) -> None:
        """Show what goes on."""
        self._view.progress(step)

    def close(self, *_answer: Any, **_options: Any) -> None:
        """Show nothing any more."""
        self.clear()

    def clear(self) -> None:
        """Show nothing any more."""
        self._view.clear()


def make_view(shell: Any, mime: str, clear_cell: Callable[[], bool] = lambda: False) -> View:
    """The view for a shell: its cell's output, or the terminal; see `NotebookView`."""
    if any(base.__name__ == "TerminalInteractiveShell" for base in type(shell).__mro__):
        return TerminalView(sys.stdout)
    return NotebookView(shell.display_pub.publish, mime, clear_cell)


def answer_metadata(completion: Completion) -> Mapping[str, Any]:
    """The metadata of an output that shows a completion: its record."""
    return completion.provenance.to_metadata() if completion.provenance is not None else {}


def cut_off(completion: Completion, *, has_options: bool = True) -> str:
    """That an answer was ended before its end, and how to get more of it where that can be said."""
    if completion.finish_reason == "repetition":
        said = "stopped, since it had begun to repeat itself"
        return f"{said}; --may-repeat goes on" if has_options else said
    is_all_thought = bool(completion.reasoning and not completion.text)
    if completion.finish_reason != "length":
        is_bare = is_all_thought and completion.finish_reason == "stop"
        return "it ended in its thoughts, without an answer" if is_bare else ""
    said = f"cut off after {count_of(completion.usage.completion_tokens, 'token')}"
    said += ", while it still thought" if is_all_thought else ""
    if not has_options:
        return f"{said}, the most that an answer may have here"
    if is_all_thought:
        return f"{said}; -n allows more, and --no-think answers at once"
    return f"{said}; -n allows more, as far as the context window reaches"


def remarks(completion: Completion, *, has_options: bool = True, says_end: bool = True) -> str:
    """What is to be said below any answer: where its prompt was sent, and why it ended early."""
    record, told = completion.provenance, []
    if record is not None and record.model.host:
        told.append(f"sent to {record.model.host}")
        if completion.choice is not None and completion.choice.is_approximate:
            told.append("its probabilities are rough: the server may split texts into other tokens")
        elif completion.choice is not None or completion.logprobs:
            told.append("its probabilities are approximate")
    if says_end and (ended := cut_off(completion, has_options=has_options)):
        told.append(ended)
    return "; ".join(told)


def watch(stream: Stream, view: View) -> Completion:
    """Show a stream until its end, and leave it to others to close the view.

    Before there is text, it shows how far the model is, or what it thinks. What an interrupt leaves
    is shown and marked before `PromptInterrupted` goes on to the caller.
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
        # It may come while we draw, where the stream does not see it.
        told = interrupt if isinstance(interrupt, PromptInterrupted) else stream.interrupt()
        show_interrupt(told, view)
        raise told from None
    except BaseException:
        if text:
            view.close(text, "broken off")
        view.clear()
        raise
    return completion


def show_interrupt(interrupt: PromptInterrupted, view: View) -> None:
    """Show what an interrupt left, marked as interrupted."""
    completion = interrupt.completion
    count = completion.usage.completion_tokens if completion is not None else 0
    note = f"interrupted after {count_of(count, 'token')}" if count else "interrupted"
    text = completion.text if completion is not None else ""
    sent = remarks(completion) if completion is not None else ""
    if completion is not None and completion.reasoning:
        view.think(completion.reasoning, completion.usage.reasoning_tokens)
    if interrupt.best is not None:
        what = "the best draft so far" if completion is not None else "what was found by then"
        text, note = str(interrupt.best), f"interrupted; this is {what}"
    metadata = answer_metadata(completion) if completion is not None else None
    view.close(text, "; ".join(filter(None, (sent, note))), metadata)
