"""What `/history` and `/search` are asked for, and what they answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.scripted import ScriptedEngine
from support.template_engine import ScriptedLLM

from jupyter_llm.chat.transcript import to_markdown
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.prompt.history import answer, search


class Notebook:
    """Two chats of a notebook, and what `/history` says in the first."""

    def __init__(self, folder: Path) -> None:
        self.llm = ScriptedLLM(ScriptedEngine())
        self.path = folder / "a.ipynb"
        for prompt in ("Who?", "Why?"):
            self.ask("default", prompt)
        self.ask("other", "What?")

    def ask(self, chat: str, prompt: str, after: int | None = None) -> None:
        self.llm.scripted.replies.append("Me.")
        self.llm.chat(chat).stream(prompt, after=after).result()

    def history(self, argument: str = "", *, is_known: bool = True) -> str:
        chat = self.llm.chat("default")
        return answer(argument, chat, self.llm.chats, self.path if is_known else None)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.chdir(tmp_path)
    return Notebook(tmp_path)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--clera", "Did you mean --clear?"),
        ("all", "--export, --clear"),
        ("--clear default", "takes no 'default'"),
        ("--export a.md --clear", "not both"),
        ("--export", "ends in .md"),
        ("--export a.ipynb", "ends in .md"),
        ("--export no folder/a.md", "cannot be written"),
        ("--export a\0.md", "cannot be written"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(
    notebook: Notebook, argument: str, says: str
) -> None:
    with pytest.raises(MagicUsageError) as caught:
        notebook.history(argument)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_turns_are_shown_and_it_is_said_when_they_end_with_the_kernel(
    notebook: Notebook,
) -> None:
    text = notebook.history("  ")
    assert "> Who?" in text
    assert "Me." in text
    assert "which notebook" not in text
    assert "end with the kernel" in notebook.history(is_known=False)
    notebook.llm.chat("default").reset()
    assert "no turns yet" in notebook.history()


@pytest.mark.parametrize("name", ["a b.md", '"a b.md"', " 'a b.md' ", "~/a b.md"])
def test_all_chats_are_exported_to_a_file_whose_name_may_have_blanks_and_quotes(
    notebook: Notebook, home: Path, name: str
) -> None:
    chats = notebook.llm.chats.saved()
    assert "3 turns of 2 chats" in notebook.history(f"--export {name}")
    path = (home if "~" in name else notebook.path.parent) / "a b.md"
    assert path.read_text(encoding="utf-8") == to_markdown(chats)
    with pytest.raises(MagicUsageError, match="is there already"):
        notebook.history(f"--export {name}")


def test_text_that_is_no_unicode_is_exported(notebook: Notebook) -> None:
    notebook.ask("default", "\ud800")
    notebook.history("--export a.md")
    assert "> Why?" in Path("a.md").read_text(encoding="utf-8")


def test_what_was_forgotten_is_counted_the_other_branches_too(notebook: Notebook) -> None:
    notebook.ask("default", "Who else?", after=0)
    notebook.ask("other", "What else?", after=0)
    said = "Forgot 2 turns of 2 chats and 2 other branches, here and on the disk."
    assert notebook.history("--clear") == said
    assert notebook.history("--clear") == "There were no chats."


def test_words_are_found_in_all_chats_and_shown_as_they_are_written(notebook: Notebook) -> None:
    notebook.llm.scripted.replies.append("The price of `x*y` is <b>high</b>.")
    notebook.llm.chat("other")("And of X?")
    said = search("the PRICE", notebook.llm.chats)
    assert re.fullmatch(
        r"- \*other\*, \*\*2\.\*\* \d{4}-.*: And of X\? \*\*The price\*\* of "
        r"\\`x\\\*y\\` is \\<b\\>high\\</b\\>\.",
        said,
    )
    assert len(search("me who", notebook.llm.chats).splitlines()) == 1
    assert "No turn of 2 chats" in search("nobody", notebook.llm.chats)
    with pytest.raises(MagicUsageError, match="needs words"):
        search("", notebook.llm.chats)
