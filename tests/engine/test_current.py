"""An interrupt while a model is chosen or loaded is one exception, and the choice stays whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.interrupts import interrupt_main
from support.tiny_model import write_tiny_model
from support.waiting import until

from jupyter_llm import PromptInterrupted, llm
from jupyter_llm.engine.local import engine as local
from jupyter_llm.engine.local.resident import ResidentModel
from jupyter_llm.engine.residents import Activity
from jupyter_llm.engine.status import Status
from jupyter_llm.models import discover, inspect


@pytest.fixture
def loaded(tiny_gguf: Path, fresh_llm: None) -> Path:
    llm.use(tiny_gguf, n_threads=1)
    return tiny_gguf


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "other.gguf", seed=5)


def interrupting(call: Callable[..., Any], *, is_after: bool) -> Callable[..., Any]:
    """A function that somebody interrupts, before or after what it does."""

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if is_after:
            call(*args, **kwargs)
        raise KeyboardInterrupt

    return interrupted


def test_what_goes_on_with_the_model_is_known_while_it_loads_works_and_goes(
    tiny_gguf: Path, fresh_llm: None
) -> None:
    told: list[Activity] = []
    end = llm.current.watch_activity(lambda: told.append(llm.current.activity))
    assert llm.current.activity == Activity()
    llm.use(tiny_gguf)
    name = llm.engine().info.name
    shares = [activity.share or 0.0 for activity in told if activity.state == "loading"]
    assert (shares, shares[-1]) == (sorted(shares), 1)
    assert llm.current.activity == Activity(state="idle", model=name)
    llm("Hello", max_tokens=4, ignore_eos=True)
    until(lambda: told[-1].state == "idle")
    assert Activity(state="writing", model=name) in told
    llm.unload()
    assert told[-1] == Activity()
    end()


def num_engines() -> int:
    return sum(thread.name == "jupyter-llm-engine" for thread in threading.enumerate())


PLACES = {
    "finding the file": (discover, "find_model"),
    "its header": (inspect, "inspect"),
    "unloading the old one": (local.LocalEngine, "close"),
    "loading": (local.LocalEngine, "_load_model"),
    "having it": (local.LocalEngine, "__init__"),
    "telling it what is held": (local.LocalEngine, "hold_background"),
    "telling of it": (Status, "__init__"),
}


@pytest.mark.parametrize(
    ("owner", "name", "is_after"),
    [
        pytest.param(*place, is_after, id=f"{'after' if is_after else 'before'} {what}")
        for what, place in PLACES.items()
        for is_after in (False, True)
    ],
)
def test_an_interrupted_use_is_always_prompt_interrupted_and_the_next_prompt_is_answered(
    loaded: Path,
    other: Path,
    owner: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_after: bool,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupting(getattr(owner, name), is_after=is_after))
        with pytest.raises(PromptInterrupted, match=r"^stopped loading; the choice of a model is"):
            llm.use(other, n_threads=1)
    assert llm("Still there?", max_tokens=2).usage.completion_tokens == 2
    until(lambda: num_engines() == 1)  # none stays loaded that nobody knows
    info = llm.status().info
    assert info is not None
    assert llm.engine(info.path).info.path == info.path


def test_an_interrupt_while_another_thread_loads_is_prompt_interrupted(
    loaded: Path, other: Path
) -> None:
    has_lock, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with llm.current.residents.lock:
            has_lock.set()
            assert may_go.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert has_lock.wait(30)
    presser = threading.Thread(target=interrupt_main)
    presser.start()
    with pytest.raises(PromptInterrupted):
        llm.use(other)
    may_go.set()
    presser.join(timeout=30)
    holder.join(timeout=30)


def test_what_an_engine_keeps_at_its_end_is_forgotten_too(
    tiny_gguf: Path, home: Path, fresh_llm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states() -> list[Path]:
        return list((home / ".cache").rglob("*.kv"))

    is_ending, may_end = threading.Event(), threading.Event()
    close, wait = ResidentModel.close, local.LocalEngine.close

    def held(model: ResidentModel) -> None:
        is_ending.set()
        assert may_end.wait(60)
        close(model)

    def waiting(engine: local.LocalEngine) -> None:
        may_end.set()
        wait(engine)

    llm.use(tiny_gguf, n_threads=1)
    llm.complete("the quick brown fox jumps over the lazy dog and " * 20, max_tokens=2)
    (resident,) = llm.current.residents.alive
    engine = resident.engine
    assert isinstance(engine, local.LocalEngine)
    until(lambda: all(lane.store is not None for lane in engine._model.lanes.all))
    monkeypatch.setattr(ResidentModel, "close", held)
    unloading = threading.Thread(target=llm.unload)
    unloading.start()
    assert is_ending.wait(60)
    monkeypatch.setattr(local.LocalEngine, "close", waiting)
    llm.current.forget()
    may_end.set()
    unloading.join(timeout=30)
    assert states() == []
