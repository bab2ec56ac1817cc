"""What a small model is told where it is to write code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import SMALL, ScriptedEngine
from support.shell import run

from jupyter_llm.chat.needed import literal_names, needed_cells, sources_that_ran
from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.cells.timeline import Timeline


def cells(*sources: str) -> list[CellEvent]:
    return [
        CellEvent(number=n, source=source, execution_count=n, cell_id=f"c{n}")
        for n, source in enumerate(sources, 1)
    ]


def sources(found: tuple[CellEvent, ...]) -> list[str]:
    return [cell.source for cell in found]


def ask(shell: InteractiveShell, engine: ScriptedEngine, prompt: str) -> str:
    engine.replies.append("x = 1\n```")
    run(shell, f"%%llm -f code --no-try\n{prompt}")
    return engine.format(engine.requests[-1].prompt)


def test_cells_that_only_show_something_are_left_out_but_for_the_last_two() -> None:
    found = needed_cells(
        cells("import os", "print(1)", "def f(): pass", "os.listdir()", "x = 2", "x", "f()")
    )
    assert sources(found) == ["import os", "def f(): pass", "x = 2", "x", "f()"]


def test_a_cell_that_is_meant_is_told_whatever_it_does() -> None:
    shown, *rest = cells("print(1)", "x = 2", "x", "x + 1")
    assert sources(needed_cells([shown, *rest], {shown}))[0] == "print(1)"


def test_of_a_cell_that_ran_again_the_latest_run_is_told_and_none_that_failed() -> None:
    first, second, failed, *rest = cells("x = 1", "x = 2", "y = 1 / 0", "x", "x")
    again = replace(second, cell_id=first.cell_id)
    broken = replace(failed, outputs=(Output("error", "ZeroDivisionError"),))
    assert sources(needed_cells([first, again, broken, *rest])) == ["x = 2", "x", "x"]


def test_literals_are_those_that_nothing_has_changed_since() -> None:
    ran = cells("a = [1, 2]\nb = {'k': 1}\nc = 3\nd = load()", "b['x'] = 2\nc += 1")
    assert literal_names(ran) == {"a"}


def test_sources_come_in_the_order_of_the_latest_runs_and_failed_ones_are_marked() -> None:
    timeline = Timeline()
    error = Output(kind="error", text="NameError")
    timeline.append("total = 0", execution_count=1, cell_id="a")
    timeline.append("total = 5", execution_count=2, cell_id="b")
    timeline.append("total = 0", execution_count=3, cell_id="a")
    timeline.append("prnt(1)", execution_count=4, cell_id="c", outputs=[error])
    found = sources_that_ran(timeline.snapshot().cells)
    assert found == [("total = 5", True), ("total = 0", True), ("prnt(1)", False)]


def test_code_goes_along_with_its_cells_and_then_its_variables_without_literals(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    for source in ("import json", "print('hi')", "rows = [1, 2]", "kinds = dict.fromkeys(rows)"):
        run(shell, source, store_history=True)
    text = ask(shell, small, "Add the rows.")
    assert "import json" in text
    assert "print('hi')" not in text
    assert "rows: list" not in text
    assert text.index("kinds = dict") < text.index("kinds: dict") < text.index("Add the rows.")


def test_a_request_for_code_leaves_alone_what_the_chat_tells(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "total = sum([1, 2])", store_history=True)
    small.replies.append("Three.")
    run(shell, "%llm -c all What is total?")
    before = small.format(small.requests[-1].prompt)
    ask(shell, small, "Print total.")
    assert small.requests[-1].conversation is None
    small.replies.append("Yes.")
    run(shell, "%llm -c all And is total odd?")
    assert small.format(small.requests[-1].prompt).startswith(before.rstrip("\n"))


@pytest.mark.parametrize(("size", "is_told"), [(SMALL, True), (7_000_000_000, False), (0, False)])
def test_the_report_says_what_code_is_told(
    shell: InteractiveShell, small: ScriptedEngine, size: int, *, is_told: bool
) -> None:
    small.info = replace(small.info, num_parameters=size)
    assert ("For code (`-f code`)" in run(shell, "%llm /context").text) is is_told
