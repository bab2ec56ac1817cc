"""Shift+Tab on `%llm` lines tells what the word at the cursor is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import running_kernel

from jupyter_llm.frontends.magics.commands import magic_commands
from jupyter_llm.frontends.magics.inspection import description

COMMANDS = magic_commands(lambda *_: None)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%llm --ch|at maths\nWhat is a ring?", "--chat NAME"),
        ("%%llm -t| 0", "-t, --temperature"),
        ("%%llm --format=co|de", "One of: "),
        ("x = 1\n%llm /fi|x", "/fix"),
        ("x = %llm -n| 5", "--max-tokens"),
    ],
)
def test_a_word_of_ours_is_told(cell: str, said: str) -> None:
    assert said in (description(cell.replace("|", ""), cell.index("|"), COMMANDS) or "")


@pytest.mark.parametrize(
    "cell",
    [
        "%%llm --chat maths\nWhat does --ch|at do?",
        "print(|x)",
        "%%bash\nls --for|mat",
        "%%llm What is this|?",
        "%%llm --no-such|",
        "%%llm /|",
    ],
)
def test_nothing_is_told_of_other_words(cell: str) -> None:
    assert description(cell.replace("|", ""), cell.index("|"), COMMANDS) is None


@pytest.mark.slow
def test_a_kernel_tells_of_our_words_and_of_its_own(tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        kernel.execute("%load_ext jupyter_llm")
        assert "--chat NAME" in kernel.inspect("%%llm --chat", 9)["data"]["text/plain"]
        assert "print" in kernel.inspect("print", 5)["data"]["text/plain"]
        kernel.execute("%unload_ext jupyter_llm")
        assert kernel.inspect("%%llm --chat", 9)["found"] is False
