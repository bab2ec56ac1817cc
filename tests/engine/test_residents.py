"""Several models at once: which is used for what, and which goes when another one comes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.shell import run
from support.tiny_model import write_tiny_model
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.local import engine as local
from jupyter_llm.engine.local import resident
from jupyter_llm.engine.local.native import memory
from jupyter_llm.engine.local.native.memory import num_to_go
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.errors import ModelLoadError
from jupyter_llm.frontends.prompt.model_list import listed_models
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import FreeMemory

pytestmark = pytest.mark.usefixtures("fresh_llm")


@pytest.fixture
def chat(tiny_gguf: Path) -> Path:
    llm.use(tiny_gguf, n_threads=1)
    return tiny_gguf


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "other.gguf", seed=5)


@pytest.fixture
def third(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "third.gguf", seed=6)


def loaded() -> set[str]:
    return {one.info.name for one in llm.status().residents}


def roles() -> dict[str, tuple[str, ...]]:
    return {one.info.name: one.roles for one in llm.status().residents}


def free(monkeypatch: pytest.MonkeyPatch, ram_bytes: int) -> None:
    """Let so much be free beside the models that are loaded."""

    def free_beside(_sizes: object, held: tuple[FreeMemory, ...] = ()) -> FreeMemory:
        return FreeMemory(ram_bytes=ram_bytes + sum(one.ram_bytes for one in held))

    monkeypatch.setattr(resident, "free_beside", free_beside)


def held() -> int:
    """What the model of chats holds, in bytes."""
    (resident,) = llm.current.residents.alive
    assert resident.local is not None
    return resident.local.held.ram_bytes


def test_a_model_with_a_role_is_loaded_beside_the_chats_and_does_what_it_is_for(
    chat: Path, other: Path
) -> None:
    status = llm.use(other, role="complete", n_threads=1)
    assert status.info is not None
    assert status.info.path == other
    assert roles() == {"tiny": ("chat",), "other": ("complete",)}
    assert llm("Hello", max_tokens=1).model == "tiny"
    completes, chats = llm.current.resident_of("complete"), llm.current.resident
    assert completes is not None
    assert chats is not None
    assert (completes.info.name, chats.info.name) == ("other", "tiny")


def test_tasks_and_vectors_go_to_the_models_for_them_and_else_to_that_of_chats(
    chat: Path, other: Path, third: Path
) -> None:
    assert llm.current.get(role="task") is llm.engine()
    llm.use(other, role="task", n_threads=1)
    llm.use(third, role="embed", n_threads=1)
    assert llm.current.get(role="task").info.name == "other"
    assert llm.current.get(role="embed").info.name == "third"
    assert llm.embed(["a"]).shape[0] == 1
    assert llm.engine().info.name == "tiny"


def test_use_frees_the_old_model_before_the_new_one_is_loaded(
    chat: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[set[str]] = []
    load = local.LocalEngine._load_model

    def watched(engine: local.LocalEngine, *args: Any) -> None:
        alive.append(loaded())
        load(engine, *args)

    monkeypatch.setattr(local.LocalEngine, "_load_model", watched)
    llm.use(other, n_threads=1)
    assert alive == [set()]
    assert loaded() == {"other"}


def test_a_model_that_has_another_role_stays_when_it_is_replaced_in_one(
    chat: Path, other: Path
) -> None:
    llm.use(chat, role="complete", n_threads=1)
    llm.use(other, n_threads=1)
    assert roles() == {"tiny": ("complete",), "other": ("chat",)}
    llm.use(other, role="complete", n_threads=1)
    assert roles() == {"other": ("chat", "complete")}


def test_chats_keep_their_text_when_their_model_is_swapped(chat: Path, other: Path) -> None:
    talk = llm.chat("notes")
    talk("Hello", max_tokens=2)
    first = [str(turn) for turn in talk.turns]
    llm.use(other, n_threads=1)
    assert talk("Go on", max_tokens=2).model == "other"
    assert [str(turn) for turn in talk.turns[:1]] == first


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_loaded_and_says_so(
    chat: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = local.LocalEngine._load_model

    def refuse(engine: local.LocalEngine, *args: Any) -> None:
        if engine._entry.path == other:
            raise ModelLoadError(other, "it is none.")
        load(engine, *args)

    monkeypatch.setattr(local.LocalEngine, "_load_model", refuse)
    with pytest.raises(ModelLoadError, match=r"it is none\. tiny is loaded again\.$"):
        llm.use(other)
    assert roles() == {"tiny": ("chat",)}
    assert llm("Hello", max_tokens=1).model == "tiny"


def test_the_least_recently_used_goes_when_the_next_one_does_not_fit(
    chat: Path, other: Path, third: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.use(other, role="complete", n_threads=1)
    llm("Hello", max_tokens=1)  # so the other one was used before
    monkeypatch.setattr(memory, "num_to_go", lambda *_args, least, **_options: least + 1)
    assert llm("Hello", model=str(third), max_tokens=1).model == "third"
    assert loaded() == {"tiny", "third"}
    assert llm.current.get(role="complete").info.name == "other"  # loaded again
    assert "tiny" not in loaded()


def test_a_model_that_writes_makes_way_only_when_it_has_written(
    chat: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "num_to_go", lambda *_args, least, **_options: least + 1)
    stream = llm.stream("Hello", max_tokens=200, ignore_eos=True)
    until(lambda: bool(stream.written))
    llm.engine(other)
    assert stream.result().usage.completion_tokens == 200
    assert loaded() == {"other"}


def test_a_prompt_that_names_another_model_leaves_that_of_the_chats(
    chat: Path, other: Path
) -> None:
    engine = llm.engine()
    assert llm("Hello", model=str(other), max_tokens=1).model == "other"
    assert llm.engine() is engine
    assert roles() == {"tiny": ("chat",), "other": ()}


def test_unload_frees_one_model_and_its_role_goes_to_that_of_the_chats(
    chat: Path, other: Path
) -> None:
    llm.use(other, role="complete", n_threads=1)
    llm.unload(other)
    assert loaded() == {"tiny"}
    assert llm.current.get(role="complete").info.name == "tiny"
    llm.engine(other)
    other.unlink()
    llm.unload("OTHER")
    assert loaded() == {"tiny"}
    llm.unload()
    assert not loaded()


def test_status_and_models_say_which_are_resident_and_for_what(chat: Path, other: Path) -> None:
    llm.use(other, role="complete", n_threads=1)
    rows = dict(llm.status().rows())
    assert rows["model"] == "tiny"
    assert re.fullmatch(r"other \(.* kB, for code at the cursor\)", rows["loaded beside it"])
    here = {one.entry.path: one.here for one in listed_models(llm) if one.is_loaded}
    assert here == {chat: "loaded for chats", other: "loaded for code at the cursor"}


def test_a_line_gives_a_model_its_role_and_frees_it_again(
    shell: InteractiveShell, other: Path
) -> None:
    assert run(shell, "%llm -n 1 Hello").text
    assert (
        "Using **other** for code at the cursor"
        in run(shell, f"%llm /use {other} role=complete n_threads=1").text
    )
    assert roles() == {"tiny": ("chat",), "other": ("complete",)}
    assert "| loaded beside it | other (" in run(shell, "%llm /status").text
    run(shell, f"%llm /unload {other}")
    assert loaded() == {"tiny"}


def test_a_model_that_nobody_uses_is_let_go_and_the_next_prompt_loads_it_again(
    chat: Path, other: Path
) -> None:
    llm.use(other, role="complete", n_threads=1)
    llm.current.idle_s = 0.01
    until(lambda: not loaded())
    llm.current.idle_s = None
    steps: list[str] = []
    engine = llm.engine(show_progress=lambda step: steps.append(step.text))
    assert engine.info.name == "tiny"
    assert steps[-1].startswith("Loading tiny: 100%")
    assert loaded() == {"tiny"}


def test_a_model_that_works_is_not_let_go(chat: Path) -> None:
    engine = llm.engine()
    stream = llm.stream("Hello", max_tokens=None, ignore_eos=True)
    until(lambda: bool(stream.written))
    (resident,) = llm.current.residents.alive
    llm.current.idle_s = 0.01
    before_s = resident.used_s
    until(lambda: resident.used_s > before_s)  # somebody looked, and it worked
    stream.cancel()
    assert stream.result().text
    until(lambda: llm.current.resident is not engine)


def test_options_without_a_model_are_added_to_those_of_the_chosen_one(
    chat: Path, other: Path
) -> None:
    llm.engine(str(other))  # which is the latest used, and nobody chose it
    info = llm.use(n_ctx=256).info
    assert info is not None
    assert (info.name, info.n_ctx, info.n_threads) == ("tiny", 256, 1)


def test_chats_go_to_the_default_whatever_else_was_used_since(
    tiny_gguf: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_LLM_MODEL", str(tiny_gguf))
    llm.engine()
    llm.engine(str(other))
    assert llm.current.resident is llm.engine()
    assert llm.engine().info.name == "tiny"


MB = 1_000_000


@pytest.mark.parametrize(
    ("free_mb", "held_mb", "count"),
    [
        pytest.param(1000, (), 0, id="none is loaded"),
        pytest.param(1000, (50, 50), 0, id="there is room for all"),
        pytest.param(1, (500, 500), 1, id="the first one makes room enough"),
        pytest.param(1, (5, 500), 2, id="the first one is not enough"),
    ],
)
def test_as_few_go_as_make_room(
    tiny_gguf: Path, free_mb: int, held_mb: tuple[int, ...], count: int
) -> None:
    held = [FreeMemory(ram_bytes=size * MB) for size in held_mb]
    there = FreeMemory(ram_bytes=free_mb * MB)
    assert num_to_go(inspect(tiny_gguf), EngineOptions(), there, held) == count
    assert num_to_go(inspect(tiny_gguf), EngineOptions(), there, held, least=len(held)) == len(held)
