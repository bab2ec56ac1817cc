"""Chats of a notebook that are there after a restart."""

from __future__ import annotations

import itertools
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import TESTS
from support.saved_turns import chat_of, entries, turn

from jupyter_llm.chat.history import History, _Rewrite, history_file
from jupyter_llm.chat.saved import (
    Entry,
    SavedTurn,
    TurnRemoved,
    fold,
)
from jupyter_llm.common.file_lock import file_lock
from jupyter_llm.engine.request import Message

NOTEBOOK = Path("/a.ipynb")
ONE, TWO, THREE = (turn(word, origin=(word, 1)) for word in ("one", "two", "three"))


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return tmp_path / "a.ipynb"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def start(notebook: Path, folder: Path) -> Iterator[Callable[..., History]]:
    """Open the history as a kernel does when it starts."""
    opened: list[History] = []

    def open_history(path: Path = notebook, **options: int) -> History:
        history = History(path, folder=folder, **options)
        opened.append(history)
        return history

    yield open_history
    for history in opened:
        history.close()


Start = Callable[..., History]


def keep(history: History, *turns: SavedTurn) -> None:
    for one in turns:
        history.record(one)
    assert history.flush(30)


def file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"lock"}


# What is kept


def test_turns_are_there_after_a_restart(start: Start) -> None:
    other = replace(TWO, chat="other")
    keep(start(), ONE, TWO, other)
    assert start().load() == {
        "default": chat_of(ONE, TWO),
        "other": chat_of(other, name="other"),
    }


def test_a_notebook_without_chats_has_no_file(start: Start, folder: Path) -> None:
    assert start().load() == {}
    assert not folder.exists()


def test_what_was_sent_comes_back_token_for_token(start: Start) -> None:
    sent = Message("user", "In [1]: x = 7\n\nWho?", (5, 6, 7))
    keep(start(), turn("Who?", "Me.", sent=sent, token_ids=(8, 9), told={"cells": [1]}))
    (restored,) = start().load()["default"].turns
    assert restored.told == {"cells": [1]}
    assert restored.messages == (sent, Message("assistant", "Me.", (8, 9)))
    assert [message.token_ids for message in restored.messages] == [(5, 6, 7), (8, 9)]


def test_a_prompt_that_is_sent_again_takes_its_old_place(start: Start) -> None:
    again = replace(ONE, prompt="again")
    keep(start(), ONE, TWO, again)
    assert start().load() == {"default": chat_of(again, TWO)}


def test_a_forgotten_turn_does_not_come_back(start: Start) -> None:
    history = start()
    keep(history, ONE, TWO)
    history.forget("default", ("one", 1))
    assert history.load() == start().load() == {"default": chat_of(TWO)}


def test_a_turn_that_is_not_to_be_kept_leaves_no_trace(start: Start, notebook: Path) -> None:
    history = start()
    keep(history, ONE)
    history.record(turn("secret", origin=("two", 1)), is_kept=False)
    history.record(turn("secret"), is_kept=False)
    assert history.load() == {"default": chat_of(ONE)}
    assert b"secret" not in history.file.read_bytes()


def test_a_turn_that_is_not_kept_takes_the_one_it_replaces_along(start: Start) -> None:
    history = start()
    keep(history, ONE, TWO)
    history.record(replace(ONE, prompt="secret"), is_kept=False)
    assert history.load() == {"default": chat_of(TWO)}


def test_system_text_and_state_are_kept(start: Start) -> None:
    history = start()
    keep(history, ONE, TWO)
    history.describe("default", system="Be brief.", state={"cut": [1, []]})
    history.flush()
    chat = chat_of(ONE, TWO, system="Be brief.", state={"cut": [1, []]})
    assert start().load() == {"default": chat}


