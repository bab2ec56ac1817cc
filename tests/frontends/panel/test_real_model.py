"""The panel with a real model: loading, unloading and changing it, and how full it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, MakeFront
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.engine import tokens


@pytest.fixture
def live(make_live_front: MakeFront) -> FrontEnd:
    return make_live_front(max_tokens=None, ignore_eos=True, context="none")


def begin(front: FrontEnd) -> None:
    """Send a prompt, and wait until some of the answer is there."""
    count = len(front.path) + 1
    front.send("Hello?")
    front.wait_until(
        lambda front: len(front.path) == count and len(front.texts[-1]) > 10 and not front.is_idle
    )


def stop(front: FrontEnd) -> None:
    front.ask("stop", target=None)
    front.wait_until(lambda front: front.is_idle)


def is_loaded(front: FrontEnd) -> bool:
    return front.status["model"] is not None


def test_the_status_knows_the_model_as_soon_as_it_is_loaded(live: FrontEnd) -> None:
    assert not is_loaded(live)
    live.send("Hello?")
    live.wait_until(lambda front: is_loaded(front) and not front.is_idle)
    stop(live)
    live.wait_until(lambda front: (front.status["used"] or 0) > 0)
    assert live.status["model"] == "tiny"


def test_unloading_the_model_while_the_panel_writes_keeps_what_there_is(
    live: FrontEnd, shell: InteractiveShell
) -> None:
    begin(live)
    run(shell, "%llm /unload")
    live.wait_until(lambda front: front.is_idle and not is_loaded(front))
    assert len(live.texts[0]) > 10
    begin(live)
    live.wait_until(is_loaded)
    stop(live)


def test_changing_the_model_while_the_panel_writes_is_told(
    live: FrontEnd, tiny_utf8_gguf: Path
) -> None:
    begin(live)
    llm.use(tiny_utf8_gguf)
    live.wait_until(lambda front: front.is_idle)
    live.wait_until(lambda front: front.status["model"] == "tiny-utf8")
    begin(live)
    assert live.shown[0]["finish_reason"] == "cancelled"
    assert live.shown[1]["model"] == "tiny-utf8"
    stop(live)
    assert [turn["model"] for turn in live.shown] == ["tiny", "tiny-utf8"]


def test_the_status_follows_the_cells_that_run_and_are_hidden(
    make_live_front: MakeFront, shell: InteractiveShell
) -> None:
    live = make_live_front(context="all")  # so small a model is else told only what it is asked
    llm.use("tiny")

    def num_cells(front: FrontEnd) -> int:
        return int((front.status["parts"] or {"cells": 0})["cells"])

    run(shell, "x = 'a string that takes some tokens'", store_history=True)
    live.wait_until(lambda front: num_cells(front) > 5)
    run(shell, f"%llm /hide {shell.execution_count - 1}")
    live.wait_until(lambda front: num_cells(front) == 0)


def test_the_probabilities_of_an_answer_are_those_of_its_tokens(
    make_live_front: MakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = make_live_front(max_tokens=6, seed=1, context="none")
    turn = front.say("Hello?")
    notice = front.command(f"/tokens {turn['number']}")
    assert "".join(token["text"] for token in notice["tokens"]) == turn["text"]
    assert all(0 <= token["probability"] <= 1 and token["told"] for token in notice["tokens"])
    assert notice["markdown"].startswith(f"{len(notice['tokens'])} tokens, ")  # it is read out
    assert "counted from 1" in front.command("/tokens x")["markdown"]
    assert front.regenerate(turn["number"], seed=2)["number"] == 2
    assert "counted from 1" in front.command("/tokens 2")["markdown"]
    monkeypatch.setattr(tokens, "MOST_TOKENS", 3)
    notice = front.command("/tokens 1")  # by its place, as in a transcript
    assert "".join(token["text"] for token in notice["tokens"]) in front.texts[0]
    assert len(notice["tokens"]) == 3
    assert "the first 3 are shown" in notice["markdown"]
