"""Cells whose prompts may call functions of the notebook."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.errors import JupyterLLMError

CALL = ToolCall("warmth", '{"city": "Oslo"}').text
DEFINITION = "def warmth(city: str) -> int:\n    ran.append(city)\n    return 21"


@pytest.fixture
def ran(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cities that the notebook's function was called with, always with consent."""
    cities: list[str] = []
    shell.user_ns["ran"] = cities
    run(shell, DEFINITION)
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    return cities


def test_a_cell_shows_the_answer_after_the_calls(
    shell: InteractiveShell, scripted: ScriptedEngine, ran: list[str]
) -> None:
    scripted.replies.extend([CALL, "It has 21 degrees."])
    cell = run(shell, "%%llm --tools warmth -o out\nHow warm is it in Oslo?")
    assert ran == ["Oslo"]
    (shown,) = cell.displays
    assert shown["text/markdown"].rstrip().endswith("It has 21 degrees.")
    assert [one.result for one in shell.user_ns["out"].calls] == ["21"]


def test_a_dry_run_shows_the_description_of_a_function(
    shell: InteractiveShell, scripted: ScriptedEngine, ran: list[str]
) -> None:
    cell = run(shell, "%%llm --tools warmth --dry-run\nHow warm is it in Oslo?")
    assert '"name": "warmth"' in cell.displays[0]["text/plain"]
    assert not scripted.requests


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--tools warmht", "warmth"),
        ("--tools ran", "functions"),
        ("--tools warmth -f code", "tools="),
        ("--tools warmth --map ran", "tools="),
        ("--tools warmth --choices a,b", "tools="),
    ],
)
def test_tools_that_no_model_can_call_are_refused_in_one_line(
    shell: InteractiveShell, scripted: ScriptedEngine, ran: list[str], line: str, part: str
) -> None:
    with pytest.raises(JupyterLLMError, match=part) as refused:
        run(shell, f"%%llm {line}\nHow warm is it in Oslo?")
    assert "\n" not in str(refused.value)
    assert not scripted.requests
