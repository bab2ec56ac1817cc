"""A notebook after a restart of its kernel: cells whose names are not there yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import Json
from support.lab_page import LabPage
from support.residents import residents_of
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.notebook.cells.unrun import Unrun

NOTEBOOK = {
    "intro": ("markdown", "# The shop"),
    "imports": ("code", "import statistics as st\nfrom math import ceil"),
    "prices": ("code", "prices = {'tea': 2.5, 'milk': 1.2}"),
    "mean": ("code", "def mean(rows):\n    return ceil(st.mean(rows))"),
    "rows": ("code", "rows = [3, 0, 5]"),
    "filter": ("code", "rows = [row for row in rows if row]"),
    "append": ("code", "rows.append(max(prices.values()))"),
    "shop": ("code", "class Shop:\n    open = True"),
    "loop": ("code", "for name, price in prices.items():\n    total = price * len(rows)"),
    "split": ("code", "first, *rest = rows"),
    "timed": ("code", "%%time\nbest = mean(rest)"),
    "if": ("code", "if True:\n    shop = Shop()"),
    "walrus": ("code", "print(size := len(prices))"),
}
ROWS = ["prices", "rows", "filter", "append"]
RESTARTED = [
    ("st.mean([1, 2])", ["imports"], "`st` is bound by cell 2 (`import statisti"),
    ("ceil(1.5)", ["imports"], "(`from math import ceil`)"),
    ("prices['tea']", ["prices"], "by cell 3 (`prices = {'tea': 2.5, 'milk': 1.2"),
    ("mean([1, 2])", ["imports", "mean"], "`mean` is bound by cell 4 (`def mean("),
    ("rows[0]", ROWS, "`rows` is bound by cell 5 (`rows = [3, 0, 5]`), which has"),
    ("Shop.open", ["shop"], "(`class Shop:`)"),
    ("print(name, total)", [*ROWS, "loop"], "Run cells 3, 5, 6, 7 and 9, then cell [1] again."),
    ("sum(rest) + len(rows)", [*ROWS, "split"], "(`first, *rest = rows`)"),
    ("best", ["imports", *ROWS[:1], "mean", *ROWS[1:], "split", "timed"], "(`best = mean(rest)`)"),
    ("shop.open", ["shop", "if"], "`shop` is bound by cell 12"),
    ("size + 1", ["prices", "walrus"], "`size` is bound by cell 13"),
    ("def f():\n    return ceil(prices['tea'])\nf()", ["imports", "prices"], "`ceil` is bound by"),
]


def cell(cell_id: str, source: str, kind: str = "code", *, is_off: bool = False) -> Json:
    return {"cell_id": cell_id, "kind": kind, "source": source, "is_off": is_off}


def show(page: LabPage, *more: Json) -> None:
    """Let a page show the notebook, with more cells at its end."""
    cells = [cell(name, source, kind) for name, (kind, source) in NOTEBOOK.items()]
    page.ask("cells", revision=1, at=0, remove=0, insert=[*cells, *more])


def fail(shell: InteractiveShell, source: str) -> str:
    """Run a cell that lacks a name, and return its error."""
    error = run(shell, source, cell_id="broken", raises=NameError, store_history=True).error
    return f"NameError: {error}"


def fix(page: LabPage, source: str, error: str) -> Json:
    """Press the button at a cell that failed."""
    shown = {"id": "broken", "source": source, "error": error}
    asked = {"selection": None, "instruction": None, "task": "fix"}
    request = page.ask("act", action="fix", cell=shown, **asked)
    end = page.wait_for(lambda m: m.get("id") == request and m["type"] in ("reply", "error"))
    value: Json = end.get("value", end)
    return value


@pytest.mark.parametrize(("source", "needed", "words"), RESTARTED)
def test_after_a_restart_the_cells_that_a_name_needs_are_run_without_a_model(
    page: LabPage,
    scripted: ScriptedEngine,
    shell: InteractiveShell,
    source: str,
    needed: list[str],
    words: str,
) -> None:
    show(page, cell("broken", source))
    found = fix(page, source, fail(shell, source))
    assert (found["runs"], found["source"]) == ([*needed, "broken"], source)
    assert words in found["markdown"]
    for name in needed:
        run(shell, NOTEBOOK[name][1], cell_id=name, store_history=True)
    run(shell, source, cell_id="broken", store_history=True)
    assert not scripted.requests


def test_an_error_of_the_kernel_before_is_read_as_the_page_shows_it(page: LabPage) -> None:
    show(page, cell("broken", "rows"))
    assert fix(page, "rows", "NameError: name 'rows' is not defined")["runs"] == [*ROWS, "broken"]


def test_a_cell_that_failed_for_want_of_another_is_run_again(
    page: LabPage, shell: InteractiveShell
) -> None:
    show(page, cell("broken", "rest"))
    source = NOTEBOOK["split"][1]
    run(shell, source, cell_id="split", raises=NameError, store_history=True)
    found = fix(page, "rest", fail(shell, "rest"))
    assert found["runs"] == [*ROWS, "split", "broken"]
    assert "(`first, *rest = rows`), which failed in this kernel" in found["markdown"]


def test_a_name_that_only_a_cell_further_down_binds_is_found_there(
    page: LabPage, shell: InteractiveShell
) -> None:
    show(page, cell("broken", "late"), cell("later", "late = rows[0]"))
    assert fix(page, "late", fail(shell, "late"))["runs"] == [*ROWS, "later", "broken"]


def test_a_misspelt_name_is_mended_as_before(page: LabPage, shell: InteractiveShell) -> None:
    show(page, cell("broken", "prizes"))
    run(shell, NOTEBOOK["prices"][1], cell_id="prices", store_history=True)
    found = fix(page, "prizes", fail(shell, "prizes"))
    assert (found["source"], found["runs"]) == ("prices", [])


def test_a_cell_of_that_name_counts_more_than_a_name_that_is_near(
    page: LabPage, shell: InteractiveShell
) -> None:
    run(shell, "row = [1]", cell_id="near", store_history=True)
    show(page, cell("broken", "rows"))
    assert fix(page, "rows", fail(shell, "rows"))["runs"] == [*ROWS, "broken"]


def test_a_hidden_cell_is_not_named(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    show(page, cell("secret", "token = 'abc'"))  # edited since it ran
    run(shell, "token = 1", cell_id="secret", store_history=True)
    run(shell, "%llm /hide 1\ndel token")
    scripted.replies.append("print(1)\n```")
    found = fix(page, "token", fail(shell, "token"))
    assert found["runs"] == []
    assert "secret" not in str(found)
    assert "abc" not in str(found)


def test_without_a_page_the_saved_notebook_says_which_cell_to_run(
    scripted: ScriptedEngine, shell: InteractiveShell, tmp_path: Path
) -> None:
    off = {"cell_type": "code", "source": ["key = 1"], "metadata": {"tags": ["llm-hide"]}}
    cells = [{"cell_type": kind, "source": source} for kind, source in NOTEBOOK.values()]
    saved = {"nbformat": 4, "cells": [*cells, off]}
    (tmp_path / "shop.ipynb").write_text(json.dumps(saved), "utf-8")
    llm.archive.open(tmp_path / "shop.ipynb")
    fail(shell, "mean([1])")
    assert run(shell, "%llm /fix").text == (
        "`mean` is bound by cell 4 (`def mean(rows):`), which has not run in this "
        "kernel. Run cells 2 and 4, then cell [1] again."
    )
    scripted.replies.append("print(1)\n```")
    fail(shell, "key")
    assert "cell 14" not in run(shell, "%llm /fix").text


def test_a_draft_that_needs_a_cell_is_not_blamed_for_its_name(
    page: LabPage, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    show(page)
    scripted.replies.append("print(prices['tea'])\n```")
    shown = run(shell, "%%llm -f code\nPrint the price of tea.").text
    assert len(scripted.requests) == 1
    assert "not tried: `prices` is bound by cell 3 (`prices = {" in shown
    assert "has not run in this kernel" in shown
    assert "nowhere" not in shown


def test_an_edited_cell_may_use_a_name_that_is_not_there_yet(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    show(page, cell("mine", "x = 1"))
    scripted.replies.append("x = prices['tea'] + unmade\n```")
    shown = {"id": "mine", "source": "x = 1", "error": None}
    how = {"selection": None, "instruction": "the price of tea", "task": "edit"}
    found = page.reply(page.ask("act", action="edit", cell=shown, **how))
    assert found["unknown_names"] == ["unmade"]


def test_ghost_text_may_use_a_name_that_is_not_there_yet(
    page: LabPage, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm.current.residents, "all", residents_of(scripted))
    show(page, cell("mine", ""))
    scripted.replies.append(" prices['tea']\n")
    place = {"cell_id": "mine", "kind": "code", "prefix": "x =", "suffix": ""}
    wanted = {"is_invoked": False, "num_items": 1, "max_lines": 8}
    page.reply(page.ask("complete", revision=1, place=place | wanted))
    assert page.of_kind("completion")[-1]["text"] == " prices['tea']"


@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("note = '''one\ntwo'''\nx = 1", " (`x = 1`)"),
        ("password = '''hunter2hunter2\nsecond line\nthird'''\nx = 1\ny = 2", " (`x = 1`)"),
        ("password = x = 'hunter2hunter2'", ""),
    ],
)
def test_the_line_that_binds_a_name_is_shown_unless_it_holds_a_secret(
    above: str, line: str
) -> None:
    unrun = Unrun(lambda: Document((DocumentCell("a", "code", above),)))
    why = unrun.missing(["x + 1"], {})
    assert why == f"`x` is bound by cell 1{line}, which has not run in this kernel"
