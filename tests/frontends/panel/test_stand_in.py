"""The model that comes with the extra calls itself a stand-in until another was used here."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
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
from jupyter_llm.models.discover import ModelEntry, find_model, note_used
from jupyter_llm.models.sources import Found

SAID = "a stand-in: {} gets a model worth using"


@pytest.fixture
def own(scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """An engine whose model came with the extra."""
    path = "/somewhere/SmolLM2.gguf"
    monkeypatch.setattr(discover, "embedded", lambda: iter([Found(path, ("smollm2",), "extra")]))
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: scripted)
    scripted.info = replace(scripted.info, name="smollm2")
    discover._USED.forget(discover._USED.all())
    note_used(ModelEntry(name="smollm2", path=Path("/elsewhere/SmolLM2.gguf"), source="another"))
    return scripted


@pytest.mark.parametrize("line", ["%llm --new hi", "%llm /complete hi", "%llm -f code hi"])
def test_a_cell_says_so_below_the_answer_but_no_saved_notebook_does(
    own: ScriptedEngine, shell: InteractiveShell, tiny_gguf: Path, line: str
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
    note_used(find_model(tiny_gguf))
    assert "stand-in" not in run(shell, line).text


def test_a_panel_and_a_terminal_say_so_too(
    own: ScriptedEngine,
    make_front: MakeFront,
    tiny_gguf: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_resident(own)
    front = make_front()

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    own.replies.extend(["Hello!"] * 4)
    told = [SAID.format("/pull"), f"({SAID.format('`jupyter llm pull`')})\n"]
    for in_panel, in_terminal in (told, ["", ""]):
        front.say("hi")
        front.wait_until(lambda front: front.status["remark"] == in_panel)  # noqa: B023
        assert main(["run", "hi"]) == 0
        assert capsys.readouterr().err == in_terminal
        note_used(find_model(tiny_gguf))
