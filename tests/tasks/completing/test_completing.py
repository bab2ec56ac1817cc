"""Ghost text from the request to what is shown, with a scripted model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.scripted import ScriptedEngine
from support.waiting import until

from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.request import Priority, RawPrompt, Request
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.tasks.completing.completing import (
    NO_MODEL,
    GhostEnd,
    GhostRequest,
    GhostText,
    GhostWriter,
)

NOTEBOOK = Document(
    (
        DocumentCell("a", "code", "import math"),
        DocumentCell("hush", "code", "secret_plan = 1"),
        DocumentCell("off", "code", "off_plan = 1"),
        DocumentCell("c", "code", ""),
    )
)


def read(request: Request) -> str:
    assert isinstance(request.prompt, RawPrompt)
    return request.prompt.text


class Asked:
    """A writer for one notebook, and all that it told."""

    def __init__(self, engine: ScriptedEngine | None, namespace: Mapping[str, Any] = {}) -> None:
        self.timeline = Timeline()
        self.writer = GhostWriter(
            lambda: engine, "nb.ipynb", timeline=self.timeline, namespace=lambda: namespace
        )
        self.told: list[GhostText | GhostEnd] = []

    def __call__(self, prefix: str, suffix: str = "", cell: str = "c", **more: Any) -> GhostEnd:
        self.told.clear()
        request = GhostRequest(cell_id=cell, prefix=prefix, suffix=suffix, **more)
        run = self.writer.complete(NOTEBOOK, request, self.told.append)
        run.result(30)
        (end,) = [one for one in self.told if isinstance(one, GhostEnd)]
        return end


def test_a_suggestion_grows_and_ends_with_its_statement() -> None:
    engine = ScriptedEngine([" math.sqrt(2) + 1\nz = 3\n"])
    asked = Asked(engine)
    end = asked("y = ")
    texts = [one for one in asked.told if isinstance(one, GhostText)]
    assert texts[-1] == GhostText(0, "math.sqrt(2) + 1", is_final=True)
    assert all(texts[-1].text.startswith(one.text) for one in texts)
    assert not any(one.is_final for one in texts[:-1])
    assert end.items[0].text == "math.sqrt(2) + 1"
    assert end.items[0].usage.prompt_tokens > 0
    (request,) = engine.requests
    assert (request.priority, request.conversation) == (Priority.GHOST, "ghost:nb.ipynb")
    assert not request.params.wants_exact


def test_a_cell_that_nobody_asked_for_waits_for_all_else() -> None:
    engine = ScriptedEngine(["total = 1\n"] * 2)
    asked = Asked(engine)
    assert asked("").items[0].text == "total = 1"
    asked("", is_invoked=True)
    assert [one.priority for one in engine.requests] == [Priority.BACKGROUND, Priority.GHOST]
    engine.info = replace(engine.info, host="far.example")  # where it could not wait
    assert asked("").items == ()
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    ("prefix", "may_begin", "may_not"),
    [
        ("", "xp(@%ä", "#\n) "),
        ("x = 1\n", "xp(@%ä", "#\n) "),
        ("if x:\n", " xp(@%ä", "#\n)"),
        ('s = """\n', "", ""),
        ("f(\n", "", ""),
    ],
)
def test_on_a_blank_line_a_statement_begins_and_no_comment(
    prefix: str, may_begin: str, may_not: str
) -> None:
    engine = ScriptedEngine()
    Asked(engine, {"größe": 1, "ä": 2})(prefix)
    constraint = engine.requests[0].constraint
    texts = constraint.texts if isinstance(constraint, BeginsWith) else ()
    assert set(may_begin) <= set(texts)
    assert not set(may_not) & set(texts)


def test_a_model_is_never_loaded() -> None:
    assert Asked(None)("y = ") == GhostEnd(reason=NO_MODEL)


def test_a_cell_that_is_too_long_to_parse_with_every_key_is_left_alone() -> None:
    engine = ScriptedEngine([" 1\n"])
    assert Asked(engine)("x = 1\n" * 10_000 + "y = ", is_invoked=True) == GhostEnd()
    assert not engine.requests


def test_what_goes_wrong_in_the_engine_is_said_and_not_raised() -> None:
    engine = ScriptedEngine()
    engine.close()
    assert "closed" in Asked(engine)("y = ").reason


def test_a_name_that_does_not_exist_is_written_again_from_there() -> None:
    engine = ScriptedEngine([" math.floor(math.tau_over_two)\n", ".pi)\n"])
    end = Asked(engine, {"math": math})("y = ")
    assert end.items[0].text == "math.floor(math.pi)"
    constraint = engine.requests[1].constraint
    assert isinstance(constraint, BeginsWith)
    assert ".pi" in constraint.texts
    assert ".tau_over_two" not in constraint.texts


def test_after_a_few_tries_the_name_is_left_out() -> None:
    engine = ScriptedEngine([" math.nothing\n", *[".nothing\n"] * 9])
    assert Asked(engine, {"math": math})("y = ").items[0].text == ""
    assert len(engine.requests) <= 4


def test_the_next_request_ends_the_one_before_in_the_engine_too() -> None:
    engine = ScriptedEngine([" 1 + "], holds=True)
    asked = Asked(engine)
    told: list[object] = []
    request = GhostRequest(cell_id="c", prefix="y = ")
    first = asked.writer.complete(NOTEBOOK, request, told.append)
    until(lambda: engine.requests)
    engine.holds = False
    engine.replies.append(" 2\n")
    assert asked("z = ").items[0].text == "2"
    assert first.is_cancelled
    assert not any(isinstance(one, GhostEnd) for one in told)


def test_several_suggestions_differ_and_the_first_stays_though_it_ends_last() -> None:
    engine = ScriptedEngine([" 1 + 1\n", " 2\n", " 1 + 1\n"])
    told: list[GhostText | GhostEnd] = []

    def tell(news: GhostText | GhostEnd) -> None:
        if isinstance(news, GhostText) and not news.item and not news.is_final:
            until(lambda: len(engine.requests) == 3 and engine.work == "idle")
        told.append(news)

    request = GhostRequest(cell_id="c", prefix="y = ", num_items=3)
    items = Asked(engine).writer.complete(NOTEBOOK, request, tell).result(30).items
    assert items[0].text == "1 + 1"
    assert sorted(item.text for item in items[1:]) == ["", "2"]
    assert {request.params.seed for request in engine.requests} == {None, 1, 2}


def test_hidden_cells_and_those_that_are_off_are_in_no_prompt() -> None:
    engine = ScriptedEngine([" 1\n"] * 3)
    asked = Asked(engine)
    asked.timeline.append("secret_plan = 1", cell_id="hush")
    asked.timeline.hide("hush")
    asked.timeline.see_tags({"off": True})
    asked("y = ")
    prompt = read(engine.requests[0])
    assert "import math" in prompt
    assert "plan" not in prompt
    assert asked("y = ", cell="hush", is_invoked=True).items == ()
    assert asked("y = ", cell="off", is_invoked=True).items == ()
    assert len(engine.requests) == 1


@pytest.mark.parametrize(
    ("prefix", "kind"), [("Some words", "markdown"), ("%%llm\nWrite a", "code")]
)
def test_prose_is_completed_only_where_somebody_asks(prefix: str, kind: str) -> None:
    engine = ScriptedEngine([" words and more.\n\n"])
    asked = Asked(engine)
    assert asked(prefix, kind=kind).items == ()
    assert engine.requests == []
    assert asked(prefix, kind=kind, is_invoked=True).items[0].text


def test_nothing_is_written_within_a_word() -> None:
    engine = ScriptedEngine()
    assert Asked(engine)("pri", "nt(x)").items == ()
    assert engine.requests == []


def test_running_a_cell_changes_no_prompt() -> None:
    engine = ScriptedEngine([" 1\n"] * 4)
    namespace: dict[str, Any] = {}
    asked = Asked(engine, namespace)
    asked("y = sizes + ")
    namespace["sizes"] = {"small": 1}
    asked.timeline.append("import math", cell_id="a")
    asked("y = sizes + ")
    asked("1 + ", cell="a")
    asked("y = sizes + ")  # what a variable holds is told when somebody comes to a cell
    one, other, _, later = map(read, engine.requests)
    assert one == other
    assert "sizes has the keys small" in later
