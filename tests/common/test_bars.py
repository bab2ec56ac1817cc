"""What goes on while somebody waits, in a line: when it is due, and who shows it."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from jupyter_llm.common.bars import Pace, Step, note, showing

STEP = Step("Loading tiny", 0.5)


class Clock:
    """A clock that a test moves on."""

    now_s = 100.0

    def move(self, seconds: float) -> None:
        self.now_s += seconds

    def __call__(self) -> float:
        return self.now_s


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Let errors be printed in a terminal from here on; pytest has its own way before a test."""
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", out)
    return out


def test_a_line_says_what_goes_on_how_far_it_is_and_for_how_long() -> None:
    assert Step("Waiting for the model").line(3.7) == "Waiting for the model, 3 s"
    step = Step("Reading 1,200 of 4,800 tokens", 0.25)
    assert step.line(12) == "█████░░░░░░░░░░░░░░░ Reading 1,200 of 4,800 tokens, 12 s"
    assert Step("more than all", 1.2).line(0).startswith("█" * 20 + " ")


def test_a_line_is_due_after_a_second_and_then_twice_in_each() -> None:
    clock = Clock()
    pace = Pace(clock)

    def is_due_after(seconds: float) -> bool:
        clock.move(seconds)
        return pace.is_due()

    assert [is_due_after(s) for s in (0.9, 0.2, 0.1, 0.5)] == [False, True, False, True]
    assert pace.elapsed_s == pytest.approx(1.7)
    pace.settle()  # there is something new to read
    assert [is_due_after(s) for s in (0.9, 0.2)] == [False, True]


def test_a_fast_load_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    with showing() as tell:
        tell(STEP)
    assert out.getvalue() == ""


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.usefixtures("at_once")
def test_on_another_thread_a_bar_goes_to_whoever_shows_it_only(
    monkeypatch: pytest.MonkeyPatch, *, is_shown: bool
) -> None:
    out = terminal(monkeypatch)
    shown: list[Step] = []

    def replay() -> None:
        with showing(shown.append if is_shown else None) as tell:
            tell(STEP)

    thread = threading.Thread(target=replay)
    thread.start()
    thread.join()
    assert bool(shown) == is_shown
    assert out.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_in_a_terminal_the_line_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    with showing() as tell:
        tell(STEP)
        assert out.getvalue().endswith(" Loading tiny, 0 s")
    assert out.getvalue().endswith(", 0 s\r\x1b[K")


def test_what_came_of_it_stays_where_its_steps_were_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    shown: list[Step] = []
    note("20 rows", shown.append)
    assert out.getvalue() == ""
    assert shown == [Step("20 rows", 1.0)]
    note("20 rows\x1b[2J of all")
    assert out.getvalue() == "20 rows of all\n"
    thread = threading.Thread(target=note, args=("nobody sees it",))
    thread.start()
    thread.join()
    assert out.getvalue() == "20 rows of all\n"
