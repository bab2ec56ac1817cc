"""Kernels at once lose no turn, a killed one none it was sure of; a damaged file stops none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from sqlite3 import connect

import pytest
from support.kernel import running_kernel
from support.processes import run_python, started
from support.scripted import ScriptedEngine
from support.stored import Warnings, rows, written
from support.template_engine import ScriptedLLM

from jupyter_llm.chat.archive import Archive
from jupyter_llm.common import database
from jupyter_llm.common.database import Database, store

NOTEBOOK = Path("/notebooks/a.ipynb")

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]


KERNEL = """
import sys
from pathlib import Path
from support.saved_turns import turn
from jupyter_llm.chat.archive import Archive
from jupyter_llm.common.database import store

notebook, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
archive = Archive()
archive.open(notebook)
for n in range(count):
    archive.keep(name, turn(f"{n}", "x" * (n % 40 * 500), number=n + 1, parent=n))
    archive.keep(name, turn("again", "y" * 20_000, origin=("cell", 1), number=count + 1))
    if n % 5 == 0:
        assert store().flush(60)
assert store().flush(60)
"""


def test_four_kernels_that_write_at_once_lose_no_turn(scaled: Callable[[int], int]) -> None:
    count = scaled(500)
    with ExitStack() as stack:
        kernels = [stack.enter_context(started(KERNEL, NOTEBOOK, name, count)) for name in "abcd"]
        assert [kernel.wait(600) for kernel in kernels] == [0, 0, 0, 0]
    archive = Archive()
    archive.open(NOTEBOOK)
    for name in "abcd":
        prompts = [one.prompt for one in archive.waiting[name].turns if one.origin is None]
        assert prompts == [str(number) for number in range(count)]
    assert rows("PRAGMA integrity_check") == [("ok",)]


# Forks kernels from a process that has loaded all they need, and kills them two at a time.
KILLED = """
import json, os, random, select, signal, sys, time
from contextlib import closing
from pathlib import Path
import msgspec, sqlite3
from platformdirs import user_data_path
from support.saved_turns import turn
from jupyter_llm.chat.archive import Archive
from jupyter_llm.common.database import store

def kernel(number, name, pipe):
    random.seed(f"{number} {name}")
    before, archive = Archive(), Archive()
    before.open(Path(f"/{number - 1}.ipynb"))
    before.clear()
    archive.open(Path(f"/{number}.ipynb"))
    count = 0
    while True:
        for _ in range(random.choice([1, 1, 2, 5])):
            text = "x" * random.choice([10, 3000, 60_000])
            archive.keep(name, turn(str(count), text, number=count + 1, parent=count))
            count += 1
        if store().flush(60):
            os.write(pipe, f"{count} ".encode())

def killed(number, name):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        kernel(number, name, writer)
    os.close(writer)
    return name, child, reader