def test_what_did_not_change_is_not_written_again(start: Start) -> None:
    history = start()
    keep(history, ONE)
    history.describe("default", system="Be brief.")
    history.flush()
    size = history.file.stat().st_size
    for one in (history, start()):
        assert one.load()["default"].system == "Be brief."
        one.describe("default", system="Be brief.")
        one.flush()
        assert one.file.stat().st_size == size


def test_a_system_text_is_written_again_after_clearing(start: Start) -> None:
    history = start()
    history.describe("default", system="Be brief.")
    history.clear("default")
    history.describe("default", system="Be brief.")
    assert history.load() == {"default": chat_of(system="Be brief.")}


# Clearing


def test_a_cleared_chat_is_gone_from_the_disk(start: Start, folder: Path) -> None:
    history = start()
    keep(history, turn("confidential"), replace(TWO, chat="other"))
    history.clear("default")
    assert history.flush(30)
    assert start().load().keys() == {"other"}
    assert all(b"confidential" not in path.read_bytes() for path in folder.iterdir())


def test_a_removed_turn_is_gone_from_the_disk(start: Start) -> None:
    first = turn("confidential", number=1, parent=0, finished_at=1.0)
    second = turn("next", number=2, parent=1, finished_at=2.0)
    history = start()
    keep(history, first, second)
    history.remove(TurnRemoved("default", 1, 0, 1.0))
    assert history.flush(30)
    assert b"confidential" not in history.file.read_bytes()
    assert start().load() == {"default": chat_of(replace(second, parent=0))}


def test_nothing_is_left_when_all_is_cleared(start: Start, folder: Path) -> None:
    history = start()
    keep(history, ONE, replace(TWO, chat="other"))
    history.clear()
    assert history.flush(30)
    assert file_names(folder) == set()
    keep(history, THREE)
    assert start().load() == {"default": chat_of(THREE)}


def test_clearing_one_notebook_leaves_the_others(start: Start, notebook: Path) -> None:
    other = start(notebook.with_name("b.ipynb"))
    keep(other, ONE)
    history = start()
    keep(history, TWO)
    history.clear()
    history.flush()
    assert other.load() == {"default": chat_of(ONE)}


# Renames and copies


def test_the_history_follows_a_rename(start: Start, notebook: Path, folder: Path) -> None:
    history = start()
    keep(history, ONE)
    new = notebook.with_name("b.ipynb")
    history.moved(new)
    keep(history, TWO)
    assert history.path == new
    assert start(new).load() == history.load() == {"default": chat_of(ONE, TWO)}
    assert start(notebook).load() == {}
    assert file_names(folder) == {history_file(new, folder).name}


def test_what_was_recorded_before_a_rename_moves_along(start: Start, notebook: Path) -> None:
    history = start()
    with history._changed:  # the writer waits for it
        history.record(ONE)
        history.moved(notebook.with_name("b.ipynb"))
        history.record(TWO)
    assert history.load() == {"default": chat_of(ONE, TWO)}
    assert start().load() == {}


def test_a_rename_without_chats_makes_no_file(start: Start, notebook: Path, folder: Path) -> None:
    history = start()
    history.moved(notebook.with_name("b.ipynb"))
    assert history.flush(30)
    assert file_names(folder) == set()


def test_a_rename_onto_another_notebook_replaces_its_history(start: Start, notebook: Path) -> None:
    other = notebook.with_name("b.ipynb")
    keep(start(other), ONE)
    history = start()
    keep(history, TWO)
    history.moved(other)
    assert history.load() == {"default": chat_of(TWO)}


def test_a_copy_of_a_notebook_does_not_take_the_chats_along(start: Start, notebook: Path) -> None:
    keep(start(), ONE)
    assert start(notebook.with_name("a-Copy1.ipynb")).load() == {}


def test_another_way_to_write_the_path_finds_the_same_history(start: Start, notebook: Path) -> None:
    keep(start(), ONE)
    assert start(notebook.parent / "sub" / ".." / notebook.name).load().keys() == {"default"}


# Files that are not as we wrote them


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, logger="jupyter_llm.chat.history")
    return lambda: [record.getMessage() for record in caplog.records]


