"""What is hidden by its cell or its name is in no prompt; in a real shell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.values import known, secrets

HIDDEN_CELL = """
def share(total):
    hush = total * 4711
    return hush / nowhere
""".strip()
ASKED = (
    *("-c all What is wrong with `share`?", "-c all It is {{part}}, @share and @In[2]."),
    *("-f code --no-try -c all Mend the share", "/explain 2", "/explain share", "/review share"),
    *("/explain error", "--no-try /fix", "--no-try /test share", "/doc share"),
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    known.forget()
    secrets.forget()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedEngine) -> ScriptedEngine:
    monkeypatch.setattr(type(llm.current), "resident", property(lambda _self: scripted))
    scripted.replies.extend(["```python\npart = 1\n```"] * 80)
    return scripted


def ask(shell: InteractiveShell, *prompts: str) -> None:
    """Ask, whatever comes of it."""
    for prompt in prompts:
        shell.run_cell(f"%llm {prompt}")


@pytest.mark.parametrize("when", ["before it is called", "after that"])
def test_no_prompt_tells_of_a_hidden_cell(
    shell: InteractiveShell, told: ScriptedEngine, when: str
) -> None:
    run(shell, HIDDEN_CELL, cell_id="a", store_history=True)
    if when == "before it is called":
        run(shell, "%llm /hide 1")
    run(shell, "part = 3\nshare(part)", cell_id="b", raises=NameError, store_history=True)
    if when == "after that":
        run(shell, "%llm /hide 1")
    ask(shell, *ASKED)
    prompts = "\n".join(told.format(request.prompt) for request in told.requests)
    for secret in ("hush", "4711"):
        assert secret not in prompts
    assert "share(part)" in prompts
    assert "- a step in a cell that is hidden" in prompts
    run(shell, "%llm /hide b")
    for prompt in ("/fix", "/explain error", "/fix 2", "/explain 1", "/explain 2"):
        refused = run(shell, f"%llm {prompt}", raises=MagicUsageError)
        assert "is hidden from the model" in str(refused.error)


def test_hide_with_a_name_hides_what_a_variable_holds(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    run(shell, "import pandas as pd\nstaff = pd.DataFrame({'grade': [4711]})")
    run(shell, "codes = {'left': 'xq17'}")
    assert "hidden" in run(shell, "%llm /hide staff codes").text
    run(shell, "staff.merge(codes['lefd'])", raises=KeyError, store_history=True)
    ask(shell, "-c none What of @staff and @codes?", "-c none It is {{staff}} and {{codes}}.")
    ask(shell, "--no-try /fix", "/explain staff", "/explain error", "--vars staff,codes Hello")
    prompts = "\n".join(told.format(request.prompt) for request in told.requests)
    assert prompts.count("staff: ") > 2
    for value in ("4711", "xq17", "grade", "left"):
        assert value not in prompts
    run(shell, "%llm /show staff")
    ask(shell, "-c none What of @staff?")
    assert "4711" in told.format(told.requests[-1].prompt)


def test_hide_with_a_name_hides_the_object_by_any_name_and_what_cells_showed_of_it(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    run(shell, "def best(a):\n    return max(a) / nowhere", cell_id="f", store_history=True)
    run(shell, "staff = [47, 11]; x = 3; other = {'part': staff}; same = staff")
    others = "print(bytes([120, 58, 32, 51, 51]).decode())"
    for source in ("print(staff[0])", "same[::-1]", "print(f'{x + 30}: X')", others):
        run(shell, source, store_history=True)
    run(shell, "best(staff)", raises=NameError, store_history=True)
    said = run(shell, "%llm /hide staff x f").text
    assert "In [1] is hidden: no prompt" in said
    assert "`staff`, `x`: hidden" in said
    run(shell, "%llm /unhide 1")
    ask(shell, "-c all It is {{same}}, @same @other.", "/explain error", "/explain same")
    ask(shell, "--no-try /fix", "--vars same Hello", "/explain 3", "-c none @X")
    prompts = "\n".join(told.format(request.prompt) for request in told.requests)
    for value in ("47", "11", "33: X"):
        assert value not in prompts
    assert "(not told: it may show `staff`, which is hidden)" in prompts
    assert "Variables in `best`:\n- a: <hidden" in prompts
    assert "x: 33" in prompts


def test_what_was_hidden_stays_so_under_any_name_it_had_when_names_stand_for_others(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    run(shell, "staff = [47, 11]; same = staff; x = 3; y = 3")
    for source in ("same[::-1]", "staff"):
        run(shell, source, store_history=True)
    run(shell, "%llm /hide staff x")
    for source in ("later = staff", "later[::-1]", "staff = staff[:1]; later = 0"):
        run(shell, source, store_history=True)
    asked = ("-c all It is {{same}}, {{_2}}, @same @staff.", "--vars same,staff,_2 Hello")
    ask(shell, *asked, "-c none @y")
    prompts = "\n".join(told.format(request.prompt) for request in told.requests)
    for value in ("47", "11"):
        assert value not in prompts
    assert "y: int 3" in prompts
    run(shell, "%llm /hide same")
    run(shell, "again = same", store_history=True)
    run(shell, "%llm /show same")
    ask(shell, "-c none @again")
    assert "[47, 11]" in told.format(told.requests[-1].prompt)
