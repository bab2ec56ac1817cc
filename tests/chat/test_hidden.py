"""What is hidden by its cell or its name is in no prompt; in a real shell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.frontends.comm.suggestions import description, suggestions
from jupyter_llm.frontends.mcp import tools
from jupyter_llm.notebook.values import secrets, seen_secrets
from jupyter_llm.tasks.completing.prompt import names_comment

HIDDEN_CELL = """
def share(total):
    hush = total * 471108
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
    seen_secrets.forget()
    secrets.forget()


@pytest.fixture
def told(resident: ScriptedEngine) -> ScriptedEngine:
    resident.replies.clear()
    resident.replies.extend(["```python\npart = 1\n```"] * 80)
    return resident


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
    for secret in ("hush", "471108"):
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
    run(shell, "import pandas as pd\nstaff = pd.DataFrame({'grade': [471108]})")
    run(shell, "codes = {'left': 'xq17'}")
    assert "hidden" in run(shell, "%llm /hide staff codes").text
    run(shell, "staff.merge(codes['lefd'])", raises=KeyError, store_history=True)
    ask(shell, "-c none What of @staff and @codes?", "-c none It is {{staff}} and {{codes}}.")
    ask(shell, "--no-try /fix", "/explain staff", "/explain error", "--vars staff,codes Hello")
    prompts = "\n".join(told.format(request.prompt) for request in told.requests)
    assert prompts.count("staff: ") > 2
    for value in ("471108", "xq17", "grade", "left"):
        assert value not in prompts
    run(shell, "%llm /show staff")
    ask(shell, "-c none What of @staff?")
    assert "471108" in told.format(told.requests[-1].prompt)


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
    assert "(left out: it may show `staff`, which is hidden)" in prompts
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


BOUND = {
    "a number": "pay = 471108",
    "a word": "pay = 'hush'",
    "a list": "pay = ['hush', 471108]",
    "an int of many digits as a text": "pay = 'hush-471108'",
    "one of several names": "rate, pay = 1, {'hush': 471108}",
    "a target of a loop": "for pay in [1, 471108]: pass",
    "a function": "def pay(hush=471108):\n    'It is 471108.'",
    "a class": "class pay:\n    'It is 471108.'\n    def hush(self): return 471108",
    "a switch": "pay = dict(hush=471108)\nrows = pay",
    "what code runs": "exec('pay = [471108]')",
    "what a cell had bound when it failed": "pay = [471108]\n1 / 0\nlater = 2",
    "an output": "pay = [471108]\npay",
    "a table": "import pandas as pd\npay = pd.DataFrame({'hush': [471108]})",
}
ABOUT_PAY = (
    *("-c all What of pay?", "-c all It is @pay.", "/fix"),
    *("--vars pay Hello", "--no-try /fix", "/explain 2", "/explain pay", "/explain error"),
    *("-f code --no-try -c all Plot `pay`", "/doc pay", "-c all @_1", "--vars _1 Hello"),
)


def told_of(shell: InteractiveShell, told: ScriptedEngine, name: str = "pay") -> str:
    """All that anybody is told of a notebook: prompts, agents, ghost text, completions."""
    start = len(told.requests)
    ask(shell, *(one.replace("pay", name) for one in ABOUT_PAY))
    texts = [told.format(request.prompt) for request in told.requests[start:]]
    texts += [run(shell, f"%llm {line}").text for line in ("/context", "--dry-run -c all Hello")]
    task, snapshot = llm.task(), llm.timeline.snapshot()
    texts += [tools.list_cells(task), tools.list_variables(task)]
    with contextlib.suppress(OptionError):
        texts.append(tools.read_variables(task, [name]))
    with contextlib.suppress(MagicUsageError):
        texts.append(tools.last_failure(task))
    texts += [tools.search_notebook(task, one) for one in ("471108", "hush")]
    texts.append(names_comment([name], shell.user_ns))
    texts += [item.detail for item in suggestions("@", 1, snapshot.visible).items]
    texts.append(description("variable", name, snapshot))
    return "\n".join(texts)


