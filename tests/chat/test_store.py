"""Chats of a notebook that are there after a restart."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect
from threading import Timer

import pytest
from hypothesis import HealthCheck, given, settings
from support.saved_turns import chat_of, turn, turns
from support.stored import Warnings, rows, stored_bytes, written

from jupyter_llm.chat import store as chat_store
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.context import Part, Turn
from jupyter_llm.chat.store import ChatState, SavedChat, StoredChats, TurnWords
from jupyter_llm.common.packing import packed, unpacked
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.path import PathChange

NOTEBOOK = Path("/notebooks/a.ipynb")
OTHER = Path("/notebooks/b.ipynb")
ONE, TWO, THREE = (
    turn(word, origin=(word, 1), number=number, parent=number - 1, finished_at=float(number))
    for number, word in enumerate(["one", "two", "three"], 1)
)


def start(path: Path = NOTEBOOK) -> Archive:
    """Open the notebook as a kernel does when it starts."""
    archive = Archive()
    archive.open(path)
    return archive


def keep(archive: Archive, *turns: Turn, chat: str = "default") -> Archive:
    for one in turns:
        archive.write(StoredChats.keep, chat, one)
    return archive


def found(path: Path = NOTEBOOK) -> dict[str, SavedChat]:
    """Return what the next kernel finds."""
    return start(path).waiting


def describe(archive: Archive, system: str | None, *, chat: str = "default") -> None:
    archive.write(StoredChats.describe, chat, ChatState(system))


# What is kept


def test_a_cell_ends_when_its_turn_is_on_the_disk_though_that_is_busy() -> None:
    keep(archive := start(), ONE)
    path = written()
    with closing(connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = Timer(1.0, other.rollback)
        timer.start()
        keep(archive, TWO)
        archive.flush()
        (found,) = other.execute("SELECT count(*) FROM turns").fetchone()
        timer.join()
    assert found == 2


def test_turns_are_there_after_a_restart_in_the_order_they_came() -> None:
    keep(keep(start(), ONE, TWO, THREE), TWO, chat="ünï codé \ud800")
    assert found() == {
        "default": chat_of(ONE, TWO, THREE),
        "ünï codé \ud800": chat_of(TWO, name="ünï codé \ud800"),
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=turns())
def test_any_turn_comes_back_as_it_was(one: Turn) -> None:
    archive = start()
    archive.clear()
    keep(archive, one)
    (restored,) = found()["default"].turns
    assert restored == one
    assert restored.finished_at == one.finished_at
    assert type(restored.completion.token_ids) is type(one.completion.token_ids)


def test_a_cell_that_was_told_is_none_of_the_next_kernels() -> None:
    keep(start(), turn(parts=(Part("In [2]: …\n", cell=CellEvent(number=3, source="")),)))
    (restored,) = found()["default"].turns
    assert restored.parts == (Part("In [2]: …\n", cell=CellEvent(number=-3, source="")),)


@pytest.mark.parametrize("text", ["\ud800", "\ud83d\ude00", "\u2028\x85\r\v", "\x00", 'é\n\t\\"'])
def test_text_that_others_would_change_comes_back_as_it_was(text: str) -> None:
    one = turn(text, text, parts=(Part(text),), origin=(text, 1))
    archive = keep(start(), one)
    describe(archive, text)
    assert found() == {"default": chat_of(one, system=text)}


def test_a_prompt_that_is_sent_again_takes_its_old_place() -> None:
    again = replace(ONE, prompt="again")
    keep(start(), ONE, TWO, again)
    assert found() == {"default": chat_of(again, TWO)}


def test_a_chat_without_a_name_or_a_notebook_leaves_no_trace() -> None:
    archive = keep(start(), ONE)
    archive.write(StoredChats.keep, None, turn("secret"))
    keep(Archive(), turn("secret"))  # of a notebook that nobody knows
    assert found() == {"default": chat_of(ONE)}
    assert b"secret" not in stored_bytes()


def test_what_a_chat_is_beside_its_turns_is_kept() -> None:
    archive = keep(start(), ONE, TWO)
    describe(archive, "Be brief.")
    state = ChatState("Be kind.", {"default": 1}, {0: 2})
    archive.write(StoredChats.describe, "default", state)
    (chat,) = found().values()
    assert chat.state == state
    describe(archive, None)
    assert found() == {"default": chat_of(ONE, TWO)}


# What is forgotten


@pytest.mark.parametrize("name", ["default", None])
def test_a_cleared_chat_is_gone_from_the_disk(name: str | None) -> None:
    archive = keep(start(), turn("confidential", origin=("secret", 1)), TWO)
    describe(archive, "hush")
    keep(archive, TWO, chat="other")
    keep(start(OTHER), THREE)
    archive.clear(name)
    assert found().keys() == ({"other"} if name else set())
    assert found(OTHER) == {"default": chat_of(THREE)}
    assert not [word for word in (b"confidential", b"hush") if word in stored_bytes()]
    keep(archive, ONE)
    assert found()["default"] == chat_of(ONE)


def test_a_removed_turn_is_gone_from_the_disk_and_so_is_an_empty_chat() -> None:
    first = turn("confidential", "the " + "very " * 5000 + "secret")
    archive = keep(start(), first)
    describe(archive, "Be brief.")
    archive.write(StoredChats.remove, "default", 1, 0, first.finished_at)
    assert found() == {"default": chat_of(system="Be brief.")}
    describe(archive, None)
    assert rows("SELECT count(*) FROM chats") == [(0,)]
    assert not [word for word in (b"confidential", b"secret", b"brief") if word in stored_bytes()]


# Renames and copies


def test_the_chats_follow_a_rename() -> None:
    archive = keep(start(), ONE)
    archive.follow(PathChange(NOTEBOOK, OTHER, is_rename=True))
    keep(archive, TWO)
    assert archive.path == OTHER
    assert found(OTHER) == {"default": chat_of(ONE, TWO)}
    assert found() == {}


def test_another_notebook_has_its_own_chats() -> None:
    archive = keep(start(), ONE)
    archive.follow(PathChange(NOTEBOOK, OTHER, is_rename=False))
    keep(archive, TWO)
    assert found(OTHER) == {"default": chat_of(TWO)}
    assert found() == {"default": chat_of(ONE)}


# Rows that are not as we wrote them


def changed(**fields: object) -> bytes:
    return packed({**unpacked(packed(TurnWords.of(turn(token_ids=(1, 2)))), dict), **fields})


USAGE = unpacked(packed(TurnWords.of(turn())), dict)["usage"]

DAMAGED: dict[str, bytes | str | None] = {
    "no JSON": b"{",
    "no UTF-8": b'{"prompt":"\xff"}',
    "no object": b"[]",
    "deep": b'{"prompt":' + b"[" * 100_000,
    "no bytes": "text",
    "prompt is a list": changed(prompt=["Hi"]),
    "unknown finish reason": changed(finish_reason="done"),
    "tokens are half": changed(tokens="AAAA"),
    "a token is negative": changed(tokens="/////w=="),
    "usage is negative": changed(usage={**USAGE, "prompt_tokens": -1}),
    "time is endless": changed(usage={**USAGE, "decode_s": 1e300}),
    "time is no number": changed(usage=0).replace(b'usage":0', b'usage":{"decode_s":NaN}'),
    "seed has a million digits": changed(seed=0).replace(b'seed":0', b'seed":' + b"9" * 10**6),
    "told half a cell": changed(told=[{"text": "", "cell": {"number": 1}}]),
}


DAMAGED_COLUMNS = (
    *("number = 'x'", "parent = x'00'", "finished_at = 'now'", "cell = x'ff'"),
    *("cell = 'text'", "prompt_of_cell = 'x'", "number = 0.5"),
)


@pytest.mark.parametrize(
    ("change", "values"),
    [*(("words = ?", [words]) for words in DAMAGED.values()), *((c, []) for c in DAMAGED_COLUMNS)],
    ids=[*DAMAGED, *DAMAGED_COLUMNS],
)
def test_a_damaged_turn_costs_only_itself_and_is_told(
    change: str, values: list[bytes | str], warnings: Warnings
) -> None:
    keep(start(), ONE, TWO)
    rows(f"UPDATE turns SET {change} WHERE number = 2", *values)  # noqa: S608  our own words
    keep(start(), THREE)
    assert found() == {"default": chat_of(ONE, THREE)}
    (message,) = warnings()
    assert message.startswith("1 of the turns")


@pytest.mark.parametrize("change", ["name = x'ff'", "state = '{'", "state = x'00'", "name = 7"])
def test_a_damaged_chat_costs_no_other(change: str, warnings: Warnings) -> None:
    keep(keep(start(), ONE), TWO, chat="other")
    rows(f"UPDATE chats SET {change} WHERE name = CAST('default' AS BLOB)")  # noqa: S608
    assert found() == {"other": chat_of(TWO, name="other")}
    assert len(warnings()) == 1


# Room


def test_the_oldest_turns_give_way_whatever_their_chat_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, warnings: Warnings, tmp_path: Path
) -> None:
    monkeypatch.setattr(chat_store, "MAX_BYTES", 300_000)
    notebook = tmp_path / "a.ipynb"
    keep(start(OTHER), turn("x" * 200_000))
    archive = start(notebook)
    for number in range(30):
        one = turn(str(number), "x" * 20_000, finished_at=float(number))
        keep(archive, one, chat="ab"[number % 2])
    chats = found(notebook)
    kept = sorted(int(one.prompt) for chat in chats.values() for one in chat.turns)
    assert kept == list(range(30 - len(kept), 30))
    assert 8 < len(kept) < 14
    assert sum(chat.num_dropped for chat in chats.values()) == 30 - len(kept)
    assert found(OTHER)["default"].num_dropped == 0
    (message,) = warnings()
    assert "oldest turns are gone" in message
