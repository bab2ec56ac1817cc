"""What agents of others are told of a notebook in a real shell, and what they are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support import hostile
from support.seal import needs_seal
from support.shell import run

from jupyter_llm import llm, register
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.frontends.mcp import tools
from jupyter_llm.notebook.values import secrets, seen_secrets, summaries

KEY = "sk-proj-9f8aQ2Lm4Zx7Rt1Vb6Nc3Wd5"
HIDDEN_CELL = """
def share(total):
    hush = total * 471108
    return hush / nowhere
""".strip()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(summaries, "_registry", {})
    yield
    seen_secrets.forget()
    secrets.forget()


def cell(shell: InteractiveShell, code: str, cell_id: str, **how: type[BaseException]) -> None:
    run(shell, code, cell_id=cell_id, store_history=True, **how)


def read_all() -> str:
    """What all tools tell that take no code, whatever is asked of them."""
    task = llm.task()
    told = [tools.list_cells(task), tools.list_variables(task)]
    names = [line.partition(":")[0] for line in told[-1].splitlines()]
    told += [tools.read_variables(task, [name]) for name in names]
    told += [said(partial(tools.read_cell, task, count)) for count in range(1, 9)]
    told.append(said(partial(tools.last_failure, task)))
    told += [tools.search_notebook(task, one) for one in "aeiou15_="]
    return "\n".join(told)


def said(tell: Callable[[], str]) -> str:
    try:
        return tell()
    except (MagicUsageError, OptionError) as error:
        return str(error)


def test_cells_are_told_in_their_order_with_what_they_showed(shell: InteractiveShell) -> None:
    assert tools.list_cells(llm.task()) == "0 cells ran; the last 0 of them:"
    cell(shell, "price = 3\nprint('so')\nprice * 2", "a")
    cell(shell, "price / 0", "b", raises=ZeroDivisionError)
    cell(shell, "print('third')", "c")
    assert tools.list_cells(llm.task(), 2) == (
        "3 cells ran; the last 2 of them:\n\n"
        "In [2]:\nprice / 0\nOut [2]:\nZeroDivisionError: division by zero\n"
        "  In [2], line 1, in <module>: price / 0\n\n"
        "In [3]:\nprint('third')\nOut [3]:\nthird"
    )
    assert tools.read_cell(llm.task(), 1) == (
        "In [1]:\nprice = 3\nprint('so')\nprice * 2\nOut [1]:\nso\n6\n"
    )
    with pytest.raises(MagicUsageError, match=r"no cell \[7\] here. The nearest is \[3\]"):
        tools.read_cell(llm.task(), 7)


def test_a_long_cell_is_cut_among_others_and_told_whole_alone(shell: InteractiveShell) -> None:
    cell(shell, "for i in range(300):\n    print('row', i)", "a")
    assert "row 150\n" not in tools.list_cells(llm.task())
    assert "characters left out" in tools.list_cells(llm.task())
    assert "row 150\n" in tools.read_cell(llm.task(), 1)


def test_variables_are_told_a_line_each_and_summaries_of_some(shell: InteractiveShell) -> None:
    assert tools.list_variables(llm.task()) == "There are no variables."
    cell(
        shell, "import re\nimport pandas as pd\ndf = pd.DataFrame({'city': ['Rome', 'Oslo']})", "a"
    )
    cell(shell, "def double(x: int) -> int: return 2 * x\n_private = rows = [1, 2]", "b")
    names = [line.partition(":")[0] for line in tools.list_variables(llm.task()).splitlines()]
    assert names == ["df", "double", "rows"]
    assert "2 rows" in tools.list_variables(llm.task())
    told = tools.read_variables(llm.task(), ["df", "double"])
    assert "Oslo" in told
    assert "double: " in told
    assert "-> int" in told
    with pytest.raises(OptionError, match=r"no variable 'dff'. Did you mean df\?"):
        tools.read_variables(llm.task(), ["rows", "dff"])


def test_the_last_failure_is_told_and_whether_its_cell_ran_well_since(
    shell: InteractiveShell,
) -> None:
    assert tools.last_failure(llm.task()) == "No cell has failed."
    cell(shell, "prices = {'rome': 3}", "a")
    cell(shell, "prices['romee']", "b", raises=KeyError)
    told = tools.last_failure(llm.task())
    assert told.startswith("KeyError: 'romee'")
    assert "near it is 'rome'" in told
    assert "- cell [2], line 1: prices['romee']" in told
    assert "- prices: dict, 1 item, keys: str; values: int" in told
    cell(shell, "prices['rome']", "b")
    assert (
        tools.last_failure(llm.task()) == f"{told}\n\nThat cell ran again later, without an error."
    )


def test_all_words_are_found_in_cells_variables_and_the_failure(shell: InteractiveShell) -> None:
    cell(shell, "towns = ['Rome', 'Oslo']", "a")
    cell(shell, "print('Rome has', 2.8, 'million people')", "b")
    cell(shell, "towns['Rome']", "c", raises=TypeError)
    found = tools.search_notebook(llm.task(), "ROME").splitlines()
    assert [one.partition(":")[0] for one in found] == [
        *("cell [3]", "cell [2]", "cell [1]"),
        *("variable towns", "the last failure"),
    ]
    assert tools.search_notebook(llm.task(), "million rome").startswith("cell [2]: ")
    assert tools.search_notebook(llm.task(), "rome nowhere") == "Nothing matches."


def test_no_tool_tells_of_a_hidden_cell_or_a_secret(shell: InteractiveShell) -> None:
    cell(shell, HIDDEN_CELL, "a")
    cell(shell, f"api_key = {KEY!r}\nheaders = ['Bearer', api_key]\nprint(api_key)", "b")
    cell(shell, "import pandas as pd\nstaff = pd.DataFrame({'grade': ['xq' + '17']})\nstaff", "c")
    cell(shell, "part = 3\nshare(part)", "d", raises=NameError)
    run(shell, "%llm /hide 1")
    run(shell, "%llm /hide staff")
    told = read_all()
    for hidden in ("hush", "471108", KEY, KEY[8:], "xq17"):
        assert hidden not in told
    assert "share(part)" in told
    assert "a step in a cell that is hidden" in told
    assert "Cell [1] is hidden from the model." in told
    # Nor does anybody learn of it by guessing.
    for guess in (KEY, KEY[:12], "hush", "471108", "xq17"):
        assert tools.search_notebook(llm.task(), guess) == "Nothing matches."
    run(shell, "%llm /hide d")
    assert "is hidden from the model" in said(lambda: tools.last_failure(llm.task()))
    assert "last failure" not in tools.search_notebook(llm.task(), "share")


def test_reading_runs_no_code_of_the_notebooks(shell: InteractiveShell) -> None:
    cell(shell, "ran = []\nclass Own:\n    def __repr__(self): ran.append('repr'); return 'x'", "a")
    cell(
        shell,
        "class Told(Own):\n    def __init__(self): self.patient = 'A' + 'da'\n"
        "    def _ai_repr_(self): ran.append('ai'); return 'one patient'\n"
        "class Loud(Exception):\n    def __str__(self): ran.append('str'); return 'loud'\n"
        "class Plain:\n    def __init__(self): self.patient = 'B' + 'ob'\n",
        "b",
    )
    cell(shell, "own, told, both, plain = Own(), Told(), [Own(), Told()], Plain()", "c")
    register(shell.user_ns["Plain"], lambda _value, _room: shell.user_ns["ran"].append("r") or "p")
    cell(
        shell, "def fail(who):\n    raise Loud(who)\nfail(told)", "d", raises=shell.user_ns["Loud"]
    )
    shell.user_ns["ran"].clear()
    told = read_all()
    assert shell.user_ns["ran"] == []
    # What a class leaves out of its own words stands in no others.
    assert re.findall(r"(?m)^(?:plain|told): .*which was not run.*", told)
    assert "Ada" not in told
    assert "Bob" not in told


def test_hostile_values_are_read_and_nothing_of_them_runs(shell: InteractiveShell) -> None:
    values = hostile.namespace()
    shell.user_ns.update(values)
    hostile.ran.clear()
    try:
        names = {line.partition(":")[0] for line in tools.list_variables(llm.task()).splitlines()}
        assert names == {*values}
        for name in values:
            assert tools.read_variables(llm.task(), [name]).startswith(f"{name}: ")
        tools.search_notebook(llm.task(), "e")
    finally:
        for name in values:
            del shell.user_ns[name]
    assert hostile.ran == []


def test_no_tool_changes_anything(shell: InteractiveShell) -> None:
    cell(shell, "rows = [1, 2]\nrows", "a")
    cell(shell, "rows[5]", "b", raises=IndexError)

    def state() -> object:
        ids = {name: id(value) for name, value in shell.user_ns.items()}
        return ids, shell.execution_count, llm.timeline.cells, llm.last_error.get(), llm.answers

    before = state()
    read_all()
    tools.try_code(llm.task(), "rows.append(3); mine = 4; rows")
    assert state() == before
    assert shell.user_ns["rows"] == [1, 2]


@pytest.mark.slow
@needs_seal
def test_code_is_tried_and_nothing_is_kept_of_it(shell: InteractiveShell) -> None:
    cell(shell, "rows = [1, 2]", "a")
    told = tools.try_code(llm.task(), "rows.append(3)\nmine = sum(rows)\nprint('so')\nmine", 20)
    assert told.startswith("The code ran in a sealed copy")
    assert "\n\nIt printed:\nso\n\nIts value:\n6\n\nIt would set: mine" in told
    assert "mine" not in shell.user_ns
    told = tools.try_code(llm.task(), "x = 1\nrows['a']", 20)
    assert told.startswith("The code raises TypeError: list indices must be")
    assert "(line 2)" in told
    assert "\n\nThe error:\nTypeError: " in told
    assert tools.try_code(llm.task(), "open('x', 'w')").startswith("not tried: it would write")
    assert tools.try_code(llm.task(), "!ls").startswith("not tried: it would start a process")
    run(shell, "%config LLMMagics.try_drafts = False")
    assert tools.try_code(llm.task(), "1") == "not tried: that is switched off"


@pytest.fixture
def with_hidden(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell with a hidden cell, hidden variables and secrets, which a visible cell uses."""
    monkeypatch.setenv("GITHUB_TOKEN", f"ghp_{KEY}")
    cell(shell, HIDDEN_CELL, "a")
    cell(shell, f"api_key = {KEY!r}\nthings, sesame = [api_key], api_key\nplan = 'xq17'", "b")
    cell(shell, "import pandas as pd\nstaff = pd.DataFrame({'grade': [plan]})\nsame = staff", "c")
    cell(shell, "staff", "d")
    cell(shell, "rows = [1, 2]\ndef total(part): return share(part) + sum(rows)\nrows", "e")
    run(shell, "%llm /hide 1")
    run(shell, "%llm /hide plan")
    run(shell, "%llm /hide staff")
    return shell