@pytest.mark.parametrize("source", BOUND.values(), ids=BOUND)
def test_what_only_a_hidden_cell_has_bound_is_told_nowhere(
    shell: InteractiveShell, told: ScriptedEngine, source: str
) -> None:
    failure = ZeroDivisionError if "1 / 0" in source else None
    run(shell, source, cell_id="a", store_history=True, raises=failure)
    run(shell, "same = pay; print(same)\npay", cell_id="b", store_history=True)
    run(shell, "same", cell_id="c", store_history=True)
    run(shell, "def use(pay):\n    return len([pay]) / 0\nuse(pay)", raises=ZeroDivisionError)
    before = told_of(shell, told)
    assert "471108" in before or "hush" in before
    run(shell, "%llm /hide 1")
    found = told_of(shell, told) + told_of(shell, told, "same")
    ask(shell, "It is {{pay}}, {{same}} and {{Out.get(1, 0)}}.")
    found += told.format(told.requests[-1].prompt)
    assert "471108" not in found.replace("'471108'", "")
    assert "hush" not in found.replace("'hush'", "")


@pytest.mark.parametrize(
    "source", ["if False: pay = 1", "pay.missing\npay = 1", "other = pay", "del other, pay.missing"]
)
def test_what_a_hidden_cell_has_bound_stays_hidden_if_no_other_cell_has_bound_it(
    shell: InteractiveShell, told: ScriptedEngine, source: str
) -> None:
    run(shell, "pay = other = [471108]", cell_id="a", store_history=True)
    run(shell, "%llm /hide 1")
    error = AttributeError if "missing" in source else None
    run(shell, source, cell_id="b", store_history=True, raises=error)
    assert "471108" not in told_of(shell, told)


def test_another_cell_that_binds_the_name_makes_it_visible_but_not_what_it_stood_for(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    for cell_id, source in enumerate(["pay = [471108]", "same = pay", "pay", "pay = [33]", "pay"]):
        run(shell, source, cell_id=f"c{cell_id}", store_history=True)
    run(shell, "%llm /hide 1")
    found = told_of(shell, told) + told_of(shell, told, "same")
    assert "471108" not in found
    assert "pay: list, 1 item of int" in found
    assert "Out [5]:\n[33]" in found
    assert "Out [3]:\n(left out: it may show `pay`, which is hidden)" in found
    run(shell, "pay = [471108]", cell_id="c0", store_history=True)
    assert "33" not in tools.read_variables(llm.task(), ["pay"])
    run(shell, "%llm /unhide 1")
    assert "471108" in tools.read_variables(llm.task(), ["same", "pay"])
    assert "Out [3]:\n[471108]" in tools.read_cell(llm.task(), 3)
    run(shell, "%llm /hide 1")
    run(shell, "%llm /show same")
    assert "471108" in tools.read_variables(llm.task(), ["same", "pay"])


def test_a_hidden_cell_hides_what_it_binds_while_it_runs_and_no_module_it_imports(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    llm.timeline.see_tags({"a": True})
    source = """from jupyter_llm import llm
from jupyter_llm.frontends.mcp import tools
import math, collections as coll
from math import sqrt
pay = same = [471108]
meanwhile = tools.read_variables(llm.task(), ['pay', 'same'])"""
    run(shell, source, cell_id="a", store_history=True)
    assert "471108" not in shell.user_ns["meanwhile"]
    assert "471108" not in told_of(shell, told)
    run(shell, "print(math.pi, coll.Counter(), sqrt(4))", cell_id="b", store_history=True)
    assert "2.0" in tools.read_cell(llm.task(), 2)
    run(shell, "%reload_ext jupyter_llm")
    assert "471108" not in tools.read_variables(llm.task(), ["pay"])
    llm.timeline.see_tags({"a": False})
    assert "471108" in tools.read_variables(llm.task(), ["pay"])


def test_what_earlier_prompts_told_is_left_out_of_later_ones_once_it_is_hidden(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    run(shell, "staff = [4711]; staff", cell_id="a", store_history=True)
    run(shell, "staff", cell_id="b", store_history=True)
    ask(shell, "-c all --chat x What of @staff?")
    run(shell, "%llm /hide staff")
    ask(shell, "-c all --chat x And now?")
    first, second = (told.format(request.prompt) for request in told.requests[-2:])
    assert first.count("4711") > second.count("4711") == 1  # what was typed
    assert "What of staff?" in second


def test_context_tells_nothing_of_a_hidden_cell_but_its_number(
    shell: InteractiveShell, told: ScriptedEngine
) -> None:
    run(shell, "pay = [471108]", cell_id="a", store_history=True)
    run(shell, "%llm /hide 1")
    assert "| In [1] | out | hidden |" in run(shell, "%llm /context").text
    assert "471108" not in run(shell, "%llm /context").text
    assert told.requests == []
