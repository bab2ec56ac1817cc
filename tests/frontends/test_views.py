"""What is shown while the model works, and what is saved with it."""

from __future__ import annotations

import io
from typing import Any

from jupyter_llm.frontends.views import NotebookView, NoView, TerminalView


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


def test_in_a_terminal_the_answer_takes_the_place_of_the_bar() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.progress("Loading 90%")
    view.update("Paris")
    assert out.getvalue() == "\rLoading 90%\r\x1b[KParis"


class _Published:
    """What a notebook would keep of one output: its last state."""

    def __init__(self) -> None:
        self.states: list[tuple[dict[str, str], dict[str, Any], bool]] = []

    def __call__(
        self, data: dict[str, str], *, metadata: dict[str, Any], update: bool, **_rest: object
    ) -> None:
        self.states.append((data, metadata, update))


def test_metadata_goes_with_the_last_state_of_an_output() -> None:
    published = _Published()
    view = NotebookView(published, "text/markdown")
    view.update("Par")
    view.close("Paris", "a note", {"jupyter_llm": {"kind": "answer"}})
    assert [(metadata, update) for _, metadata, update in published.states] == [
        ({}, False),
        ({"jupyter_llm": {"kind": "answer"}}, True),
    ]


def test_views_without_a_notebook_take_metadata_and_keep_none() -> None:
    out = io.StringIO()
    TerminalView(out).close("Paris", "", {"jupyter_llm": {}})
    NoView().close("Paris", "", {"jupyter_llm": {}})
    assert out.getvalue() == "Paris\n"