path = user_data_path("jupyter_llm") / "store" / "store.sqlite3"
for number in range(int(sys.argv[1])):
    kernels = [killed(number, name) for name in "ab"]
    for name, child, reader in kernels:
        if number % 3:  # else it may well be killed before its first word, on a busy machine
            select.select([reader], [], [])
        time.sleep(random.Random(number).random() * 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    seen = {}
    for name, child, reader in kernels:
        with open(reader) as pipe:
            seen[name] = int((pipe.read().split() or [0])[-1])
    if not path.exists():
        print(json.dumps([seen, {}, "ok"]))
        continue
    with closing(sqlite3.connect(path)) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
        found = {}
        if connection.execute("PRAGMA user_version").fetchone()[0]:
            for name, turn_number in connection.execute(
                "SELECT name, number FROM turns JOIN chats ON chats.id = chat"
                " WHERE notebook = ? ORDER BY number", (f"/{number}.ipynb".encode(),)
            ):
                found.setdefault(name.decode(), []).append(turn_number)
    print(json.dumps([seen, found, answer]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_what_was_acknowledged_is_there_though_the_kernel_was_killed(
    scaled: Callable[[int], int],
) -> None:
    lines = run_python(KILLED, scaled(100), timeout=600)[0].splitlines()  # two each
    assert len(lines) == scaled(100)
    num_acknowledged = 0
    for line in lines:
        seen, found, answer = json.loads(line)
        assert answer == "ok"
        for name, count in seen.items():
            numbers = found.get(name, [])
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= count
            num_acknowledged += count
    assert num_acknowledged > len(lines)


def damaged(data: bytes, seed: int) -> bytes:
    """Return what a store may look like after anything has happened to it."""
    random = Random(seed)  # noqa: S311  no secrets here
    kind = random.choice(["cut", "noise", "noise", "zeros", "zeros", "other", "shifted"])
    if kind == "cut":
        return data[: random.randrange(1, len(data))]
    if kind == "other":
        return random.randbytes(random.randrange(1, 50_000))
    if kind == "shifted":
        start = random.randrange(len(data))
        return data[:start] + random.randbytes(random.randrange(1, 5000)) + data[start:]
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 5, 50])):
        length = random.choice([1, 16, 500, 5000])
        start = random.choice([0, random.randrange(200), random.randrange(len(data))])
        changed[start : start + length] = (
            random.randbytes(length) if kind == "noise" else bytes(length)
        )
    return bytes(changed[: len(data)])


def ask(llm: ScriptedLLM, prompt: str) -> None:
    llm.chat("default").stream(prompt).result(60)
    assert llm.chat("default").turns[-1].prompt == prompt


def test_a_damaged_file_stops_no_kernel(
    scaled: Callable[[int], int], monkeypatch: pytest.MonkeyPatch, warnings: Warnings
) -> None:
    path = store().path

    def kernel() -> ScriptedLLM:
        monkeypatch.setitem(database._databases, path, Database(path))
        llm = ScriptedLLM(ScriptedEngine())
        llm.archive.open(NOTEBOOK)
        return llm

    first = kernel()
    for number in range(8):
        ask(first, f"before {number} " + "word " * 500)
    sound = written().read_bytes()
    for seed in range(scaled(100)):
        num_warned = len(warnings())
        for file in path.parent.iterdir():
            file.unlink()
        data = damaged(sound, seed)
        path.write_bytes(data)
        llm = kernel()
        ask(llm, "after")
        is_kept = store().flush(60)
        aside = [file.read_bytes() for file in path.parent.glob("*damaged*.sqlite3")]
        num_warnings = len(warnings()) - num_warned
        assert num_warnings <= 1, seed
        assert aside in ([], [data])
        if not is_kept:  # it says that it is of a newer version, or that nobody may write it
            assert num_warnings == 1
            assert path.read_bytes() == data
            continue
        assert kernel().chat("default").turns[-1].prompt == "after"
        with closing(connect(path)) as connection:
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_a_kernel_with_a_damaged_store_says_so_once_and_goes_on(
    tiny_gguf: Path, tmp_path: Path, home: Path
) -> None:
    path = store().path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no store at all" * 1000)
    notebook = tmp_path / "a.ipynb"
    notebook.touch()
    surroundings = {"HOME": str(home), "JUPYTER_LLM_MODEL": str(tiny_gguf)}
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(notebook), **surroundings) as kernel:
        kernel.execute("%load_ext jupyter_llm")
        cells = [kernel.execute("%llm -n 3 Hello?"), kernel.execute("%llm -n 3 And now?")]
        assert [cell.error for cell in cells] == [None, None]
        said = [str(output.get("text")) for cell in cells for output in cell.outputs]
        assert sum("is damaged" in text for text in said) == 1
        kernel.restart()
        kernel.execute("%load_ext jupyter_llm")
        assert "And now?" in kernel.execute("%llm /history").text
    (aside,) = path.parent.glob("*damaged*.sqlite3")
    assert aside.read_bytes() == b"no store at all" * 1000
