"""What a small model is told where it is to write code: what it needs, as a program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.interrupts import interrupt_main
from support.scripted import SMALL, ScriptedEngine, messages_of
from support.shell import run

from jupyter_llm import PromptInterrupted, llm
from jupyter_llm.chat.script import literal_names, needed_cells, sources_that_ran
from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.request import RawPrompt, Request
from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.cells.pointing import points_back
from jupyter_llm.notebook.cells.timeline import Timeline

ASK = "%%llm -f code --no-try {}\n{}"


def script(
    shell: InteractiveShell, engine: ScriptedEngine, prompt: str, *, options: str = ""
) -> str | None:
    """What a model goes on with first when it is asked for code; None if it is asked in a chat."""
    engine.requests.clear()
    engine.replies.append("y = 1")
    run(shell, ASK.format(options, prompt), store_history=True)
    asked = engine.requests[0].prompt
    return asked.text if isinstance(asked, RawPrompt) else None


def test_it_ends_where_the_code_is_to_follow(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "rates = [0.07, 0.19]", store_history=True)
    found = script(shell, small, "the mean\nof the rates")
    assert found is not None
    assert found.endswith("]:\nrates = [0.07, 0.19]\n\n# In[2]:\n# the mean\n# of the rates\n")


def test_a_variable_is_told_by_what_it_is_and_not_by_its_values(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(
        shell,
        "import pandas as pd\ncities = pd.DataFrame({'town': 'Bergen Oslo'.split()})",
        store_history=True,
    )
    found = script(shell, small, "how many rows has cities?")
    assert found is not None
    assert "\n# cities: pandas DataFrame, 2 rows x 1 column; columns: town str\n" in found
    assert "# 'Bergen'" not in found


def test_what_a_program_cannot_say_is_asked_in_the_chat(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    assert script(shell, small, "roll a die", options="-s 'Be brief.'") is None


def test_after_an_answer_in_words_code_is_asked_in_the_chat(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    small.replies.append("Hello!")
    run(shell, "%%llm\nhi", store_history=True)
    assert script(shell, small, "roll that as a die") is None


def test_code_that_was_written_before_is_told_until_it_ran(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    small.replies.append("dice = [3, 5]")
    run(shell, ASK.format("", "roll two dice"), store_history=True)
    before = script(shell, small, "their sum")
    assert before is not None
    assert "# roll two dice\ndice = [3, 5]\n" in before
    run(shell, "dice = [3, 5]", store_history=True)
    after = script(shell, small, "their mean")
    assert after is not None
    assert after.count("dice = [3, 5]") == 1


def test_after_a_cell_that_failed_code_is_asked_in_the_chat(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    shell.run_cell("1 / 0", store_history=True)
    assert script(shell, small, "roll a die") is None


def test_secrets_are_left_out(shell: InteractiveShell, small: ScriptedEngine) -> None:
    run(shell, "password = 'correct horse battery'", store_history=True)
    found = script(shell, small, "print the length")
    assert found is not None
    assert "password" in found
    assert "horse" not in found


def test_it_ends_where_the_model_says_again_what_it_was_told(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "# note: by hand\ntotal = sum([1, 2])", store_history=True)
    script(shell, small, "print total")
    stop = small.requests[0].params.stop
    assert "\n# total: " in stop
    assert "\n# note: " not in stop


def test_where_it_is_not_good_a_draft_answers_the_chat_and_more_go_on_with_the_program(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    small.replies.extend([*["nowhere"] * 2, *["x = 1\n```"] * 2])
    run(shell, ASK.format("-t 0", "roll a die"), store_history=True)
    first, chat, *others = small.requests
    assert "roll a die" in messages_of(chat.prompt)[-1].content
    assert {request.prompt for request in others} == {first.prompt}
    assert [request.params.temperature for request in small.requests] == [0, 0, 0.7, 0.7]
    assert {request.conversation for request in (chat, *others)} == {None}


@pytest.mark.parametrize(
    ("drafts", "landed", "line"),
    [
        (["max(dice)", "m = dice[1]\nm"], "max(dice)", "2 of 2 drafts agree"),
        (["min(dice)", "max(dice)", "print(max(dice))"], "max(dice)", "2 of 3 drafts agree"),
        (["min(dice)", "1 / 0", "dice[", "m = min(dice)"], "min(dice)", "2 of 4 drafts agree"),
        ([f"dice[0] + {number}" for number in range(4)], "dice[0] + 0", "4 drafts have 4 results"),
        (
            ["dice[0]", "dice[1]", "iter(dice)"],
            "dice[0]",
            "inserted below; ran in a sealed copy; gives 3; the",
        ),
        (
            ["dice[0] / 7", "f'{dice} pips'", "print(dice[0] / 7)"],
            "dice[0] / 7",
            "2 of 3 drafts agree",
        ),
        (["sorted(dice)", "print(dice)"], "sorted(dice)", "2 of 2 drafts agree"),
        (["l = [dice]; l.append(l)\nl", *["1 / 0"] * 3], "l = [dice]; l.append(l)\nl", "4 drafts"),
    ],
)
def test_of_drafts_with_different_values_the_one_that_another_confirms_is_used(
    drafts: list[str], landed: str, line: str, shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "dice = [3, 5]", store_history=True)
    small.replies.extend(drafts)
    shown = run(shell, "%%llm -f code\nthe number of dice", store_history=True).text
    assert f"```python\n{landed}\n```" in shown
    assert line in shown
    assert len(small.requests) == len(drafts)


@pytest.mark.parametrize("cell_id", [None, "c1"])
def test_an_interrupt_of_the_comparison_keeps_the_good_draft_and_ends_the_cell(
    cell_id: str | None,
    shell: InteractiveShell,
    small: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit, small.on_hold = small.submit, interrupt_main

    def hold_second(request: Request) -> Stream:
        small.holds = bool(small.requests)
        return submit(request)

    monkeypatch.setattr(small, "submit", hold_second)
    run(shell, "dice = [3, 5]", store_history=True)
    small.replies.append("max(dice)")
    ask = "%%llm -f code\nthe best of the dice"
    # An error, so the cells behind it do not run.
    cell = run(shell, ask, cell_id=cell_id, raises=PromptInterrupted, store_history=True)
    assert "```python\nmax(dice)\n```" in cell.text
    assert "ran in a sealed copy; gives 5; interrupted before" in cell.text
    assert ("inserted below" in cell.text) is (cell_id is None)  # a notebook drops it
    assert (shell.rl_next_input or "").endswith("max(dice)")
    assert llm.chat("default").turns[-1].completion.text == "```python\nmax(dice)\n```"


@pytest.mark.parametrize(
    "draft",
    [
        "sum([3, 5])",
        "import random\nrandom.choice(dice)",
        "import matplotlib.pyplot as plt\nplt.plot(dice)",
        "def best():\n    return max(dice)",
    ],
)
def test_values_that_may_well_differ_are_not_compared(
    draft: str, shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "dice = [3, 5]", store_history=True)
    small.replies.append(draft)
    shown = run(shell, "%%llm -f code\nplot or define something", store_history=True).text
    assert "drafts" not in shown
    assert len(small.requests) == 1


def test_a_program_that_only_repeats_writes_its_next_cell(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "dice = [3, 5]", store_history=True)
    small.replies.extend(["dice = [3, 5]", "sum(dice)", "sum(dice)"])
    shown = run(shell, "%%llm -f code\nadd the dice", store_history=True).text
    assert "```python\nsum(dice)\n```" in shown
    first, second, _ = small.requests
    assert second.prompt == first.prompt
    assert second.answer_prefix == "dice = [3, 5]\n\n# In[3]:\n"


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


@pytest.mark.parametrize("size", [SMALL, 7_000_000_000])
def test_a_request_for_code_is_told_nothing_of_a_chat_about_something_else(
    shell: InteractiveShell, small: ScriptedEngine, size: int
) -> None:
    small.info = replace(small.info, num_parameters=size)
    run(shell, "xs = [1, 2]", store_history=True)
    for topic in ("chess", "tea", "Norway", "rain", "music", "ships", "bread", "Mars", "dogs"):
        small.replies.append(f"All about {topic}: chatter.")
        run(shell, f"%llm Tell me chatter of {topic}.")
    small.replies.append("plot(chatter)\n```")
    run(shell, "%%llm -f code --no-try\nPlot chatter by date.")
    found = ask(shell, small, "Sum xs.")
    assert "xs = [1, 2]" in found
    assert "chatter" not in found
    for asked in ("Now sum xs.", "Also compute the mean of xs.", "Then print xs."):
        assert "chatter" not in ask(shell, small, asked)
    found = ask(shell, small, "Now as a bar chart.")
    assert "Then print xs." in found
    assert "chatter" not in found
    small.replies.append("Yes.")
    run(shell, "%llm Are there dogs on Mars?")
    assert "All about dogs: chatter." in small.format(small.requests[-1].prompt)


def test_what_points_back_is_told_the_last_code_or_the_list_and_what_they_need(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    def answer(prompt: str, reply: str) -> None:
        small.replies.append(reply)
        run(shell, prompt)

    run(shell, "xs = [1, 2]\nys = [3]", store_history=True)
    answer("%llm How does the knight move?", "The knight jumps.")
    assert "knight" in ask(shell, small, "Now as a table.")
    answer("%%llm -f code --no-try\nWrite a helper.", "def halved(n):\n    return n / 2\n```")
    answer("%llm Name three ways to smooth.", "1. Tides. 2. Medians.")
    answer("%llm Halve xs.", "Like this:\n\n```python\nhalves = [*map(halved, xs)]\n```")
    found = ask(shell, small, "The same for ys.")
    assert "halves = [*map(halved, xs)]" in found
    assert "def halved(n):" in found
    assert "knight" not in found
    assert "Tides" not in found
    assert "Tides" in ask(shell, small, "Now the second one on ys.")


@pytest.mark.parametrize(
    ("prompt", "does"),
    [
        ("Make it blue.", True),
        ("Now the mean.", True),
        ("OK, now in red", True),
        ("Can you please sort them by date?", True),
        ("Do the same for ys", True),
        ("Use numpy instead.", True),
        ("Write that as a function", True),
        ("Change your function to take two numbers", True),
        ("Give the plot a title", True),
        ("Print its length", True),
        ("Try the previous version again", True),
        ("Sum xs", False),
        ("Read sales.csv and plot it", False),
        ("A function that adds its two numbers", False),
        ("Set what is above 3 to zero", False),
        ("Plot sales of this year", False),
        ("The mean of this column", False),
        ("Sum these: 1, 2, 3", False),
        ("Keep the rows with the same date as the first", False),
    ],
)
def test_a_request_for_code_points_back_by_its_words(prompt: str, *, does: bool) -> None:
    assert points_back(prompt) is does


def test_a_request_for_code_is_told_the_code_it_names_until_that_ran(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    small.replies.append("dice = roll(2)\n```")
    run(shell, "%%llm -f code --no-try\nroll two")
    assert "dice = roll(2)" in ask(shell, small, "Sum dice")
    assert "dice = roll(2)" not in ask(shell, small, "Sum xs")


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
