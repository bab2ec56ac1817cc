"""The cells of a task do in the kernel what they did in the try, or the next one is held."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.seal import needs_seal
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.errors import JupyterLLMError

pytestmark = [needs_seal, pytest.mark.slow]

REPLY = "clean = [p for p in prices if p > 0]\n\ntotal = sum(clean)\n\ntotal * 2\n"


@pytest.fixture
def cells(shell: InteractiveShell, scripted: ScriptedEngine) -> tuple[str, ...]:
    """The cells of a task that were tried and have not run."""
    run(shell, "prices = [3, -1, 4]")
    scripted.replies.append(REPLY)
    return llm.do("Add up the positive prices", context="none", temperature=0).sources


def test_cells_that_do_what_they_did_in_the_try_run_without_a_word(
    shell: InteractiveShell, cells: tuple[str, ...]
) -> None:
    assert len(cells) == 3
    assert [run(shell, cell).text for cell in cells] == ["", "", ""]
    assert shell.user_ns["total"] == 7


def test_a_kernel_that_has_moved_on_says_so_before_the_first_cell_runs(
    shell: InteractiveShell, cells: tuple[str, ...]
) -> None:
    run(shell, "prices.append(5)")
    with pytest.raises(JupyterLLMError, match="have changed since the cells were tried: prices is"):
        run(shell, cells[0])
    assert "clean" not in shell.user_ns
    run(shell, cells[0])  # it is said once
    assert shell.user_ns["clean"] == [3, 4, 5]


def test_the_next_cell_is_held_when_one_came_out_otherwise(
    shell: InteractiveShell, cells: tuple[str, ...]
) -> None:
    run(shell, "sum = max")
    run(shell, cells[0])
    run(shell, cells[1])
    with pytest.raises(JupyterLLMError, match=r"Cell 2 of the task .* total is int 4, not int 7"):
        run(shell, cells[2])
    assert run(shell, cells[2]).text == ""


def test_an_edited_cell_and_other_cells_are_not_compared(
    shell: InteractiveShell, cells: tuple[str, ...]
) -> None:
    run(shell, "prices = 'none'")
    run(shell, "clean = [1]")
    run(shell, cells[1].replace("sum", "len"))
    run(shell, cells[2])
    assert shell.user_ns["total"] == 1


def test_steps_name_what_shares_an_object_and_what_they_delete(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    run(shell, "items = [1]\nsame = items\nold = 2\nother = [1]")
    scripted.replies.append("items.append(2)\n\ndel old\n")
    steps = llm.do("Append 2", context="none", temperature=0)
    changes: dict[str, Any] = {one.name: (one.before, one.after) for one in steps.changes}
    assert changes.keys() == {"items", "same", "old"}
    assert changes["same"] == changes["items"]
    assert changes["old"] == ("int 2", "")
