"""A model file that llama.cpp would die of ends another process, and not the kernel."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.engines import ask, load
from support.gguf_edit import ARRAY, F32, STRING, Gguf
from support.processes import run_python
from support.tiny_kinds import write_tiny_window

from jupyter_llm.engine.local import resident
from jupyter_llm.engine.local.trials import model_file
from jupyter_llm.engine.local.trials.model_file import try_file
from jupyter_llm.errors import ModelFileError, ModelLoadError

pytestmark = pytest.mark.slow


@pytest.fixture
def deadly(tiny_gguf: Path, tmp_path: Path) -> Path:
    """A file whose header looks sound, and that ends the process that loads it."""
    file = Gguf.read(tiny_gguf)
    file.put("tokenizer.ggml.model", STRING, "llama")
    file.put("tokenizer.ggml.scores", ARRAY, (F32, (0.0,) * 271))
    return file.write(tmp_path / "deadly.gguf")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were tried in a process so far."""
    paths: list[Path] = []
    run = model_file._run

    def record(path: Path, *more: object) -> int:
        paths.append(path)
        return run(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(model_file, "_run", record)
    monkeypatch.setattr(resident, "try_file", try_file)  # other tests know their files
    return paths


def test_a_file_that_ends_processes_is_an_error_in_ours(deadly: Path, tried: list[Path]) -> None:
    for _ in range(2):
        with pytest.raises(
            ModelLoadError, match=r"^deadly\.gguf cannot be loaded: .*ends the proce"
        ) as caught:
            load(deadly)
        assert "\n" not in str(caught.value)
        assert "nothing is lost" in str(caught.value)
    assert tried == [deadly]  # the verdict is remembered


def test_a_sound_file_is_tried_once(tiny_gguf: Path, tried: list[Path]) -> None:
    for _ in range(2):
        engine = load(tiny_gguf)
        assert ask(engine, "Hello").text
        engine.close()
    assert tried == [tiny_gguf]


def test_a_file_that_changes_while_it_is_tried_is_not_loaded(
    tiny_gguf: Path, tmp_path: Path, tried: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf.read_bytes())
    verdict = model_file._verdict

    def meanwhile(*args: Any) -> tuple[str, bool]:
        os.utime(path, ns=(0, 0))
        return verdict(*args)

    monkeypatch.setattr(model_file, "_verdict", meanwhile)
    with pytest.raises(ModelFileError, match=r"changed on disk while it was tried"):
        load(path)
    assert model_file._TRIED.all() == {}
    load(path).close()


@pytest.mark.parametrize("kind", ["recurrent", "window", "base"])
def test_models_of_each_kind_of_memory_pass(
    kind: str, request: pytest.FixtureRequest, tried: list[Path]
) -> None:
    path: Path = request.getfixturevalue(f"tiny_{kind}_gguf")
    try_file(path)
    assert tried == [path]


def test_the_model_of_our_extra_is_not_tried(smollm2: Path, tried: list[Path]) -> None:
    try_file(smollm2)
    assert tried == []


def test_a_lack_of_memory_is_not_the_files_fault(
    tiny_gguf: Path, tried: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "_run", lambda *_: -signal.SIGKILL)
    with pytest.raises(ModelLoadError, match="memory"):
        try_file(tiny_gguf)
    assert model_file._TRIED.all() == {}


def test_a_file_that_would_be_computed_without_an_end_is_refused(
    tmp_path: Path, tried: list[Path]
) -> None:
    path = write_tiny_window(tmp_path / "endless.gguf")
    file = Gguf.read(path)
    file.put("tokenizer.ggml.model", STRING, "rwkv")
    file.write(path)
    with pytest.raises(ModelLoadError, match="too much computing"):
        try_file(path)


def test_a_file_that_takes_for_ever_is_given_up(
    tiny_gguf: Path, tried: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "_run", lambda *_: -signal.SIGALRM)
    with pytest.raises(ModelLoadError, match="within 60 s"):
        try_file(tiny_gguf)


# Each file as the kernel meets it: loaded, asked with both contexts, embedded; the first is sound.
USE = """
import json, os, resource, sys, time
from pathlib import Path
from support.engines import ask, load
from support.mutated import mutated
from support.tiny_kinds import write_tiny_recurrent, write_tiny_window
from support.tiny_model import write_tiny_model
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.models import inspect

folder, count = Path(sys.argv[1]), int(sys.argv[2])
sources = {
    "llama": write_tiny_model(folder / "llama.gguf"),
    "mamba": write_tiny_recurrent(folder / "mamba.gguf"),
    "gemma2": write_tiny_window(folder / "gemma2.gguf"),
}

def use(path):
    engine = load(path)
    try:
        for options in ({}, {"temperature": 1.0}, {"temperature": 1.0, "seed": 1}):
            ask(engine, "Hello, 123 world", 8, **options)
        engine.embed(["Hello"])
    finally:
        engine.close()

def spent_s():  # of the processor: others use it, too
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime

def once(path):
    said, began_s, wall_s = "", spent_s(), time.perf_counter()
    inspect._inspect.cache_clear()
    os.utime(path)  # a file that nothing is known of yet
    try:
        use(path)
    except JupyterLLMError as error:
        said = f"{type(error).__name__}: {error}"
    return max(spent_s() - began_s, (time.perf_counter() - wall_s) / 20), said

def tell(path, what, bound_s):
    print(json.dumps(what), end=" ", flush=True)
    took_s, said = once(path)
    for _ in range(4):  # what others took of the machine, they do not take each time
        if took_s > bound_s:
            took_s = min(took_s, once(path)[0])
    print(json.dumps([took_s, said]), flush=True)
    return took_s

sound_s = tell(sources["llama"], "sound", 0)
for what in mutated(sources, folder / "model.gguf", count=count):
    tell(folder / "model.gguf", what, sound_s + 1)
"""


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_mutated_file_ends_or_holds_up_the_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 400
    said, _ = run_python(USE, tmp_path, count, timeout=3600)
    lines = [line.partition('" [') for line in said.splitlines()]
    (_, (sound_s, error)), *told = [(what, json.loads(f"[{rest}")) for what, _, rest in lines]
    assert (error, len(told)) == ("", count)
    slow = {what: took_s for what, (took_s, _) in told if took_s > sound_s + 1}
    kinds = Counter(error.partition(":")[0] or "answers" for _, (_, error) in told)
    ends = sum("ends the process" in error for _, (_, error) in told)
    with capsys.disabled():
        print(f"\n{count} files: {dict(kinds)}, {ends} ended the trial, slow: {slow}")
    assert slow == {}
    assert all("\n" not in error for _, (_, error) in told)