def tried(code: str) -> str:
    return tools.try_code(llm.task(), code, 20)


@pytest.mark.slow
@needs_seal
@pytest.mark.usefixtures("with_hidden")
@pytest.mark.parametrize("name", ["api_key", "sesame", "plan", "staff", "same", "share"])
def test_what_is_hidden_has_no_name_where_agents_try_code(name: str) -> None:
    assert tried(f"{name}") == f"not tried: it needs `{name}`, which is hidden"
    assert "The code ran in a sealed copy\n\nIts value:\nFalse" in tried(
        f"'{name[:2]}' '{name[2:]}' in globals()"
    )


@pytest.mark.slow
@needs_seal
@pytest.mark.usefixtures("with_hidden")
@pytest.mark.parametrize(
    "code",
    [
        "import inspect\nprint(inspect.getsource(share))",
        "import inspect\nprint(inspect.getsource(total.__globals__.get('share', total)))",
        "import linecache\nlinecache.cache",
        "[v for v in globals().values() if isinstance(v, str)]",
        "[o for o in globals().values() if type(o).__name__ == 'DataFrame']",
        "import dis\nfor o in list(globals().values()):\n    if callable(o): dis.dis(o)",
        "In, Out, _ih, _oh, globals().get('_i1'), globals().get('_4'), globals().get('_')",
        "h = get_ipython().history_manager\n*h.get_range(), *h.get_tail(9), vars(h)",
        "r = get_ipython().last_execution_result\nr and r.info.raw_cell",
        "vars(get_ipython().displayhook)",
        "import os\n{**os.environ}, os.getenv('GITHUB_TOKEN', '')[::-1]",
        "import gc\n[o for o in gc.get_objects() if type(o).__name__ == 'DataFrame']",
        "total(1)",
    ],
)
def test_code_of_an_agents_finds_nothing_that_is_hidden(code: str) -> None:
    told = tried(code)
    assert told.startswith(("The code r", "not tried: it needs `share`"))
    for one in ("hush", "471108", KEY, KEY[::-1], KEY[8:], "xq17"):
        assert one not in told


