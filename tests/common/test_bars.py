"""Progress bars, printed or shown by somebody."""

from __future__ import annotations

import threading
import time

import pytest

from jupyter_llm.common import bars
from jupyter_llm.common.bars import loading_bar, replay_bar


def test_a_fast_load_shows_no_bar() -> None:
    shown: list[str] = []
    with loading_bar("tiny", 1000, shown.append) as on_progress:
        on_progress(0.5)
        on_progress(1.0)
    assert shown == []


@pytest.mark.parametrize("is_shown", [True, False])
def test_on_another_thread_a_bar_goes_to_whoever_shows_it_only(
    capsys: pytest.CaptureFixture[str], *, is_shown: bool
) -> None:
    shown: list[str] = []

    def replay() -> None:
        with replay_bar(10, shown.append if is_shown else None) as on_progress:
            time.sleep(0.6)  # a bar that is over at once is not shown
            on_progress(5)

    thread = threading.Thread(target=replay)
    thread.start()
    thread.join()
    assert any("5 of 10" in text for text in shown) == is_shown
    assert capsys.readouterr() == ("", "")


def test_the_bar_of_replays_counts_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "_DELAY_S", 0)
    shown: list[str] = []
    with replay_bar(4, shown.append) as tell:
        time.sleep(0.15)  # it is drawn ten times a second
        tell(3)
    assert "Writing again:  75%" in shown[-1]
    assert "3 of 4" in shown[-1]