Warnings = Callable[[], list[str]]


@pytest.mark.parametrize(
    "line", [b"{", b"\xff\xfe", b"[" * 5000, b'{"op":"run"}', b"x" * 5_000_000, b"null"]
)
def test_a_damaged_line_costs_only_itself_and_is_told_once(
    start: Start, warnings: Warnings, line: bytes
) -> None:
    history = start(max_bytes=4 << 20)
    keep(history, ONE)
    with history.file.open("ab") as file:
        file.write(line + b"\n")
    keep(history, TWO)
    for _ in range(2):
        assert history.load() == {"default": chat_of(ONE, TWO)}
    (message,) = warnings()
    assert "1 of its lines could not be read" in message


@settings(max_examples=60)
@given(cut=st.integers(0, 2000), length=st.integers(0, 200), noise=st.binary(max_size=50))
def test_damage_costs_only_the_lines_it_is_in(cut: int, length: int, noise: bytes) -> None:
    turns = [turn(str(number), "x" * 30) for number in range(5)]
    with TemporaryDirectory() as name, closing(History(NOTEBOOK, folder=Path(name))) as history:
        keep(history, *turns)
        data = history.file.read_bytes()
        header_size = len(data.splitlines()[0])
        cut += header_size  # with another header it would be another file
        history.file.write_bytes(data[:cut] + noise + data[cut + length :])
        ends = [*itertools.accumulate(len(line) for line in data.splitlines(keepends=True))]
        whole = [
            one
            for one, begin, end in zip(turns, ends, ends[1:], strict=False)
            if end <= cut or begin > cut + length
        ]
        history.record(turn("after"))
        found = history.load()["default"].turns
        assert [one for one in found if one in whole] == whole
        assert found[-1].prompt == "after"


