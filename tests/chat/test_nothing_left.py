"""What is not to be kept is in no file that we write: not as text, and not as tokens."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.engines import wait_until_idle
from support.scripted import ScriptedEngine
from support.shell import run
from support.stored import rows
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.ask.prompt_store import SCHEMA
from jupyter_llm.common.database import store
from jupyter_llm.engine.local import lane
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.models.fingerprint import file_sha256

WORDS = "the rosebud of the garden "
LONG = WORDS * 20  # so many tokens that they are kept on the disk


@pytest.fixture(autouse=True)
def notebook(
    shell: InteractiveShell, home: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.archive.open(home / "a.ipynb")
    file_sha256(tiny_gguf)  # without which nothing that was read is kept
    monkeypatch.setattr(lane, "FLUSH_S", 60.0)


def left(home: Path) -> set[str]:
    """Say in what form the words stand in our files, the model's reading included."""
    engine = llm.engine()
    assert isinstance(engine, LocalEngine)
    (tokens,) = engine.tokenize_texts([WORDS])
    wait_until_idle(engine)  # what is being read is not kept
    until(lambda: all(lane.store is not None for lane in engine._model.lanes.all))
    llm.unload()  # which writes what was read
    store().flush(10)
    look = "SELECT prompt FROM prompts"
    kept: list[tuple[bytes]] = store().read(
        SCHEMA, lambda connection: connection.execute(look).fetchall(), []
    )
    prompts = [zlib.decompress(data.lstrip(b" ")) for (data,) in kept]
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    packed = struct.pack(f"<{len(tokens) - 4}i", *tokens[2:-2])
    found = {"text": WORDS.strip().encode(), "tokens": packed}
    return {name for name, data in found.items() if any(data in one for one in (*files, *prompts))}


def ask(
    shell: InteractiveShell, options: str, prompt: str = LONG, cell_id: str | None = None
) -> None:
    run(shell, f"%%llm -n 4 {options}\n{prompt}", cell_id=cell_id)


@pytest.mark.parametrize("seed", ["", "--seed 1"])
def test_what_is_kept_is_found(shell: InteractiveShell, home: Path, seed: str) -> None:
    ask(shell, seed)
    assert left(home) == {"text", "tokens"}


@pytest.mark.parametrize("seed", ["", "--seed 1"])
def test_no_save_leaves_nothing_nor_do_the_prompts_after_it(
    shell: InteractiveShell, home: Path, seed: str
) -> None:
    ask(shell, "", "Hello " * 60)
    ask(shell, f"--no-save {seed}")
    ask(shell, seed, "And now?")
    ask(shell, "--chat other", "Something else. " * 40)  # beside which the first one is parked
    ask(shell, "-t 0.5", "And then?")
    llm.verify()
    assert left(home) == set()


@pytest.mark.parametrize(("option", "kept"), [("", {"text", "tokens"}), ("--no-save", set())])
def test_nor_does_a_command(
    shell: InteractiveShell, home: Path, option: str, kept: set[str]
) -> None:
    run(shell, "%config LLMMagics.context = 'none'")  # so no cell is read ahead, which is no secret
    run(shell, f"x = '{LONG}'", store_history=True)
    run(shell, f"%llm -n 4 {option} /explain")
    assert left(home) == kept


@pytest.mark.parametrize("cell_id", [None, "cell"])
def test_nor_does_a_system_text(shell: InteractiveShell, home: Path, cell_id: str | None) -> None:
    ask(shell, f"--no-save -s '{WORDS.strip()}'", "Hello", cell_id)
    ask(shell, "--seed 2", "And now?")
    ask(shell, "--new", "And now? " * 50)
    assert left(home) == set()


def test_clearing_the_history_leaves_nothing(shell: InteractiveShell, home: Path) -> None:
    ask(shell, "--seed 1", LONG, "cell")
    ask(shell, "--seed 1", f"{LONG} again", "cell")
    ask(shell, "--new", f"{LONG} and again")
    ask(shell, "--chat other")
    assert left(home) == {"text", "tokens"}
    ask(shell, "--chat third")
    assert "Forgot" in run(shell, "%llm /history --clear").text
    assert left(home) == set()
    assert rows("SELECT count(*) FROM prompts") == [(0,)]
    ask(shell, "", "Hello")
    assert left(home) == set()


def test_resetting_a_chat_leaves_nothing_of_it(shell: InteractiveShell, home: Path) -> None:
    ask(shell, "--seed 1 --chat other", "Hello")
    ask(shell, "--seed 1", LONG, "cell")
    ask(shell, "--seed 1", f"{LONG} again", "cell")
    assert left(home) == {"text", "tokens"}
    ask(shell, "", f"{LONG} and again")
    run(shell, "%llm /reset")
    assert left(home) == set()
    assert rows("SELECT count(*) FROM prompts") == [(1,)]


def test_nor_of_a_prompt_that_its_cell_asks_no_more(shell: InteractiveShell, home: Path) -> None:
    run(shell, f"%llm -n 4 Hello\n%llm -n 4 --seed 1 {LONG}", cell_id="cell")
    run(shell, "%llm -n 4 Hello", cell_id="cell")
    assert "text" in left(home)
    run(shell, "%llm /reset")
    assert left(home) == set()


def test_nor_of_a_prompt_that_was_stopped_before_its_first_word(scripted: ScriptedEngine) -> None:
    scripted.may_write.clear()
    chat = llm.chat("default")
    stream = chat.stream(LONG)
    stream.cancel()
    assert stream.result().text == ""
    assert not chat.turns
    store().flush(10)
    assert rows("SELECT count(*) FROM prompts") == [(1,)]
    llm.chats.forget(chat)
    assert rows("SELECT count(*) FROM prompts") == [(0,)]


def test_removing_a_turn_leaves_no_prompt_that_told_it(shell: InteractiveShell, home: Path) -> None:
    ask(shell, "", "Hello", "first")
    ask(shell, "", "Hello again", "first")
    ask(shell, "", LONG, "second")
    ask(shell, "", "And now?", "third")
    ask(shell, "", "And then?", "third")
    assert "text" in left(home)
    llm.chat("default").remove(2)
    assert "text" not in left(home)
    assert rows("SELECT count(*) FROM prompts") == [(2,)]


def test_deleting_a_chat_leaves_nothing_of_it_nor_of_its_system_text(
    shell: InteractiveShell, home: Path
) -> None:
    ask(shell, f"--seed 1 --chat other -s '{LONG}'", "Hello")
    ask(shell, "--seed 1 --chat other", LONG)
    assert left(home) == {"text", "tokens"}
    llm.chats.rename("other", "another")
    llm.chats.delete("another")
    assert left(home) == set()


def test_the_prompts_of_other_notebooks_stay(shell: InteractiveShell, home: Path) -> None:
    ask(shell, "--seed 1", "Hello")
    llm.archive.open(home / "b.ipynb")
    ask(shell, "--chat other", "Hello again")
    run(shell, "%llm /history --clear")
    assert rows("SELECT count(*) FROM prompts") == [(1,)]
