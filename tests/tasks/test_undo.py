"""Runs of written code are undone: what they changed comes back, what the user changed stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.seal import needs_seal
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.errors import UndoError
from jupyter_llm.models.machine import FreeMemory
from jupyter_llm.tasks.undo import KeptRuns

pytestmark = [needs_seal, pytest.mark.slow]

Shell = Any


@pytest.fixture
def shell_of() -> Callable[..., Shell]:
    """Make shells with variables."""
    return lambda **variables: SimpleNamespace(user_ns=variables, user_ns_hidden={})


def ran(kept: KeptRuns, shell: Shell, code: str) -> None:
    """Run code that a model wrote."""
    kept.wrote(code)
    kept.begin(code, shell)
    exec(code, shell.user_ns)  # noqa: S102
    shell.user_ns.pop("__builtins__")
    kept.end(shell)


@pytest.fixture
def kept() -> KeptRuns:
    return KeptRuns()


def test_what_a_run_changed_made_and_deleted_is_undone(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    table = pd.DataFrame({"a": np.arange(5.0)})
    shell = shell_of(table=table, n=1, other=[1], gone=2)
    ran(kept, shell, "table['b'] = 0; n += 1; new = 3; del gone")
    undone = kept.undo(shell)
    assert (undone.restored, undone.deleted) == (("gone", "n", "table"), ("new",))
    assert shell.user_ns["table"].columns.tolist() == ["a"]
    assert {**shell.user_ns, "table": None} == {"table": None, "n": 1, "other": [1], "gone": 2}
    assert str(undone).startswith("Undone: the run of `table['b'] = 0; ")


def test_what_the_user_changed_after_the_run_stays(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    shell = shell_of(n=1, items=[1])
    ran(kept, shell, "n = 2; items.append(2)")
    shell.user_ns["items"].append(3)
    undone = kept.undo(shell)
    assert shell.user_ns == {"n": 1, "items": [1, 2, 3]}
    assert undone.left == ("items",)
    assert "because you changed them afterwards: `items`." in str(undone)


def test_a_variable_of_the_users_is_not_replaced_for_sharing_an_object(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    items = [1]
    shell = shell_of(items=items, holder={"items": items})
    ran(kept, shell, "items.append(2)")
    shell.user_ns["holder"]["mine"] = 5
    kept.undo(shell)
    assert shell.user_ns == {"items": [1], "holder": {"items": [1, 2], "mine": 5}}


def test_what_cannot_be_copied_is_named_with_its_reason(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    shell = shell_of(steps=(i for i in range(3)), lock=threading.Lock(), n=1)
    ran(kept, shell, "lock = None; n = 2")
    undone = kept.undo(shell)
    assert undone.restored == ("n",)
    assert [name for name, _ in undone.opaque] == ["lock", "steps"]
    assert "`lock` (lock: cannot pickle '_thread.lock' object)" in str(undone)
    assert shell.user_ns["lock"] is None


def test_five_runs_are_undone_one_after_the_other_and_no_process_stays(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    shell = shell_of(n=0, words=["a", chr(97)])
    before = len(psutil.Process().children())
    for _ in range(6):
        ran(kept, shell, "n += 1; words = words + ['a']")
    for number in range(5, 0, -1):
        kept.undo(shell)
        assert shell.user_ns == {"n": number, "words": ["a"] * (number + 2)}
    with pytest.raises(UndoError, match="nothing to undo: all kept runs are undone"):
        kept.undo(shell)
    assert len(psutil.Process().children()) == before


def test_runs_are_dropped_when_their_old_values_need_more_memory_than_is_free(
    kept: KeptRuns, shell_of: Callable[..., Shell], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_of(big=np.ones(5_000_000))
    ran(kept, shell, "big[:] = 1")
    assert kept.num_bytes >= shell.user_ns["big"].nbytes
    little = FreeMemory(ram_bytes=1000, vram_bytes=None)
    monkeypatch.setattr("jupyter_llm.tasks.undo.free_memory", lambda: little)
    ran(kept, shell, "big[:] = 2")
    with pytest.raises(UndoError, match="would use more memory than is free"):
        kept.undo(shell)
    assert kept.num_bytes == 0


def test_a_copy_that_the_system_ended_costs_its_run_alone(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    shell = shell_of(n=0)
    ran(kept, shell, "n = 1")
    others = set(psutil.Process().children())
    ran(kept, shell, "n = 2")
    for copy in set(psutil.Process().children()) - others:
        copy.kill()
    with pytest.raises(UndoError, match="has ended"):
        kept.undo(shell)
    shell.user_ns["n"] = 1
    kept.undo(shell)
    assert shell.user_ns == {"n": 0}


def test_no_run_is_undone_from_a_thread_while_a_cell_runs(
    kept: KeptRuns, shell_of: Callable[..., Shell]
) -> None:
    shell = shell_of(n=0)
    ran(kept, shell, "n = 1")
    with ThreadPoolExecutor() as pool, pytest.raises(UndoError, match="A cell is running"):
        pool.submit(kept.undo, shell).result()
    kept.undo(shell)
    assert shell.user_ns == {"n": 0}


def test_a_cell_that_a_prompt_wrote_is_undone_by_a_command(
    shell: InteractiveShell, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda code, **_options: landed.append(code))
    scripted.replies.append("prices.append(3)\nprices")
    run(shell, "prices = [1, 2]")
    run(shell, "%llm -f code Append 3 to the list `prices`")
    run(shell, landed[0])
    run(shell, "mine = 5")
    assert dict(llm.status().rows())["kept for `/undo`"].startswith("1 run, ")
    text = run(shell, "%llm /undo").text
    assert "Restored: `prices`." in text
    assert shell.user_ns["prices"] == [1, 2]
    assert shell.user_ns["mine"] == 5
    with pytest.raises(UndoError):
        llm.undo()
