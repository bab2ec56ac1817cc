"""Trying code: when that is done, and when not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.common.bars import Step
from jupyter_llm.notebook.sealed import trying
from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.tasks.tries import NO_TRIES, Tries


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    found: list[Sequence[str]] = []

    def try_code(
        sources: Sequence[str],
        _namespace: Mapping[str, Any],
        *,
        tick: Callable[[], None],
        make: Callable[[Callable[[], None]], None] | None,
        **_how: object,
    ) -> Seen:
        if make is not None:
            make(lambda: None)
        found.append(sources)
        tick()
        return Seen(outcome="runs", text="runs")

    monkeypatch.setattr(trying, "try_code", try_code)
    return found


def test_the_same_code_is_tried_once(tried: list[Sequence[str]]) -> None:
    tries = Tries()
    assert [tries.seen("x").runs, tries.seen("x").runs, tries.seen("y").runs] == [True] * 3
    assert tried == [("x",), ("y",)]


def test_code_that_is_looked_at_is_tried_each_time(tried: list[Sequence[str]]) -> None:
    tries = Tries()
    tries.seen("x")
    tries.seen("x", look=len)
    tries.seen("x", look=len)
    assert len(tried) == 3


def test_it_is_told_what_goes_on(tried: list[Sequence[str]]) -> None:
    told: list[Step] = []
    Tries(show_progress=told.append).seen("x", step="Trying draft 2 of 4")
    assert len(tried) == len(told) == 1
    assert told == [Step("Trying draft 2 of 4")]


def test_where_it_is_not_allowed_nothing_runs(tried: list[Sequence[str]]) -> None:
    seen = NO_TRIES.seen("x")
    assert (seen.outcome, seen.text) == ("untried", "not tried: that is switched off")
    assert tried == []


def test_it_is_allowed_as_is_configured(shell: InteractiveShell) -> None:
    assert llm.task().tries.is_allowed
    run(shell, "%config LLMMagics.try_drafts = False")
    assert not llm.task().tries.is_allowed
    assert llm.task(try_drafts=True).tries.is_allowed
    run(shell, "%unload_ext jupyter_llm")
    assert llm.task().tries.is_allowed


def test_on_another_thread_nothing_is_tried_where_the_kernel_has_no_loop(
    tried: list[Sequence[str]],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(Tries().seen, "x").result()
    assert (seen.outcome, seen.text) == (
        "untried",
        "not tried: this kernel tries code in cells alone",
    )
    assert tried == []
