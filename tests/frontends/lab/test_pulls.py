"""Pulls from a page: one at a time, seen by all pages, stopped, gone on with, and accepted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.front_end import Json
from support.hub import Hub, Repo, some_bytes
from support.lab_page import LabPage

from jupyter_llm import llm

OpenPage = Callable[..., LabPage]
pytestmark = pytest.mark.usefixtures("elsewhere")

NAME = "ada/elsewhere-GGUF"


@pytest.fixture
def watching(open_page: OpenPage) -> Callable[[], LabPage]:
    """Open pages that hear what goes on."""

    def watching() -> LabPage:
        page = open_page()
        page.ask("watch_activity", is_on=True)
        return page

    return watching


def hold(hub: Hub, after: int = 1 << 15) -> None:
    """Let the hub send no more than so many bytes for now."""
    hub.gate_after = after
    hub.gate.clear()


def pull(page: LabPage, name: str = NAME, *, accepts_licence: bool = False) -> None:
    assert page.answer("start_pull", model=name, accepts_licence=accepts_licence) is None


def told(page: LabPage, state: str) -> Json:
    """Wait until a page hears that the pull stands so."""

    page.wait_until(lambda page: last_told(page).get("state") == state)
    return last_told(page)


def last_told(page: LabPage) -> Json:
    """What a page knows of the pull, empty if nothing."""
    heard = page.of_kind("activity")
    found: Json | None = heard[-1]["pull"] if heard else None
    return found or {}


def test_what_was_pulled_is_told_to_every_page_and_can_be_used(
    watching: Callable[[], LabPage],
) -> None:
    page, other = watching(), watching()
    pull(page)
    found = told(other, "done")
    assert found["model"] == "elsewhere-q8_0"
    assert "SHA-256 checked" in found["text"]
    assert "*" not in found["text"]
    assert page.answer("use_model", model=found["model"]) is None
    assert llm.engine().info.name == "elsewhere-q8_0"
    page.ask("end_pull")
    other.wait_until(lambda page: not last_told(page))


def test_a_page_that_comes_later_sees_the_pull_that_runs_and_can_stop_it(
    watching: Callable[[], LabPage], hub: Hub
) -> None:
    hold(hub)
    first = watching()
    pull(first)
    first.close()
    page = watching()
    page.wait_until(lambda page: last_told(page).get("share"))
    assert "Downloading" in told(page, "running")["text"]
    page.ask("end_pull")
    hub.gate.set()
    assert "Pull again to resume" in told(page, "stopped")["text"]


def test_a_pull_that_is_wanted_again_before_it_has_stopped_goes_on(
    watching: Callable[[], LabPage], hub: Hub
) -> None:
    hold(hub)
    page = watching()
    pull(page)
    page.wait_until(lambda page: last_told(page).get("share"))
    page.ask("end_pull")
    pull(page)
    hub.gate.set()
    told(page, "done")


def test_one_model_is_pulled_at_a_time(watching: Callable[[], LabPage], hub: Hub) -> None:
    hub.repos["ada/other-GGUF"] = Repo({"other-Q8_0.gguf": some_bytes(1000)})
    hold(hub)
    page = watching()
    pull(page)
    pull(watching())  # joins in
    refused = page.refusal("start_pull", model="ada/other-GGUF", accepts_licence=False)
    assert f"{NAME} is being pulled" in refused
    hub.gate.set()
    told(page, "done")
    pull(page, "ada/other-GGUF")