@settings(max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_file_can_be_loaded_and_recorded_to(data: bytes) -> None:
    with TemporaryDirectory() as name, closing(History(NOTEBOOK, folder=Path(name))) as history:
        history.file.write_bytes(data)
        assert history.load() == {}
        keep(history, ONE)
        assert history.load() == {"default": chat_of(ONE)}


def test_the_file_of_another_notebook_is_not_taken_for_ours(
    start: Start, notebook: Path, folder: Path
) -> None:
    keep(start(), ONE)
    other = notebook.with_name("b.ipynb")
    history_file(notebook, folder).rename(history_file(other, folder))
    history = start(other)
    assert history.load() == {}
    keep(history, TWO)
    assert history.load() == {"default": chat_of(TWO)}


def test_the_file_of_a_newer_version_is_left_alone(
    start: Start, folder: Path, notebook: Path, warnings: Warnings
) -> None:
    folder.mkdir()
    path = history_file(notebook, folder)
    header = {"jupyter_llm": "history", "version": 2, "path": str(notebook)}
    path.write_text(json.dumps(header) + "\nnew things\n", encoding="utf-8")
    before = path.read_bytes()
    history = start()
    assert history.load() == {}
    history.record(ONE)
    assert not history.flush(30)
    history.clear()
    assert not history.flush(30)
    assert path.read_bytes() == before
    assert len(warnings()) == 1
    assert "another version" in warnings()[0]


def test_a_turn_that_is_larger_than_a_file_may_be_is_told_and_not_kept(
    start: Start, warnings: Warnings
) -> None:
    history = start(max_bytes=100_000)
    keep(history, ONE, turn("x" * 200_000))
    assert history.load() == {"default": chat_of(ONE)}
    (message,) = warnings()
    assert "0.2 MB" in message


# Room


def test_what_no_longer_counts_is_removed_from_the_disk_now_and_then(start: Start) -> None:
    history = start()
    text = "x" * 50_000
    for number in range(100):
        history.record(turn(f"run {number}", text, origin=("cell", 1)))
        if number % 5 == 0:
            history.flush(30)
    assert history.flush(30)
    assert history.file.stat().st_size < 2_000_000
    assert [one.prompt for one in history.load()["default"].turns] == ["run 99"]


def test_a_history_that_still_counts_is_not_written_anew_again_and_again(start: Start) -> None:
    keep(start(), *(turn(str(number), "x" * 50_000) for number in range(30)))
    history = start()
    assert len(history.load()["default"].turns) == 30
    inode = history.file.stat().st_ino
    keep(history, ONE, TWO)
    assert history.file.stat().st_ino == inode


def test_the_oldest_turns_give_way_and_it_is_said(start: Start, warnings: Warnings) -> None:
    history = start(max_bytes=100_000)
    for number in range(30):
        keep(history, turn(str(number), "x" * 10_000, finished_at=float(number)))
    assert history.file.stat().st_size <= 110_000
    chat = start(max_bytes=100_000).load()["default"]
    prompts = [int(one.prompt) for one in chat.turns]
    assert prompts == list(range(chat.num_dropped, 30))
    assert chat.num_dropped > 15
    (message,) = warnings()
    assert "oldest turns are gone" in message


@settings(max_examples=30)
@given(log=st.lists(entries(), max_size=15), places=st.sets(st.integers(0, 15), max_size=3))
def test_writing_anew_changes_nothing_that_counts(log: list[Entry], places: set[int]) -> None:
    with TemporaryDirectory() as name, closing(History(NOTEBOOK, folder=Path(name))) as history:
        for number, entry in enumerate(log):
            history._append(entry)
            if number in places:
                history._put(_Rewrite())
        assert history.load() == fold(log)


# A disk that does not do as asked


def test_a_folder_that_cannot_be_made_is_told_once_and_nothing_fails(
    start: Start, folder: Path, warnings: Warnings
) -> None:
    folder.write_text("a file", encoding="utf-8")
    history = start()
    for one in (ONE, TWO, THREE):
        history.record(one)
        assert not history.flush(30)
    assert history.load() == {}
    history.clear("other")
    history.moved(Path("/b.ipynb"))
    (message,) = warnings()
    assert "will be gone after a restart" in message


def test_what_could_not_be_written_is_written_with_the_next_turn(
    start: Start, folder: Path
) -> None:
    folder.write_text("a file", encoding="utf-8")
    history = start()
    history.record(ONE)
    assert not history.flush(30)
    folder.unlink()
    history.record(TWO)
    assert history.load() == {"default": chat_of(ONE, TWO)}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_still_be_read(start: Start, folder: Path) -> None:
    keep(start(), ONE)
    folder.chmod(0o500)
    try:
        assert start().load() == {"default": chat_of(ONE)}
    finally:
        folder.chmod(0o700)


def test_waiting_turns_do_not_fill_the_memory(start: Start, folder: Path) -> None:
    folder.write_text("a file", encoding="utf-8")
    history = start(max_bytes=100_000)
    for number in range(50):
        history.record(turn(str(number), "x" * 10_000))
    history.flush(30)
    assert sum(map(len, history._pending)) <= 100_000  # type: ignore[arg-type]  # lines only
    folder.unlink()
    assert history.flush(30)
    assert history.load()["default"].turns[-1].prompt == "49"


FULL_DISK = """
import resource, sys
from pathlib import Path
from support.saved_turns import turn
from jupyter_llm.chat.history import History

history = History(Path("/a.ipynb"), folder=Path(sys.argv[1]))
history.record(turn("before"))
assert history.flush(30)
size = history.file.stat().st_size
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 400, limits[1]))
with history._changed:  # the writer takes them together
    history.record(turn("during"))
    history.record(turn("then"))
assert not history.flush(30)
assert history.file.stat().st_size == size, "what was written in part is taken back"
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
history.record(turn("after"))
assert history.flush(30)
print([one.prompt for one in history.load()["default"].turns])
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    tests = str(TESTS)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_full_disk_loses_no_turn_once_there_is_room_again(folder: Path) -> None:
    done = run_python(FULL_DISK, str(folder))
    assert done.stdout.strip() == "['before', 'during', 'then', 'after']"
    assert done.stderr.count("will be gone after a restart") == 1
    assert "could not be read" not in done.stderr


# Processes and threads


AT_EXIT = """
import sys
from pathlib import Path
from support.saved_turns import turn
from jupyter_llm.chat.history import History

history = History(Path("/a.ipynb"), folder=Path(sys.argv[1]))
for number in range(200):
    history.record(turn(str(number)))
"""


def test_what_was_recorded_last_is_written_when_the_process_ends(folder: Path) -> None:
    run_python(AT_EXIT, str(folder))
    history = History(Path("/a.ipynb"), folder=folder)
    assert [int(one.prompt) for one in history.load()["default"].turns] == list(range(200))
    history.close()


def record_many(notebook: Path, folder: Path, name: str, count: int) -> None:
    history = History(notebook, folder=folder)
    for number in range(count):
        text = "x" * (number % 40 * 1000)
        history.record(turn(f"{number}", text, chat=name))
        history.record(turn("again", "y" * 20_000, chat=name, origin=("cell", 1)))
    history.close()


def test_two_kernels_of_one_notebook_lose_none_of_their_turns(
    start: Start, notebook: Path, folder: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    kernels = [
        context.Process(target=record_many, args=(notebook, folder, name, 100))
        for name in ("one", "two")
    ]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join(60)
        assert kernel.exitcode == 0
    history = start()
    chats = history.load()
    for name in ("one", "two"):
        prompts = [one.prompt for one in chats[name].turns if one.origin is None]
        assert prompts == [str(number) for number in range(100)]
    # Both wrote 4 MB that do not count, and wrote the file anew meanwhile.
    assert history.file.stat().st_size < 6_500_000


def test_threads_lose_none_of_their_turns(start: Start) -> None:
    history = start()

    def record(name: str) -> None:
        for number in range(50):
            history.record(turn(str(number), chat=name))

    threads = [threading.Thread(target=record, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chats = history.load()
    assert [len(chats[name].turns) for name in "abcd"] == [50] * 4


def test_no_thread_is_left_when_all_is_written(start: Start) -> None:
    history = start()
    keep(history, ONE)
    writers = [one for one in threading.enumerate() if one.name == "jupyter-llm-history"]
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()


def test_a_forked_child_writes_nothing_and_does_not_hang(start: Start) -> None:
    history = start()
    keep(history, ONE)
    with history._changed:  # as if another thread of the parent held it
        child = os.fork()
        if not child:
            history.record(TWO)
            history.describe("default", system="Be brief.")
            history.clear()
            history.moved(Path("/b.ipynb"))
            is_right = history.flush(0) and history.load() == {"default": chat_of(ONE)}
            os._exit(0 if is_right else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert start().load() == {"default": chat_of(ONE)}


def test_recording_waits_for_no_lock(start: Start, folder: Path) -> None:
    history = start()
    keep(history, ONE)
    with file_lock(folder / "lock", timeout_s=0) as is_ours:
        assert is_ours
        began = perf_counter()
        history.record(TWO)
        assert perf_counter() - began < 0.5
        assert not history.flush(0.05)
    assert history.load() == {"default": chat_of(ONE, TWO)}


def test_recording_costs_less_than_a_millisecond(start: Start) -> None:
    history = start()
    sent = Message("user", "x" * 8000, tuple(range(2000)))
    one = turn("Who?", "y" * 2000, sent=sent, token_ids=tuple(range(500)), told={"cells": [1]})
    times, written = [], []
    for _ in range(50):
        began = perf_counter()
        history.record(one)
        times.append(perf_counter() - began)
        assert history.flush(30)
        written.append(perf_counter() - began)
    # The less disturbed ones.
    assert quantiles(times)[0] < 0.001
    assert quantiles(written)[0] < 0.005