@pytest.mark.slow
@needs_seal
@pytest.mark.usefixtures("with_hidden")
@pytest.mark.parametrize(
    "words", ["# In this cell", "'Out of stock'", "# share the plan, staff _1"]
)
def test_code_is_tried_whatever_words_stand_in_it(words: str) -> None:
    assert tried(f"print(len(rows))  {words}" if words[0] == "#" else words).startswith(
        "The code r"
    )


@pytest.mark.slow
@needs_seal
def test_what_only_equals_a_secret_that_is_none_keeps_its_name(shell: InteractiveShell) -> None:
    cell(shell, "password, nothing, token, sep, otp, count = None, None, '', '', 5, 5", "a")
    assert "\n(None, '', 5)" in tried("nothing, sep, count")
    assert tried("otp") == "not tried: it needs `otp`, which is hidden"


@pytest.mark.slow
@needs_seal
def test_a_draft_may_use_what_is_hidden_and_its_error_tells_none_of_it(
    with_hidden: InteractiveShell,
) -> None:
    tries = llm.task().tries
    assert tries.seen("len(api_key), len(staff), rows is Out[5]").result == f"({len(KEY)}, 1, True)"
    seen = tries.seen("total(1)", timeout_s=20)
    assert seen.text == "raises NameError: name 'nowhere' is not defined"
    assert "total(1)" in seen.report
    for told in (seen.report, tries.seen("raise ValueError(In, globals().get('_i1'))").report):
        assert "hush" not in told
    assert "share" in with_hidden.user_ns
    assert "hush" in with_hidden.user_ns["In"][1]
