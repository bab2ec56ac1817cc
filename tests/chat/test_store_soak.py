"""Kernels at once lose no turn, a killed one none it was sure of; a damaged file stops none."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from sqlite3 import connect

import pytest
from support.kernel import running_kernel
from support.paths import TESTS
from support.processes import run_python, started
from support.scripted import ScriptedEngine
from support.stored import Warnings, rows, written
from support.template_engine import ScriptedLLM

from jupyter_llm.ask.prompt_store import KeptPrompt
from jupyter_llm.chat.archive import Archive
from jupyter_llm.common import database
from jupyter_llm.common.database import Database, store
from jupyter_llm.common.remembered import Remembered

NOTEBOOK = Path("/notebooks/a.ipynb")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


KERNEL = """
import sys
from pathlib import Path
from support.saved_turns import turn
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.store import StoredChats
from jupyter_llm.common.database import store

notebook, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
archive = Archive()
archive.open(notebook)
for n in range(count):
    one = turn(f"{n}", "x" * (n % 40 * 500), number=n + 1, parent=n)
    archive.write(StoredChats.keep, name, one)
    again = turn("again", "y" * 20_000, origin=("cell", 1), number=count + 1)
    archive.write(StoredChats.keep, name, again)
    if n % 5 == 0:
        assert store().flush(60)
assert store().flush(60)
"""


@pytest.mark.soak
def test_four_kernels_that_write_at_once_lose_no_turn() -> None:
    count = 500
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
from jupyter_llm.chat.store import StoredChats
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
            one = turn(str(count), text, number=count + 1, parent=count)
            archive.write(StoredChats.keep, name, one)
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
@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.soak)])
def test_what_was_acknowledged_is_there_though_the_kernel_was_killed(count: int) -> None:
    lines = run_python(KILLED, count, timeout=600)[0].splitlines()  # two each
    assert len(lines) == count
    num_acknowledged = 0
    for line in lines:
        seen, found, answer = json.loads(line)
        assert answer == "ok"
        for name, num_seen in seen.items():
            numbers = found.get(name, [])
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= num_seen
            num_acknowledged += num_seen
    assert num_acknowledged > len(lines)


SETUP = """
import os, sys
sys.path.insert(0, {tests!r})
from support.scripted import ScriptedEngine
from jupyter_llm import llm
engine = ScriptedEngine(["word " * {length}] * 9)
llm.current.get = lambda *args, **options: engine
%load_ext jupyter_llm
print(os.getpid(), flush=True)
"""


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_no_turn_is_lost_when_a_kernel_is_killed_right_after_the_reply_of_its_cell(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surroundings, lost, num_turns = {"HOME": str(home)}, [], 0
    with started("while True: pass"), started("while True: pass"):  # the cores are busy
        for number in range(100):
            notebook = tmp_path / f"{number}.ipynb"
            notebook.touch()
            name = {"JPY_SESSION_NAME": str(notebook)}
            with running_kernel(tmp_path, **name, **surroundings) as kernel:
                length = (1, 500, 20_000)[number % 3]
                begun = kernel.execute(SETUP.format(tests=str(TESTS), length=length))
                asked = [f"{turn} of {number}" for turn in range(1 + number % 4)]
                for prompt in asked:
                    cell = kernel.start(f"%llm {prompt}")
                    reply = kernel.reply_to(cell.msg_id, timeout_s=60)
                os.kill(int(begun.text), signal.SIGKILL)
            assert reply["status"] == "ok"
            archive = Archive()
            archive.open(notebook)
            chat = archive.take("default")
            found = [turn.prompt for turn in chat.turns] if chat is not None else []
            num_turns += len(found)
            if found != asked:
                lost.append((asked, found))
    with capsys.disabled():
        print(f"\n100 kernels killed, {num_turns} turns kept, {len(lost)} kernels lost some")
    assert lost == []
    assert rows("PRAGMA integrity_check") == [("ok",)]


def ask(llm: ScriptedLLM, prompt: str) -> None:
    llm.chat("default").stream(prompt).result(60)
    assert llm.chat("default").turns[-1].prompt == prompt


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[], ScriptedLLM]:
    """Go on as a kernel that knows nothing of what those before have seen."""
    path = store().path

    def kernel() -> ScriptedLLM:
        monkeypatch.setitem(database._databases, path, Database(path))
        llm = ScriptedLLM(ScriptedEngine())
        llm.archive.open(NOTEBOOK)
        return llm

    return kernel


NAME, PROMPT = "5" * 64, KeptPrompt("What was asked?")
FACTS = {"trial": "sound", "fingerprint": "a" * 64, "exactness": "8", "attention": "[]"}


def damaged(data: bytes, seed: int) -> bytes:
    """What a file may look like after anything has happened to it."""
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


@contextmanager
def no_second_passes() -> Iterator[None]:
    """Fail where something computes for over a second, or waits longer than others explain."""
    began_s, wall_s = time.process_time(), time.perf_counter()
    yield
    assert max(time.process_time() - began_s, (time.perf_counter() - wall_s) / 20) <= 1


def sound_store(llm: ScriptedLLM) -> bytes:
    """A store in which there is something of each room."""
    for number in range(8):
        ask(llm, f"before {number} " + "word " * 500)
    llm.prompts.keep(NAME, PROMPT)
    for kind, value in FACTS.items():
        Remembered(kind).put("key", value)
    return written().read_bytes()


def go_on(kernel: Callable[[], ScriptedLLM], warnings: Warnings) -> tuple[bool, list[str]]:
    """Ask, keep and remember as ever; return whether that is kept, and what a kernel says of it."""
    num_warned = len(warnings())
    llm = kernel()
    ask(llm, "after")
    assert llm.prompts.find(NAME) in (None, PROMPT)
    assert all(Remembered(kind).get("key") in (None, value) for kind, value in FACTS.items())
    llm.prompts.keep("6" * 64, PROMPT)
    Remembered("trial").put("other", "sound")
    is_kept = store().flush(60)
    said = warnings()[num_warned:]
    assert all("\n" not in line for line in said)
    if is_kept:
        after = kernel()
        assert after.chat("default").turns[-1].prompt == "after"
        assert after.prompts.find("6" * 64) == PROMPT
        assert Remembered("trial").get("other") == "sound"
        with closing(connect(store().path)) as connection:
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    return is_kept, said


@pytest.mark.soak
def test_a_damaged_file_stops_no_kernel(
    kernel: Callable[[], ScriptedLLM], warnings: Warnings
) -> None:
    path = store().path
    sound = sound_store(kernel())
    for seed in range(100):
        for file in path.parent.iterdir():
            file.unlink()
        data = damaged(sound, seed)
        path.write_bytes(data)
        with no_second_passes():
            is_kept, said = go_on(kernel, warnings)
        aside = [file.read_bytes() for file in path.parent.glob("*damaged*.sqlite3")]
        assert len(said) <= 1, seed
        assert aside in ([], [data])
        if not is_kept:  # it says that it is of a newer version, or that nobody may write it
            assert len(said) == 1
            assert path.read_bytes() == data


@pytest.mark.soak
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
