"""What is shown while the model works, outside notebooks."""

from __future__ import annotations

import io

from jupyter_llm.display import TerminalView, loading_bar


def test_a_terminal_gets_the_text_as_it_grows_and_no_commands() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    view.update("one")
    view.update("one \x1b[31mtwo\x9b\x07")
    view.close("one \x1b[31mtwo\x9b\x07\nthree", "a note")
    assert out.getvalue() == "one [31mtwo\nthree\n(a note)\n"


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


def test_a_fast_load_shows_no_bar() -> None:
    out = io.StringIO()
    with loading_bar("tiny", 1000, TerminalView(out)) as on_progress:
        on_progress(0.5)
        on_progress(1.0)
    assert out.getvalue() == ""
