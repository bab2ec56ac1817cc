"""Cells of a real shell on the timeline."""

from __future__ import annotations

import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import extension, run

from jupyter_llm import llm
from jupyter_llm.notebook.cells.events import CellEvent, Output

pytestmark = pytest.mark.usefixtures("shell")


CLEAR = "from IPython.display import clear_output\n"


def record(
    shell: InteractiveShell,
    code: str,
    *,
    cell_id: str | None = None,
    raises: type[BaseException] | None = None,
) -> CellEvent:
    before = len(llm.timeline.cells)
    run(shell, code, cell_id=cell_id, raises=raises, store_history=True)
    (cell,) = llm.timeline.cells[before:]
    return cell


def outputs(cell: CellEvent) -> list[tuple[str, str]]:
    return [(output.kind, output.text) for output in cell.outputs]


def test_a_cell_is_its_source_its_count_and_its_id(shell: InteractiveShell) -> None:
    first = record(shell, "%time x = 1", cell_id="a")
    second = record(shell, "x = 2", cell_id="a")
    assert (first.source, first.cell_id) == ("%time x = 1", "a")
    assert second.execution_count == (first.execution_count or 0) + 1
    assert second.number == first.number + 1


SHOWS = """
print('one'); print('two')
import logging, sys; print('careful', file=sys.stderr)
logging.getLogger('Comm').warning('No such comm: 7')
display({'text/plain': 'shown'}, raw=True)
print('No such comm: 8')
6 * 7"""
RUNS_INSIDE = """
get_ipython().run_cell("print(1)", store_history=True)
get_ipython().run_cell(" ")
print(2)"""
GOES_ELSEWHERE = """
import contextlib, io
from IPython.utils.capture import capture_output
with contextlib.redirect_stdout(io.StringIO()): print("away")
with capture_output(): print("caught"); display(1)"""
COUNTS = f"{CLEAR}for step in range(3):\n    clear_output(wait=%s)\n    print(step)"
UPDATES = "handle = display(1, display_id='h')\nprint('between')\nhandle.update(2)"
THREAD = "import threading\nt = threading.Thread(target=lambda: print(1)); t.start(); t.join()"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            SHOWS,
            (
                "stdout: one\ntwo\n|stderr: careful\n|display: shown"
                "|stdout: No such comm: 8\n|result: 42"
            ),
        ),
        (RUNS_INSIDE, "stdout: 1\n2\n"),
        (GOES_ELSEWHERE, ""),
        (f"{CLEAR}print(1)\nclear_output()", ""),
        (COUNTS % False, "stdout: 2\n"),
        (COUNTS % True, "stdout: 2\n"),
        (f"{CLEAR}print(1)\nclear_output(wait=True)", "stdout: 1\n"),  # nothing came after it
        (UPDATES, "display: 2|stdout: between\n"),
        (THREAD, "stdout: 1\n"),
    ],
)
def test_what_a_cell_shows_is_there_in_its_order(
    shell: InteractiveShell, code: str, expected: str
) -> None:
    shown = record(shell, code).outputs
    assert "|".join(f"{output.kind}: {output.text}" for output in shown) == expected


@pytest.mark.parametrize(
    ("bundle", "text"),
    [
        ({"text/plain": "<Figure size 1x1>", "image/png": "iVBORw0KGgo="}, "<image/png>"),
        ({"text/html": "<b>x</b>"}, "<text/html>"),
        ({"text/html": "x", "text/plain": "<IPython.core.display.HTML object>"}, "<text/html>"),
        ({"application/x+json": {}, "text/plain": "chart"}, "chart"),
        ({"text/plain": "\x1b[31mred\x1b[0m"}, "red"),
    ],
)
def test_pictures_are_named_and_never_pasted(
    shell: InteractiveShell, bundle: dict[str, object], text: str
) -> None:
    shell.user_ns["bundle"] = bundle
    cell = record(shell, "display(bundle, raw=True)")
    assert cell.outputs == (Output("display", text),)


