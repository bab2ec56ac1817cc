"""The models that a page may choose from, and what becomes of a choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.front_end import Json
from support.lab_page import LabPage
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.frontends.prompt.commands import suggestions

OpenPage = Callable[..., LabPage]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another model, in the working folder."""
    return write_tiny_model(tmp_path / "other.gguf", seed=5)


def here(page: LabPage) -> list[Json]:
    models: list[Json] = page.answer("list-models")["here"]["models"]
    return models


def test_the_models_are_listed_as_in_the_table_of_the_command_and_which_is_loaded(
    open_page: OpenPage, other: Path
) -> None:
    page = open_page()
    table = page.answer("list-models")["here"]
    listed = {model["name"]: model for model in table["models"]}
    facts = dict(zip(table["columns"][1:], listed["other"]["facts"], strict=True))
    assert facts["size"].endswith("B")
    assert facts["licence"] == "cc0-1.0"
    assert facts["here"].startswith("fits: ")
    assert not any(model["is_loaded"] for model in listed.values())
    llm.use("other")
    assert [model["name"] for model in here(page) if model["is_loaded"]] == ["other"]


def test_what_may_be_pulled_is_what_the_command_lists(open_page: OpenPage) -> None:
    suited = open_page().answer("list-models")["suited"]
    assert [model["name"] for model in suited["models"]] == [
        suggestion.entry.name for suggestion in suggestions()
    ]
    assert all(len(model["facts"]) == len(suited["columns"]) - 1 for model in suited["models"])


def test_a_chosen_model_is_loaded_and_stays_chosen(open_page: OpenPage, other: Path) -> None:
    page = open_page()
    assert page.answer("use-model", model="other")["type"] == "done"
    assert llm.engine().info.path == other


def test_a_model_that_is_not_there_is_an_error_in_one_line(open_page: OpenPage) -> None:
    answer = open_page().answer("use-model", model="none of these")
    assert answer["type"] == "error"
    assert "none of these" in answer["text"]
    assert "\n" not in answer["text"]


def test_loading_can_be_stopped_and_the_model_does_not_come(
    open_page: OpenPage, other: Path
) -> None:
    page = open_page()
    with llm.current._lock:  # as while another one is loaded
        request = page.ask("use-model", model="other")
        page.ask("cancel", target=request)
        page.wait_for_kind("error", id=request, text="Loading was stopped.")
    answer = page.answer("use-model", model="tiny")
    assert answer["type"] == "done"
    assert llm.engine().info.name == "tiny"
