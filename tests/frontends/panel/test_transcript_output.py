"""The conversation stays in the saved notebook, for whoever has no kernel and no widget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import comm
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbconvert.filters.markdown import markdown2html
from support.front_end import FrontEnd, MakeFront, RecordingComm
from support.scripted import ScriptedEngine
from support.shell import RecordingPublisher, run
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.store import SavedChat
from jupyter_llm.frontends.panel import transcript_output
from jupyter_llm.frontends.panel.transcript_output import TranscriptOutput
from jupyter_llm.records.audit import audit

IMPORT = "from jupyter_llm import ChatPanel\n"


@pytest.fixture
def panels(
    panel_files: Path, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> ScriptedEngine:
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    return scripted


def displays(shell: InteractiveShell) -> list[dict[str, str]]:
    publisher = shell.display_pub
    assert isinstance(publisher, RecordingPublisher)
    return list(publisher.displays.values())


def wait_for_text(shell: InteractiveShell, text: str) -> dict[str, str]:
    plain = "text/plain"
    found = until(lambda: [data for data in displays(shell) if text in data.get(plain, "")])
    return found[-1]


def test_a_panel_shows_itself_and_what_was_said(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    panels.replies.append("It is **42**.")
    llm.chat("default")("What is it?")
    view, transcript = run(shell, IMPORT + "ChatPanel()").displays
    assert view["text/plain"] == "ChatPanel('default')"
    assert "application/vnd.jupyter.widget-view+json" in view
    for text in transcript.values():
        assert "> What is it?" in text
        assert "It is **42**." in text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("%llm /chat", "'default'"),
        ("%llm /chat ideas", "'ideas'"),
        (IMPORT + "ChatPanel('ideas')", "'ideas'"),
        ("from jupyter_llm import ChatPanel, llm\nChatPanel(llm.chat())", "llm.chat()"),
    ],
)
def test_the_command_and_a_chat_show_the_panel_too(
    panels: ScriptedEngine, shell: InteractiveShell, code: str, name: str
) -> None:
    view, _ = run(shell, code).displays
    assert view["text/plain"] == f"ChatPanel({name})"


def test_a_turn_goes_into_the_output_once_it_ends_wherever_the_panel_was_shown(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    first = run(shell, IMPORT + "panel = ChatPanel()\npanel")
    second = run(shell, "panel")
    for view, transcript in (first.displays, second.displays):
        assert "application/vnd.jupyter.widget-view+json" in view
        assert transcript["text/plain"].startswith("An empty chat")
    front = FrontEnd(shell.user_ns["panel"])
    front.hello()
    panels.replies.append("It is 42.")
    front.send("What is it?")
    shown = wait_for_text(shell, "It is 42.")
    assert "What is it?" in shown["text/markdown"]
    assert len(displays(shell)) == 2  # the update is one of both transcripts: one display id


def test_a_turn_goes_into_the_output_of_a_panel_that_no_page_shows(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, IMPORT + "panel = ChatPanel()\npanel")
    panels.replies.append("It is 42.")
    llm.chat("default")("What is it?")
    assert "What is it?" in wait_for_text(shell, "It is 42.")["text/markdown"]


def test_a_branch_that_is_removed_is_counted_in_the_output_no_more(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, IMPORT + "panel = ChatPanel()\npanel")
    panels.replies.extend(["It is 42.", "It is 43."])
    chat = llm.chat("default")
    chat("What is it?")
    chat.stream("What is it?", after=0).result()
    assert "1 other branch" in wait_for_text(shell, "It is 43.")["text/plain"]
    chat.remove(1)
    until(lambda: "other branch" not in displays(shell)[1]["text/plain"])


def test_a_view_that_can_write_the_notebook_is_told_instead(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, IMPORT + "panel = ChatPanel()\npanel")
    front = FrontEnd(shell.user_ns["panel"])
    front.hello(can_write_cells=True)
    panels.replies.append("It is 42.")
    front.send("What is it?")
    assert transcript(front, "42.")["metadata"]["jupyter_llm_transcript"] == front.panel.panel_id
    assert "42" not in displays(shell)[1]["text/plain"]


def test_one_page_of_several_is_named_to_write_the_transcript(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(can_write_cells=True)
    other = FrontEnd(front.panel)
    follow = other.hello(can_write_cells=True)
    scripted.replies.append("It is 42.")
    front.say("What is it?")
    assert transcript(front, "42.")["writer"] == follow
    other.ask("bye")
    assert front.is_asked
    follow = front.hello(can_write_cells=True)
    scripted.replies.append("It is 43.")
    front.say("And now?")
    assert transcript(front, "43.")["writer"] == follow


def transcript(front: FrontEnd, text: str = "") -> dict[str, Any]:
    """Wait until a view is told a transcript that holds a text."""
    return front.wait_for(
        lambda m: m["type"] == "transcript" and text in m["data"].get("text/plain")
    )


def test_the_model_is_not_told_the_transcript_as_an_output(
    panels: ScriptedEngine, shell: InteractiveShell
) -> None:
    panels.replies.append("It is 42.")
    llm.chat("default")("What is it?")
    run(shell, IMPORT + "ChatPanel()", store_history=True)
    (cell,) = llm.timeline.cells
    assert [output.text for output in cell.outputs] == ["ChatPanel('default')"]


def test_each_answer_in_a_saved_transcript_holds_to_its_record(
    make_front: MakeFront, scripted: ScriptedEngine, tmp_path: Path
) -> None:
    front = make_front(can_write_cells=True)
    scripted.replies.extend(("It is 42.", "Still\n\n* 42\n* (or so)"))
    front.say("What is it?")
    front.say("What is it?")
    saved = transcript(front, "or so")
    output = nbformat.v4.new_output("display_data", data=saved["data"], metadata=saved["metadata"])
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("ChatPanel()", outputs=[output])]
    )
    path = tmp_path / "saved.ipynb"
    nbformat.write(notebook, path)
    assert [item.state for item in audit(path)] == ["recorded", "recorded"]
    output["data"]["text/plain"] = saved["data"]["text/plain"].replace("42.", "43.")
    nbformat.write(notebook, path)
    assert [item.state for item in audit(path)] == ["edited since", "recorded"]


def saying(scripted: ScriptedEngine, *answers: str, **options: Any) -> Chat:
    """Return a new chat with these answers."""
    chat = llm.chat()
    for answer in answers:
        scripted.replies.append(answer)
        chat.stream("What is it?", **options).result()
    return chat


def data_of(chat: Chat) -> dict[str, str]:
    return TranscriptOutput("p1", chat).bundle[0]


@pytest.mark.parametrize(
    "answers",
    [("$$ x", "```\n$$\n\n{}\n\n$$\n```"), ("</div>{}", "- <b>{}", "```\n{}\nleft open")],
    ids=["a formula that reaches into another turn", "tags"],
)
def test_hostile_answers_stay_text_in_their_wrapper(
    scripted: ScriptedEngine, answers: tuple[str, ...]
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    chat = saying(scripted, *(answer.format(hostile) for answer in answers))
    shown = markdown2html(data_of(chat)["text/markdown"])
    assert hostile not in shown
    assert shown.count("<div") == 1


def test_a_long_chat_keeps_its_last_turns_and_says_how_many_are_older(
    scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript_output, "MOST_TURNS", 5)
    chat = saying(scripted, *(f"Answer {n}." for n in range(1, 9)))
    data, metadata = TranscriptOutput("p1", chat).bundle
    assert len(metadata["jupyter_llm"]) == 5
    for text in data.values():
        assert "(3 older turns not shown here)" in text
        assert "Answer 3." not in text
        assert "Answer 4." in text
        assert "Answer 8." in text
    assert "**8. You:**" in data["text/markdown"]


def test_a_transcript_is_bounded_in_size(scripted: ScriptedEngine) -> None:
    chat = saying(scripted)
    answer = replace(saying(scripted, "x").turns[0].completion, text="long & wide\n" * 10_000)
    turns = tuple(Turn("What?", answer, number=n, parent=n - 1) for n in range(1, 4))
    chat.restore(SavedChat(name="default", turns=turns))
    data = data_of(chat)
    assert 50_000 < min(map(len, data.values())) <= max(map(len, data.values())) < 300_000


def test_what_is_not_to_be_saved_is_not_in_the_transcript(scripted: ScriptedEngine) -> None:
    chat = saying(scripted, "This is secret.", is_kept=False)
    assert data_of(chat) == data_of(llm.chat())
    scripted.replies.append("This is not.")
    chat("What is it?")
    data = data_of(chat)
    assert all("secret" not in text and "This is not." in text for text in data.values())
