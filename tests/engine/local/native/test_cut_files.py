"""A loaded model file is changed in many ways at many moments, and no process ends by it.

Each case is a process of its own, a fork of one that has imported what all of them need.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from support.processes import run_python, started

CASES = """
import os, random, shutil, sys, threading, time
from itertools import count
from pathlib import Path

from support.engines import ask, ask_together, load, prefill, wait_until_idle
from jupyter_llm.engine.local import resident
from jupyter_llm.engine.local.native import llama
from jupyter_llm.errors import JupyterLLMError

resident.try_file = lambda *_args, **_options: None  # each file would be tried in another process
model, folder, *names = sys.argv[1:]
folder = Path(folder)
size = os.stat(model).st_size
smaller = folder / "smaller"
smaller.write_bytes(Path(model).read_bytes()[:50_000])

def zeroed(path):
    with open(path, "r+b") as file:
        file.write(bytes(size))

def shifted(path):
    os.truncate(path, 0)
    os.truncate(path, size)

def made_anew(path):
    path.unlink()
    shutil.copyfile(smaller, path)

IN_PLACE = {
    "cut": lambda path: os.truncate(path, 20_000),
    "emptied": lambda path: os.truncate(path, 0),
    "shorter by a page": lambda path: os.truncate(path, size - 4096),
    "grown": lambda path: os.truncate(path, size + 4096),
    "copied onto": lambda path: shutil.copyfile(smaller, path),
    "zeroed": zeroed,
    "cut and grown": shifted,
}
def cut_and_removed(path):
    os.truncate(path, 20_000)
    path.unlink()

IN_PLACE["cut and removed"] = cut_and_removed
IN_ITS_PLACE = {
    "removed": lambda path: path.unlink(),
    "replaced": lambda path: os.replace(shutil.copyfile(smaller, f"{path}.new"), path),
    "made anew": made_anew,
}
WAYS = IN_PLACE | IN_ITS_PLACE

def before(owner, name, change, nth=1):
    original, calls = getattr(owner, name), count(1)
    def hooked(*args):
        if next(calls) == nth:
            change()
        return original(*args)
    setattr(owner, name, hooked)

def mapped(path, change):
    before(llama.lib, "llama_model_load_from_file", change)
    ask(load(path), "Hello")

def opened(path, change):
    before(llama.lib, "llama_init_from_model", change)
    ask(load(path), "Hello")

def idle(path, change):
    engine = load(path)
    ask(engine, "Hello " * 100)
    change()
    time.sleep(0.8)  # what it has read is written to the disk
    ask(engine, "Hello again")

def at_evaluation(ask_for, nth=1, kind="Context"):
    def moment(path, change):
        engine = load(path, n_threads=2)
        ask(engine, "Hello")
        before(getattr(llama, kind), "_evaluate", change, nth)
        ask_for(engine)
    return moment

def in_background(engine):
    prefill(engine, "Hello " * 100)
    time.sleep(0.2)
    ask(engine, "Hello again")

def at_any_time(path, change):
    engine = load(path, n_threads=2)
    threading.Timer(random.uniform(0, 0.3), change).start()
    end_s = time.monotonic() + 0.6
    while time.monotonic() < end_s:
        ask(engine, f"Hello {time.monotonic()}", 64)

MOMENTS = {
    "mapped": mapped,
    "opened": opened,
    "idle": idle,
    "read": at_evaluation(lambda engine: ask(engine, "Hello again")),
    "written": at_evaluation(lambda engine: ask(engine, "Hello again"), 9),
    "promised": at_evaluation(lambda engine: ask(engine, "Hello", temperature=1, seed=1)),
    "asked together": at_evaluation(lambda engine: ask_together(engine, ["Hi", "You", "All"]), 3),
    "embedded": at_evaluation(lambda engine: engine.embed(["Hello"]), 1, "EmbeddingContext"),
    "scored": at_evaluation(lambda engine: engine.score("Hello", ["you", "me"])),
    "read in the background": at_evaluation(in_background),
    "any": at_any_time,
}

for way, change in WAYS.items():
    for moment, do in MOMENTS.items():
        if names and f"{way}, {moment}" not in names:
            continue
        path = Path(shutil.copyfile(model, folder / "model.gguf"))
        child = os.fork()
        if not child:
            try:
                do(path, lambda: change(path))
                said = "answered"
            except JupyterLLMError as error:
                said = "refused"
                print(error, file=sys.stderr)
            print(f"{way}, {moment}: {said}", flush=True)
            os._exit(int(said == "answered" and way in IN_PLACE))
        _, status = os.waitpid(child, 0)
        path.unlink(missing_ok=True)
        if status:
            print(f"{way}, {moment}: ended with {os.waitstatus_to_exitcode(status)}", flush=True)
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="noticed between two batches there")


def outcomes(tiny_gguf: Path, folder: Path, *names: str) -> dict[str, str]:
    """What came of each case; "ended" where the process did not live or told of other weights."""
    said, _ = run_python(CASES, tiny_gguf, folder, *names, timeout=900)
    return dict(line.split(": ", 1) for line in said.splitlines())


@ON_LINUX
def test_a_file_that_is_cut_off_in_the_middle_of_a_batch_is_noticed_and_ends_nothing(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    names = [f"cut, {moment}" for moment in ("mapped", "read", "written", "promised", "embedded")]
    names.append("cut and removed, read")
    assert outcomes(tiny_gguf, tmp_path, *names) == dict.fromkeys(names, "refused")


@ON_LINUX
@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_no_change_of_a_loaded_file_at_any_moment_ends_a_process(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    found = outcomes(tiny_gguf, tmp_path)
    assert len(found) == 121
    assert {name: said for name, said in found.items() if said.startswith("ended")} == {}


USERS_OWN = """
import mmap, os, sys
from pathlib import Path
from support.engines import ask, load

ask(load(Path(sys.argv[1])), "Hello")
path = Path(sys.argv[2])
path.write_bytes(bytes(8192))
with path.open("rb") as file:
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
os.truncate(path, 0)
pages[5000]
"""


@ON_LINUX
def test_a_file_of_the_users_own_that_is_cut_off_ends_the_process_as_ever(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    with started(USERS_OWN, tiny_gguf, tmp_path / "own") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGBUS
