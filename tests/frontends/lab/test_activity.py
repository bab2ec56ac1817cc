"""A page that watches is told what the model does, and one that does not is told nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from support.front_end import Json
from support.lab_page import LabPage

from jupyter_llm import llm

OpenPage = Callable[..., LabPage]


def told(page: LabPage) -> list[Json]:
    return page.of_kind("activity")


def wait_for_state(page: LabPage, state: str) -> Json:
    page.wait_until(lambda page: told(page) and told(page)[-1]["state"] == state)
    return told(page)[-1]


def test_a_page_that_watches_hears_at_once_that_nothing_is_loaded_and_loads_nothing(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.ask("watch_activity", is_on=True)
    status = wait_for_state(page, "none")
    assert (status["model"], status["kv_used"], status["kv_room"]) == (None, 0, 0)
    assert status["process_bytes"] > 0
    assert llm.current.resident is None


def test_a_page_that_watches_hears_what_the_model_does_and_what_it_holds_then(
    open_page: OpenPage,
) -> None:
    page = open_page()
    page.ask("watch_activity", is_on=True)
    wait_for_state(page, "none")
    stream = llm.stream("Hello", max_tokens=None, ignore_eos=True)
    assert wait_for_state(page, "writing")["model"] == "tiny"
    stream.cancel()
    status = wait_for_state(page, "idle")
    assert 0 < status["kv_used"] < status["kv_room"]
    states = [state for state, _ in groupby(status["state"] for status in told(page))]
    assert [state for state in states if state not in ("loading", "reading")][-2:] == [
        "writing",
        "idle",
    ]
    llm.unload()
    assert wait_for_state(page, "none")["kv_room"] == 0