def test_a_failure_is_told_with_the_lines_it_came_from(shell: InteractiveShell) -> None:
    record(shell, "def price(row):\n    return row['price']")
    cell = record(shell, "rows = [{}]\nprice(rows[0])", raises=KeyError)
    count = cell.execution_count or 0
    assert cell.has_failed
    ((kind, text),) = outputs(cell)
    assert (kind, *text.split("\n  ")) == (
        "error",
        "KeyError: 'price'",
        f"In [{count}], line 2, in <module>: price(rows[0])",
        f"In [{count - 1}], line 2, in price: return row['price']",
    )


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        ("x = = 2", SyntaxError, "SyntaxError: invalid syntax\n  line 1: x = = 2"),
        ("if 1:\nx = 2", IndentationError, "IndentationError: expected an indented block"),
        ("raise ValueError('a\\nb')", ValueError, "ValueError: a\n  b\n  In ["),
        ("import json\njson.loads('{')", ValueError, "decoder.py, line"),
        ("%llm --temprature 1 x", ValueError, ""),
        ("1\n%llm --temprature 1 x", ValueError, "MagicUsageError: Unknown option"),
        ("raise KeyboardInterrupt", KeyboardInterrupt, "KeyboardInterrupt\n  In ["),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_any_error_is_short_and_plain(
    shell: InteractiveShell, code: str, error: type[BaseException], text: str
) -> None:
    run(shell, code, raises=error, store_history=True)
    if not text:
        assert llm.timeline.cells == ()
        return
    (output,) = (o for o in llm.timeline.cells[-1].outputs if o.kind == "error")
    assert text in output.text
    assert "\x1b" not in output.text
    assert len(output.text.splitlines()) < 12


@pytest.mark.parametrize(
    "code",
    [
        *("%llm hi", "%%llm\nhi", "# ask\n%llm hi\n%llm ho", "%llm x << hi", "%%llm -q\n/status"),
        "%reload_ext jupyter_llm",
        "# for the plots\n%config InlineBackend.figure_format = 'svg'",
        "%load_ext autoreload\n%autoreload 2\n%llm hi",
    ],
)
def test_prompts_and_what_only_loads_and_sets_something_are_no_cells(
    shell: InteractiveShell, scripted: ScriptedEngine, code: str
) -> None:
    run(shell, code, store_history=True)
    assert llm.timeline.cells == ()


def test_other_magics_are_cells_and_setting_up_is_one_where_it_fails(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    for code in ("%time 1", "x = 1\n%llm hi", "%%capture\n%llm hi", "y = '%llm'", "# nothing"):
        record(shell, code)
    assert record(shell, "%load_ext no_such_extension", raises=ModuleNotFoundError).has_failed


def test_answers_are_no_outputs(shell: InteractiveShell, scripted: ScriptedEngine) -> None:
    cell = record(shell, "print('before')\n%llm hi\nprint('after')\n%llm /status")
    assert outputs(cell) == [("stdout", "before\nafter\n")]


def test_cells_that_history_leaves_out_are_left_out(shell: InteractiveShell) -> None:
    run(shell, "x = 1")
    shell.run_cell("x = 1", silent=True)
    shell.run_cell("   \n", store_history=True)
    assert llm.timeline.cells == ()


def test_a_flood_is_cut_with_a_number(shell: InteractiveShell) -> None:
    (output,) = record(shell, "for n in range(30_000):\n    print('x' * 99)").outputs
    assert len(output.text) < 13_000
    assert "characters left out" in output.text
    texts = [shown.text for shown in record(shell, "for n in range(500):\n    display(n)").outputs]
    assert (texts[0], texts[-1], len(texts)) == ("0", "499", 33)
    assert "[… 468 outputs left out …]" in texts


def test_nothing_is_left_behind(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    def state() -> tuple[object, ...]:
        callbacks = {name: len(found) for name, found in shell.events.callbacks.items()}
        methods = vars(shell.display_pub).keys() & {"publish", "clear_output"}
        return callbacks, methods, "write_format_data" in vars(shell.displayhook)

    before = state()
    record(shell, "print(1)\ndisplay(2)\n3")
    extension(shell, "reload")
    assert state() == before
    extension(shell, "unload")
    run(shell, "print(4)", store_history=True)
    assert len(llm.timeline.cells) == 1
    extension(shell, "load")
    record(shell, "print(5)")
    assert capsys.readouterr().out.splitlines() == ["1", "Out[1]: 3", "4", "5"]
    assert state() == before


def test_a_cell_that_loads_the_extension_is_recorded_from_there(shell: InteractiveShell) -> None:
    extension(shell, "unload")
    run(shell, "%load_ext jupyter_llm\nprint('loaded')", store_history=True)
    (cell,) = llm.timeline.cells
    assert outputs(cell) == [("stdout", "loaded\n")]
    assert outputs(record(shell, "print('once')")) == [("stdout", "once\n")]


def test_what_cannot_be_recorded_is_shown_all_the_same(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("jupyter_llm.notebook.cells.outputs.CellOutputs.write", fail)
    monkeypatch.setattr("jupyter_llm.notebook.cells.outputs.CellOutputs.finish", fail)
    shell.run_cell("print('shown')", store_history=True)
    assert capsys.readouterr().out == "shown\n"
    assert threading.current_thread() is threading.main_thread()
