"""Which exception `/fix` is about."""

from __future__ import annotations

import gc
import sys
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.watch import Watch

from jupyter_llm.notebook.failures.last_error import LastError


def test_the_last_error_stays_until_another_comes(watch: Watch) -> None:
    watch.run("1 / 0")
    watch.run("fine = 1")
    assert watch.failure().kind == "ZeroDivisionError"
    watch.run("{}['k']")
    assert watch.failure().kind == "KeyError"


@pytest.mark.parametrize(
    "ours",
    [
        "%llm /nosuchcommand",
        "%llm --nosuchoption hello",
        "from jupyter_llm.engine.completion import PromptInterrupted\nraise PromptInterrupted",
    ],
)
def test_our_own_errors_do_not_count(shell: InteractiveShell, ours: str) -> None:
    watch = Watch(shell)
    watch.run("1 / 0", cell_id="theirs")
    assert watch.run(ours).has_failed
    failure = watch.failure()
    assert failure.kind == "ZeroDivisionError"
    assert failure.run is not None
    assert (failure.run.source, failure.run.cell_id) == ("1 / 0", "theirs")
    assert failure.run.execution_count == 1
    watch.close()


def test_an_error_from_before_we_watched_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_exc", "last_value"):
        monkeypatch.delattr(sys, name, raising=False)
    assert LastError().get() is None
    error = ValueError("early")
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    assert LastError().get() == (error, None)


def test_one_exception_at_most_is_kept_and_none_after_unloading() -> None:
    class OddError(Exception): ...

    def result_of(error: BaseException) -> Any:
        info = SimpleNamespace(raw_cell="", cell_id=None)
        return SimpleNamespace(
            error_before_exec=None, error_in_exec=error, execution_count=1, info=info
        )

    last = LastError()
    alive: list[weakref.ref[BaseException]] = []
    for error in (OddError(), OddError()):
        alive.append(weakref.ref(error))
        last.end_cell(result_of(error))
    del error
    gc.collect()
    assert [one() is not None for one in alive] == [False, True]
    last.clear()
    gc.collect()
    assert alive[1]() is None


def test_of_earlier_errors_little_is_kept_and_none_of_a_cell_that_ran_since(watch: Watch) -> None:
    watch.run("staff = [4700 + 11]\ndef f(a):\n    return a[9]", "f")
    for number in range(30):
        watch.run("f(staff)", f"c{number}")
    watch.run("f(staff)", "c20")
    watch.run("f(staff[:1])", "c29")
    for source in ("1", "1 / 0", "1"):  # and then it was the last one
        watch.run(source, "c25")
    watch.run("1 / 0", "c30")
    earlier = watch.last_error.earlier
    assert set(earlier) == {f"c{number}" for number in range(9, 30) if number != 25}
    assert "471108" not in repr(earlier)
    assert {frame.cell and frame.cell.compiled for frame in earlier["c20"].frames} == {""}
