"""What a model thinks before it answers, in cells."""

from __future__ import annotations

import re

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine, messages_of
from support.shell import run

from jupyter_llm import llm

pytestmark = pytest.mark.usefixtures("shell")

THOUGHT = "<think>\nTwo and two. </details> Four.\n</think>\n\n"


def test_what_is_thought_is_shown_folded_and_is_no_part_of_the_answer(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies += [f"{THOUGHT}Four.", "Because."]
    cell = run(shell, "%llm -o answer How much is 2 + 2?")
    answer = shell.user_ns["answer"]
    assert (answer.text, str(answer)) == ("Four.", "Four.")
    assert answer.reasoning == "Two and two. </details> Four."
    said = f"thought for {len(answer.reasoning)} tokens"
    assert cell.displays[-1]["text/plain"] == f"({said})\n\nFour."
    shown = cell.displays[-1]["text/markdown"]
    assert re.match(rf"<details [^>]*><summary>{said.capitalize()}</summary>", shown)
    assert shown.count("</details>") == 1
    (turn,) = llm.chat("default").turns
    assert turn.completion.reasoning == answer.reasoning
    run(shell, "%llm Why?")
    told = messages_of(scripted.requests[-1].prompt)
    assert [message.content for message in told][-2:] == ["Four.", "Why?"]


def test_code_that_lands_is_what_comes_after_the_thoughts(
    shell: InteractiveShell, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda source, **_: landed.append(source))
    thought = "<think>```python\nx = 1\n```</think>"
    scripted.replies.append(f"{thought}\n```python\nx = 2\n```")
    run(shell, "%llm --below -t 0 Set x")
    assert [code.splitlines()[1:] for code in landed] == [["x = 2"]]


@pytest.mark.parametrize(
    ("option", "think"), [("--think", True), ("--no-think", False), ("", None)]
)
def test_whether_to_think_is_an_option(
    shell: InteractiveShell, scripted: ScriptedEngine, option: str, *, think: bool | None
) -> None:
    run(shell, f"%llm -n 5 {option} hello")
    assert scripted.requests[-1].params.think is think
