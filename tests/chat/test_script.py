"""The notebook as a program, which a small model goes on with where it is to write code."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm.engine.request import RawPrompt

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
    assert script(shell, small, "roll a die") is None


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


def test_where_it_is_not_good_more_drafts_go_on_with_the_same_program(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    small.replies.extend(["nowhere", *["x = 1\n```"] * 3])
    run(shell, ASK.format("-t 0", "roll a die"), store_history=True)
    first, *others = small.requests
    assert {request.prompt for request in others} == {first.prompt}
    assert [request.params.temperature for request in small.requests] == [0, 0.7, 0.7, 0.7]
    assert {request.conversation for request in others} == {None}


def test_a_program_that_only_repeats_writes_its_next_cell(
    shell: InteractiveShell, small: ScriptedEngine
) -> None:
    run(shell, "dice = [3, 5]", store_history=True)
    small.replies.extend(["dice = [3, 5]", "sum(dice)"])
    shown = run(shell, "%%llm -f code\nadd the dice", store_history=True).text
    assert "```python\nsum(dice)\n```" in shown
    assert "drafts" not in shown
    first, second = small.requests
    assert second.prompt == first.prompt
    assert second.answer_prefix == "dice = [3, 5]\n\n# In[3]:\n"
