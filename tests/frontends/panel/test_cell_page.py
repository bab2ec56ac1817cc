"""The page that shows the notebook, as the kernel asks it for cells and has it change them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comm
import pytest
from support.front_end import RecordingComm

from jupyter_llm.errors import PanelFilesError
from jupyter_llm.frontends.panel import cell_page
from jupyter_llm.frontends.panel.cell_page import CellPage
from jupyter_llm.notebook.code.landing import MADE_KEY, MadeCell, NewCell

Json = dict[str, Any]


class FakePage:
    """The page's side: answers on a thread of its own, as subshells do, unless it is silent."""

    def __init__(self, answer: Callable[[Json], Json | None]) -> None:
        self.heard: list[Json] = []
        self.page = CellPage()
        self.comm: Any = self.page.comm
        self.comm.hear = self._hear
        self._answer = answer

    def say(self, content: Json) -> None:
        data = {"method": "custom", "content": content}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def say_beside(self, content: Json) -> None:
        thread = threading.Thread(target=self.say, args=(content,))
        thread.start()
        if content["type"] == "hello":
            thread.join()

    def _hear(self, message: Json) -> None:
        self.heard.append(message)
        if (answer := self._answer(message)) is not None:
            self.say_beside({"type": "answer", "page": "p1", **answer, "id": message["id"]})


@pytest.fixture
def make_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakePage]]:
    (tmp_path / "cell_page.js").write_text("export default {};\n")
    monkeypatch.setattr(cell_page, "STATIC", tmp_path)
    monkeypatch.setattr(cell_page, "_GREETING_S", 0.01)
    monkeypatch.setattr(cell_page, "_ANSWER_S", 0.01)
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    pages: list[FakePage] = []

    def make(answer: Callable[[Json], Json | None] = lambda _: None, *, greets: bool) -> FakePage:
        pages.append(FakePage(answer))
        if greets:
            monkeypatch.setattr(cell_page, "_ANSWER_S", 20)
            pages[-1].say_beside({"type": "hello"})
        return pages[-1]

    yield make
    for page in pages:
        page.page.close()


def test_a_page_tells_which_cells_were_made_and_puts_others_in_their_place(
    make_page: Callable[..., FakePage], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = {"header": {"session": "p0"}}
    monkeypatch.setattr(cell_page, "current_shell", lambda: SimpleNamespace(parent_header=parent))
    made = {"cell": "asks", "sha256": "of something else"}
    cells = [{"id": "made", "source": "a = 1", "made": made}]
    answers: Json = {"made": {"cells": cells}, "put": {"num_replaced": 1}}
    front = make_page(lambda m: answers[m["type"]], greets=True)
    found = front.page.made_by("asks")
    assert front.heard[-1]["page"] == "p0"  # that runs the cell; another one may stand in
    assert found == [MadeCell("made", "a = 1", is_unchanged=False)]
    cells_now = [NewCell("a = 2", {MADE_KEY: made}), NewCell("b = 1", {})]
    assert front.page.put("asks", cells_now, found) == 1
    assert front.heard[-1] == {
        "type": "put",
        "key": MADE_KEY,
        "id": 2,
        "page": "p1",
        "cell": "asks",
        "cells": [
            {"source": "a = 2", "metadata": {MADE_KEY: made}},
            {"source": "b = 1", "metadata": {}},
        ],
        "places": [{"id": "made", "before": "a = 1"}],
    }


@pytest.mark.parametrize("is_done", [True, False])
def test_a_page_says_whether_it_could_change_a_cell(
    make_page: Callable[..., FakePage], *, is_done: bool
) -> None:
    front = make_page(lambda _: {"is_done": is_done}, greets=True)
    assert front.page.change("failed", "1 / 0", NewCell("1", {"by": "us"})) is is_done
    assert front.heard[-1]["place"] == {"id": "failed", "before": "1 / 0"}


def test_where_no_page_has_said_that_it_is_there_nobody_is_asked(
    make_page: Callable[..., FakePage],
) -> None:
    front = make_page(greets=False)
    assert front.page.made_by("asks") is None
    front.say({"type": "hello"})  # without a subshell, so when the cell is over
    assert front.page.made_by("asks") is None
    assert front.heard == []


def test_a_page_that_has_gone_is_asked_once(make_page: Callable[..., FakePage]) -> None:
    front = make_page(greets=False)
    front.say_beside({"type": "hello"})
    assert front.page.made_by("asks") is None
    assert front.page.put("asks", [NewCell("a = 1", {})], []) is None
    assert front.page.made_by("asks") is None
    assert len(front.heard) == 1


def test_without_its_script_there_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_page, "STATIC", tmp_path / "nowhere")
    with pytest.raises(PanelFilesError):
        CellPage()
