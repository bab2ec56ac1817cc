"""An interrupt while a model is chosen or loaded is one exception, and the choice stays whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.interrupts import interrupt_main
from support.tiny_model import write_tiny_model

from jupyter_llm import PromptInterrupted, llm
from jupyter_llm.engine.local import engine as local
from jupyter_llm.engine.status import Status
from jupyter_llm.engine.tuning import tuning
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


PLACES = {
    "finding the file": (discover, "find_model"),
    "its settings": (tuning, "tuned"),
    "its header": (inspect, "inspect"),
    "unloading the old one": (local.LocalEngine, "close"),
    "loading": (local.LocalEngine, "_load_model"),
    "telling it what is held": (local.LocalEngine, "hold_background"),
    "telling of it": (Status, "__init__"),
}


@pytest.mark.parametrize(
    ("owner", "name", "is_after"),
    [
        pytest.param(*place, is_after, id=f"{'after' if is_after else 'before'} {what}")
        for what, place in PLACES.items()
        for is_after in ((False,) if what == "loading" else (False, True))
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
        with pytest.raises(PromptInterrupted):
            llm.use(other, n_threads=1)
    assert llm("Still there?", max_tokens=2).usage.completion_tokens == 2
    info = llm.status().info
    assert info is not None
    assert llm.engine(info.path).info.path == info.path


def test_an_interrupt_while_another_thread_loads_is_prompt_interrupted(
    loaded: Path, other: Path
) -> None:
    has_lock, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with llm.current._lock:
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


def test_after_an_interrupt_no_engine_passes_for_another_s(
    loaded: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            local.LocalEngine,
            "hold_background",
            interrupting(local.LocalEngine.hold_background, is_after=False),
        )
        with pytest.raises(PromptInterrupted):
            llm.use(other, n_threads=1)
    assert llm.engine(loaded).info.path == loaded
