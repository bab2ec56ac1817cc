"""What stands in a panel's field is read ahead, when there is time for it, and shown nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, prompt
from support.scripted import ScriptedEngine
from support.shell import run
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.request import Prompt
from jupyter_llm.frontends.comm.drafting import Drafting


def draft(front: FrontEnd, text: str, **options: Any) -> None:
    front.ask("draft", prompt=prompt(text, **options), cell=None)


def read(engine: ScriptedEngine, count: int = 1) -> Prompt:
    """Wait until so many drafts have been read, and return the last."""
    until(lambda: len(engine.drafts) >= count)
    return engine.drafts[-1].prompt


def at_rest(front: FrontEnd) -> None:
    """Wait until nothing more is done about drafts."""
    (drafting,) = (part for part in front.panel._line.parts if isinstance(part, Drafting))
    assert drafting._reading.wait(20)


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_draft_is_what_enter_would_send(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell, *, is_alone: bool
) -> None:
    run(shell, "prices = {'tea': 3}\nprices", store_history=True)
    attachments = [{"label": "Out [9]", "text": "KeyError: 'milk'"}]
    more = {"attachments": attachments, "is_alone": is_alone}
    text = "What is tea in @prices, and why does @In[1] show so much?"
    run(shell, "y = 1", store_history=True)
    draft(front, text, **more)
    drafted = read(scripted)
    scripted.replies.append("three")
    front.say(text, **more)
    assert scripted.requests[-1].prompt == drafted
    assert scripted.requests[-1].conversation == scripted.drafts[-1].conversation
    assert "prices" in str(drafted)
    assert "KeyError" in str(drafted)


def test_a_draft_is_seen_nowhere(front: FrontEnd, scripted: ScriptedEngine) -> None:
    num_heard = len(front.messages)
    draft(front, "Who keeps the lighthouse?")
    read(scripted)
    at_rest(front)
    assert [message["type"] for message in front.messages[num_heard:]] == ["reply"]
    assert llm.chat("default").exchanges == ()
    assert scripted.requests == []
    assert scripted.drafts[-1].is_private


def test_a_draft_waits_for_the_cell_that_runs_and_is_told_it(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    llm.current.hold_background(is_held=True)  # as at the start of a cell
    draft(front, "What is x?")
    front.answer("suggest", text="", cursor=0, open_notebooks=[])  # it has had its time
    assert scripted.drafts == []
    run(shell, "x = 'the seventh stone'", store_history=True)
    until(lambda: "seventh stone" in str(read(scripted)))


@pytest.mark.parametrize("end", ["empty", "bye", "sent"])
def test_a_draft_that_is_gone_is_not_read_again(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell, end: str
) -> None:
    draft(front, "What is x?")
    read(scripted)
    if end == "empty":
        draft(front, "")
    elif end == "bye":
        front.ask("bye")
    else:
        scripted.replies.append("nobody knows")
        front.say("What is x?")
    at_rest(front)
    run(shell, "x = 1", store_history=True)
    at_rest(front)
    assert len(scripted.drafts) == 1
