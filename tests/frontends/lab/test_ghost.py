"""Ghost text as a page asks for it, with a scripted model and a tiny one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from support.front_end import Json
from support.lab_page import LabPage
from support.residents import residents_of
from support.scripted import ScriptedEngine
from support.waiting import until

from jupyter_llm import llm

OpenPage = Callable[..., LabPage]


@pytest.fixture
def scripted(scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """The engine behind `llm`, which is there already: ghost text never has one loaded."""
    monkeypatch.setattr(llm.current.residents, "all", residents_of(scripted))
    return scripted


class Typist:
    """Somebody who writes in one cell of a page's notebook, below others."""

    def __init__(self, page: LabPage, *cells: Json) -> None:
        self.page = page
        self.revisions = count(1)
        self.revision = 0
        self.edit(0, 0, *cells, cell("mine", ""))

    def edit(self, at: int, remove: int, *insert: Json) -> None:
        self.revision = next(self.revisions)
        content: Json = {"revision": self.revision, "at": at, "remove": remove}
        self.page.ask("cells", **content, insert=list(insert))

    def ask(self, prefix: str, **changed: Any) -> str:
        revision = changed.pop("revision", self.revision)
        place = {"cell_id": "mine", "kind": "code", "prefix": prefix, "suffix": ""}
        wanted = {"is_invoked": False, "num_items": 1, "max_lines": 8}
        return self.page.ask("complete", revision=revision, place=place | wanted | changed)

    def complete(self, prefix: str, **changed: Any) -> tuple[list[Json], str | None]:
        """What comes for a request: the texts, and why there is none."""
        request = self.ask(prefix, **changed)
        end = self.page.reply(request)
        return [one for one in self.page.of_kind("completion") if one["id"] == request], end


def cell(cell_id: str, source: str, kind: str = "code", *, is_off: bool = False) -> Json:
    return {"cell_id": cell_id, "kind": kind, "source": source, "is_off": is_off}


def prompt(scripted: ScriptedEngine) -> str:
    text = scripted.requests[-1].prompt.text  # type: ignore[union-attr]
    return str(text)


def test_a_suggestion_comes_as_it_is_written(page: LabPage, scripted: ScriptedEngine) -> None:
    scripted.replies.append(" sqrt(2) + 1\nz = 3\n")
    texts, end = Typist(page, cell("a", "from math import sqrt")).complete("y = ")
    assert len(texts) > 1
    assert texts[-1]["text"] == "sqrt(2) + 1"
    assert [one["is_final"] for one in texts] == [*[False] * (len(texts) - 1), True]
    assert end is None


def test_a_suggestion_has_no_more_lines_than_a_page_wants(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("\n    a(x)\n    b(x)\n    c(x)\n")
    texts, _ = Typist(page).complete("for x in y:", max_lines=2)
    assert texts[-1]["text"] == "\n    a(x)\n    b(x)"


def test_a_model_reads_the_cells_as_they_stand_after_all_edits(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    typist = Typist(
        page, cell("a", "first = 1"), cell("b", "gone = 1"), cell("off", "", is_off=True)
    )
    typist.edit(1, 1, cell("new", "second = 2"))
    typist.complete("y = ")
    assert prompt(scripted).index("first") < prompt(scripted).index("second")
    assert "gone" not in prompt(scripted)


def test_without_a_model_none_is_loaded_and_the_page_is_told(open_page: OpenPage) -> None:
    page = open_page()
    texts, end = Typist(page).complete("y = ")
    assert (texts, end) == ([], "no model loaded")
    assert page.wait_for_kind("model")["model"] is None
    assert llm.current.resident is None


def test_a_page_hears_of_a_model_that_is_loaded(open_page: OpenPage) -> None:
    page = open_page()
    llm.use()
    assert page.wait_for_kind("model")["model"] == llm.current.resident.info.name  # type: ignore[union-attr]
    llm.unload()
    page.wait_for_kind("model", model=None)


def test_a_request_that_is_cancelled_stops_the_model_and_is_answered(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    scripted.holds = True
    typist = Typist(page)
    request = typist.ask("y = ")
    until(lambda: scripted.requests)
    page.ask("stop", target=request)
    assert page.reply(request) == "cancelled"
    until(lambda: not any(t.name == "jupyter-llm-ghost" for t in threading.enumerate()))


def test_what_is_missing_is_asked_for_once(page: LabPage, scripted: ScriptedEngine) -> None:
    typist = Typist(page, cell("a", "first = 1"))
    next(typist.revisions)  # an edit that never came
    typist.edit(0, 0, cell("b", ""))
    _, end = typist.complete("y = ")
    assert end == "cells are missing"
    assert len(page.of_kind("resend")) == 1
    assert scripted.requests == []
    again = Typist(page, cell("z", "all_anew = 1"))
    again.complete("y = ")
    assert "all_anew" in prompt(scripted)
    assert len(page.of_kind("resend")) == 1


def test_a_cell_is_read_ahead_when_somebody_goes_there(
    page: LabPage, scripted: ScriptedEngine
) -> None:
    typist = Typist(page, cell("a", "first = 1"))
    page.ask("focus", revision=typist.revision, cell="mine")
    until(lambda: scripted.prefilled)
    assert "first = 1" in scripted.prefilled[-1].prompt.text  # type: ignore[union-attr]
