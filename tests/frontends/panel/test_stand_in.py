"""The model that comes with the extra calls itself a stand-in until another was used here."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import MakeFront
from support.residents import make_resident
from support.scripted import ScriptedEngine
from support.shell import RecordingPublisher, run

from jupyter_llm import llm
from jupyter_llm.frontends.cli import main
from jupyter_llm.models import discover
from jupyter_llm.models.discover import better_model_hint, find_model, note_answer, note_used
from jupyter_llm.models.sources import Candidate


class Terminal(io.StringIO):
    """Where a person types."""

    def isatty(self) -> bool:
        return True


SAID = "written by the small built-in model; {} lists better ones"


@pytest.fixture
def own(scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """An engine whose model came with the extra."""
    path = "/somewhere/SmolLM2.gguf"
    monkeypatch.setattr(
        discover, "embedded", lambda: iter([Candidate(path, ("smollm2",), "extra")])
    )
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: scripted)
    scripted.info = replace(scripted.info, name="smollm2")
    discover._ANSWERED.forget(discover._ANSWERED.all())
    note_answer("smollm2")
    return scripted


@pytest.mark.parametrize("line", ["%llm --new hi", "%llm /complete hi", "%llm -f code hi"])
def test_a_cell_says_so_below_the_answer_but_no_saved_notebook_does(
    own: ScriptedEngine, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    own.replies.extend(["```python\nx = 1\n```"] * 9)
    said = SAID.format("`%llm /pull`")
    assert said in run(shell, line).text
    run(shell, "1")  # with the next cell it goes, and what the page saves then is as without it
    publisher = shell.display_pub
    assert isinstance(publisher, RecordingPublisher)
    (kept,) = (data["text/markdown"] for data in publisher.earlier.values())
    assert kept
    assert said not in kept
    cell = run(shell, f"for _ in range(2):\n    {line}")
    assert [said in data["text/markdown"] for data in cell.displays] == [False, True]
    assert said not in run(shell, "%llm answer << hi").text
    with monkeypatch.context() as patch:  # a program runs the cell: what it saves is the same again
        request = {"content": {"allow_stdin": False}}
        patch.setattr(shell, "parent_header", request, raising=False)
        assert said not in run(shell, line).text
    assert said in run(shell, line).text
    note_answer("another")
    assert "stand-in" not in run(shell, line).text


def test_another_counts_once_it_has_answered(own: ScriptedEngine, tiny_gguf: Path) -> None:
    note_used(find_model(tiny_gguf))  # loaded, as for ghost text or vectors
    for name, is_one in (("smollm2", True), ("another", False)):
        own.info = replace(own.info, name=name)
        own.replies.append("Hello!")
        llm("hi")
        assert len(llm.answers)  # it is taken in by then
        assert bool(better_model_hint("smollm2")) == is_one


def test_a_panel_and_a_terminal_say_so_too(
    own: ScriptedEngine,
    make_front: MakeFront,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_resident(own)
    front = make_front()

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    own.replies.extend(["Hello!"] * 8)
    told = [SAID.format("/pull"), f"({SAID.format('`jupyter llm pull`')})\n"]
    for in_panel, in_terminal in (told, ["", ""]):
        front.say("hi")
        front.wait_until(lambda front: front.status["remark"] == in_panel)  # noqa: B023
        assert main(["run", "hi"]) == 0
        assert capsys.readouterr().err == in_terminal
        status = type(llm.status())(info=own.info, engine=None)
        monkeypatch.setattr(llm.current, "use", lambda *_args, made=status, **_options: made)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Terminal())
            typed = iter(["hi", "hi", "/exit"])
            patch.setattr("builtins.input", partial(lambda typed, _sign: next(typed), typed))
            assert main(["chat"]) == 0
        assert capsys.readouterr().err.count("small built-in model") == bool(in_terminal)
        note_answer("another")
