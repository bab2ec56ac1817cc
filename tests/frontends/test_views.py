"""What is shown while the model works, and what is saved with it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from jupyter_llm.common.bars import Pace, Step
from jupyter_llm.common.html_text import filled
from jupyter_llm.engine.completion import Chunk, Completion, Progress, Usage
from jupyter_llm.frontends.views import (
    NotebookView,
    SilentView,
    TerminalView,
    watch,
)

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Stream

BOX = '<div class="tex2jax_ignore mathjax_ignore">'
FOLDED = BOX.replace("div", "details")


def test_a_terminal_gets_the_text_as_it_grows_and_no_commands() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.update("one")
    view.update("one \x1b[31mtwo\x9b\x07")
    view.close("one \x1b[31mtwo\x9b\x07\nthree", "a note")
    assert out.getvalue() == "one two\nthree\n(a note)\n"


def test_a_terminal_gets_a_better_answer_below_the_first() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.update("x = foo")
    view.close("x = 1", "")
    assert out.getvalue() == "x = foo\n\nx = 1\n"


LOADING = Step("Loading tiny: 90%", 0.9)


@pytest.mark.usefixtures("at_once")
def test_in_a_terminal_the_answer_takes_the_place_of_the_bar() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.progress(LOADING)
    view.update("Paris")
    view.progress(LOADING)  # there is no place for it any more
    view.clear()
    assert out.getvalue() == f"\r\x1b[K{LOADING.line(0)}\r\x1b[KParis"


class _Published:
    """What a notebook would keep of one output: its last state."""

    def __init__(self) -> None:
        self.states: list[tuple[dict[str, str], dict[str, Any], bool]] = []

    @property
    def texts(self) -> list[str]:
        """What a front end without Markdown drew, one after the other."""
        return [data["text/plain"] for data, _, _ in self.states]

    def __call__(
        self, data: dict[str, str], *, metadata: dict[str, Any], update: bool, **_rest: object
    ) -> None:
        self.states.append((data, metadata, update))


def test_thoughts_stand_folded_above_the_answer() -> None:
    published = _Published()
    view = NotebookView(published, "text/markdown")
    view.think("One $x\n\n</details>`", 7)
    view.update("Par")
    view.think("One $x\n\n</details>`", 8)
    view.close("Paris", "a note")
    rich = [data["text/markdown"] for data, _, _ in published.states]
    inside = "<p>One &#36;x<br><br>&#60;/details&#62;&#96;</p></details>"
    assert rich == [
        f"{FOLDED}<summary>Thinking, 7 tokens so far</summary>{inside}",
        f"{FOLDED}<summary>Thought for 7 tokens</summary>{inside}\n\nPar",
        f"{FOLDED}<summary>Thought for 8 tokens</summary>{inside}\n\nParis\n\n*a note*",
    ]
    assert published.texts == [
        "(thinking, 7 tokens so far)",
        "(thought for 7 tokens)\n\nPar",
        "(thought for 8 tokens)\n\nParis\n\n(a note)",
    ]


@pytest.mark.usefixtures("at_once")
def test_in_a_terminal_thoughts_are_one_line() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.think("One", 1)
    view.update("Par")
    view.think("One", 1)
    view.close("Paris", "")
    thinking = Step("Thinking: 1 token so far").line(0)
    assert out.getvalue() == f"\r\x1b[K{thinking}\r\x1b[K(thought for 1 token)\n\nParis\n"


class _Stream:
    """A stream that is read for a while before it is written."""

    def __init__(self, *steps: Progress | str) -> None:
        self._steps = steps
        self.progress = Progress(state="waiting")
        self.completion = Completion(
            text="".join(step for step in steps if isinstance(step, str)),
            finish_reason="stop",
            usage=Usage(),
            model="script",
        )

    def chunks(self, tick_s: float) -> Iterator[Chunk]:
        assert tick_s > 0
        for step in self._steps:
            if isinstance(step, Progress):
                self.progress = step
                yield Chunk("")
            else:
                yield Chunk(step)

    def result(self) -> Completion:
        return self.completion


def reading(num_read: int) -> Progress:
    return Progress(state="reading", num_prompt=4500, num_read=num_read)


WAITING = Progress(state="waiting")


@pytest.mark.usefixtures("at_once")
def test_a_cell_says_how_far_a_prompt_is_read_until_there_is_text() -> None:
    published = _Published()
    view = NotebookView(published, "text/markdown")
    watch(cast("Stream", _Stream(WAITING, reading(1200), reading(1200), "\n", "Paris")), view)
    view.close("Paris", "")
    assert published.texts == [
        "Waiting for the model, 0 s",
        "█████░░░░░░░░░░░░░░░ Reading 1,200 of 4,500 tokens, 0 s",  # once, since it stays the same
        "\nParis",
        "Paris",
    ]
    assert [update for _, _, update in published.states] == [False, True, True, True]
    assert published.states[-1][0] == {"text/plain": "Paris", "text/markdown": "Paris"}


def test_what_is_there_within_a_second_shows_nothing_else() -> None:
    published = _Published()
    view = NotebookView(published, "text/markdown", pace=Pace(lambda: 0.0))
    watch(cast("Stream", _Stream(WAITING, reading(1200), "Paris")), view)
    assert published.texts == ["Paris"]


@pytest.mark.usefixtures("at_once")
def test_what_goes_on_is_gone_at_the_end() -> None:
    published = _Published()
    view = SilentView(NotebookView(published, "text/markdown"))
    view.clear()
    view.progress(reading(9).step)
    view.update("two words")
    view.close("two words and more", "a note", {"jupyter_llm": {}})
    assert published.texts[1:] == ["Writing: 2 words so far, 0 s", ""]


def test_html_is_shown_for_the_text_with_the_note_below_it() -> None:
    published = _Published()
    view = NotebookView(published, "text/markdown")
    view.close("+ x", "`y` < 1", html=filled("<pre>+ x</pre>"))
    assert published.states[0][0] == {
        "text/plain": "+ x\n\n(`y` < 1)",
        "text/html": f"{BOX}<pre>+ x</pre><p><em><code>y</code> &lt; 1</em></p></div>",
    }
