"""What `/history` is asked for, and what it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from support.saved_turns import chat_of, turn

from jupyter_llm.chat.store import SavedChat
from jupyter_llm.chat.transcript import to_json, to_markdown
from jupyter_llm.errors import MagicUsageError, NotebookFileError
from jupyter_llm.frontends.prompt.history import (
    HistoryRequest,
    cleared,
    exported,
    kept_in_notebook,
    parse_history,
    restored_note,
    shown,
)

CHATS = {
    "default": chat_of(turn("Who?", "Me."), turn("Why?", "So.")),
    "other": chat_of(turn("What?", "That."), name="other"),
}


def test_without_more_the_turns_are_asked_for() -> None:
    assert parse_history("") == parse_history("  ") == HistoryRequest("show")


@pytest.mark.parametrize("name", ["a b.md", '"a b.md"', " 'a b.md' "])
def test_a_file_name_may_have_blanks_and_quotes(name: str) -> None:
    assert parse_history(f"--export {name}") == HistoryRequest("export", Path("a b.md"))


def test_the_home_folder_can_be_written_short(home: Path) -> None:
    assert parse_history("--export ~/a.json").path == home / "a.json"


def test_the_other_flags_stand_alone() -> None:
    assert parse_history("--into-notebook") == HistoryRequest("into notebook")
    assert parse_history("--clear") == HistoryRequest("clear")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--clera", "Did you mean --clear?"),
        ("all", "--export, --into-notebook, --clear"),
        ("--clear default", "nothing after it"),
        ("--into-notebook a.ipynb", "nothing after it"),
        ("--export", "ends in .md or .json"),
        ("--export a.ipynb", "ends in .md or .json"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(argument: str, says: str) -> None:
    with pytest.raises(MagicUsageError) as caught:
        parse_history(argument)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_turns_are_shown() -> None:
    text = shown(CHATS["default"], Path("/a.ipynb"))
    assert "> Who?" in text
    assert "Me." in text
    assert "which notebook" not in text
    assert "no turns yet" in shown(SavedChat(name="new"), Path("/a.ipynb"))


def test_it_is_said_when_chats_end_with_the_kernel() -> None:
    assert "end with the kernel" in shown(CHATS["default"], None)


def test_it_is_said_that_other_branches_are_forgotten_too() -> None:
    assert cleared(CHATS) == "Forgot 3 turns of 2 chats, here and on the disk."
    branched = {name: replace(chat, num_other_branches=1) for name, chat in CHATS.items()}
    assert "3 turns of 2 chats and 2 other branches, here" in cleared(branched)


def test_all_chats_are_exported(tmp_path: Path) -> None:
    markdown, data = tmp_path / "a.md", tmp_path / "a.JSON"
    assert "3 turns of 2 chats" in exported(markdown, CHATS)
    assert markdown.read_text(encoding="utf-8") == to_markdown(CHATS)
    exported(data, CHATS)
    assert json.loads(data.read_text(encoding="utf-8"))["chats"].keys() == CHATS.keys()


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "thesis.md"
    path.write_text("years of work", encoding="utf-8")
    with pytest.raises(MagicUsageError, match="is there already"):
        exported(path, CHATS)
    assert path.read_text(encoding="utf-8") == "years of work"


@pytest.mark.parametrize("name", ["no folder/a.md", "a\0.md"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(MagicUsageError, match="cannot be written"):
        exported(tmp_path / name, CHATS)


def test_text_that_is_no_unicode_can_be_exported(tmp_path: Path) -> None:
    exported(tmp_path / "a.md", {"default": chat_of(turn("\ud800", "Yes."))})
    assert "Yes." in (tmp_path / "a.md").read_text(encoding="utf-8")


def test_the_notebook_gets_the_chats_and_the_reader_is_warned(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    text = kept_in_notebook(path, CHATS)
    assert "3 turns of 2 chats" in text
    assert "Load it again before you save it" in text
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert metadata["jupyter_llm"] == json.loads(to_json(CHATS))


def test_without_a_notebook_there_is_another_way(tmp_path: Path) -> None:
    with pytest.raises(MagicUsageError, match="--export"):
        kept_in_notebook(None, CHATS)
    with pytest.raises(NotebookFileError):
        kept_in_notebook(tmp_path / "gone.ipynb", CHATS)


def test_what_was_forgotten_is_counted() -> None:
    assert "3 turns of 2 chats" in cleared(CHATS)
    assert cleared({}) == "There were no chats."


def test_a_chat_that_goes_on_says_since_when() -> None:
    note = restored_note(CHATS["default"])
    assert "2 turns" in note
    assert "2023-11-1" in note
    assert restored_note(SavedChat(name="new")) == ""
