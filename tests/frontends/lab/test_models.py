"""The models that a page may choose from, and what becomes of a choice."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.front_end import Json
from support.lab_page import LabPage
from support.servers import ScriptedServers
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.engine.remote import engine as remote
from jupyter_llm.frontends.comm import models
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.prompt.commands import Call, suggestions
from jupyter_llm.frontends.prompt.model_list import listed_models
from jupyter_llm.frontends.prompt.options import Options

OpenPage = Callable[..., LabPage]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another model, in the working folder."""
    return write_tiny_model(tmp_path / "other.gguf", seed=5)


def here(page: LabPage) -> list[Json]:
    models: list[Json] = page.answer("list_models")["here"]
    return models


def test_the_models_are_listed_and_which_is_loaded_that_one_first(
    open_page: OpenPage, other: Path
) -> None:
    page = open_page()
    listed = {model["name"]: model for model in here(page)}
    assert re.fullmatch(r"chat · \d+\.\d kB", listed["other"]["note"])
    assert not any(model["roles"] for model in listed.values())
    llm.use("other")
    first, *others = here(page)
    assert (first["name"], first["roles"]) == ("other", ["chat"])
    assert not any(model["roles"] for model in others)


def test_a_name_of_a_servers_model_is_listed_with_where_text_goes_and_chosen_like_any_other(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RemoteEngine", ScriptedServers())
    llm.alias("gpu", "http://gpu.example/v1", model="qwen3")
    page = open_page()
    assert {"name": "gpu", "note": "text is sent to gpu.example", "roles": []} in here(page)
    assert page.answer("use_model", model="gpu", role="chat") is None
    assert here(page)[0] == {
        "name": "gpu",
        "note": "text is sent to gpu.example",
        "roles": ["chat"],
    }


def test_a_choice_that_prompts_do_not_heed_says_so(
    open_page: OpenPage, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page()
    monkeypatch.setattr(models, "default_options", lambda: Options(model="coder"))
    refusal = page.refusal("use_model", model="other", role="chat")
    assert refusal.startswith("Prompts here ask coder all the same: ")
    assert page.answer("use_model", model="other", role="complete") is None


def test_of_two_files_with_one_name_the_page_and_the_panel_offer_the_one_that_it_means(
    open_page: OpenPage, other: Path, tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    second = write_tiny_model(tmp_path / "below" / other.name, seed=6)
    for path in (second, other):
        llm.use(path)
    llm.unload(second)
    assert [one.entry.name for one in listed_models(llm)].count("other") == 2
    assert [one["roles"] for one in here(open_page()) if one["name"] == "other"] == [["chat"]]
    call = Call(llm=llm, chat=llm.chat("default"))
    offer = PANEL_COMMANDS["models"].run(call)
    assert "/use other" not in [choice.text for choice in offer.choices]


def test_what_may_be_pulled_is_what_the_command_lists(open_page: OpenPage) -> None:
    suited = open_page().answer("list_models")["suited"]
    assert [(one["name"], one["note"]) for one in suited] == [
        (suggestion.entry.name, suggestion.note) for suggestion in suggestions()
    ]


def test_a_model_is_chosen_for_what_else_there_is_beside_that_of_chats(
    open_page: OpenPage, other: Path
) -> None:
    page = open_page()
    llm.use("tiny")
    assert page.answer("use_model", model="other", role="task") is None
    assert llm.engine().info.name == "tiny"
    roles = {model["name"]: model["roles"] for model in here(page)}
    assert (roles["tiny"], roles["other"]) == (["chat"], ["task"])


def test_a_model_that_is_not_there_is_an_error_in_one_line(open_page: OpenPage) -> None:
    refusal = open_page().refusal("use_model", model="none of these")
    assert "none of these" in refusal
    assert "\n" not in refusal


def test_loading_can_be_stopped_and_the_model_does_not_come(
    open_page: OpenPage, other: Path
) -> None:
    page = open_page()
    with llm.current.residents.lock:  # as while another one is loaded
        request = page.ask("use_model", model="other")
        page.ask("stop", target=request)
        page.wait_for_kind("error", id=request, text="Stopped.")
    page.answer("use_model", model="tiny")
    assert llm.engine().info.name == "tiny"
