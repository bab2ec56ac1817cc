"""Shells complete `jupyter llm` on Tab: commands, options, models and their files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_llm.frontends.cli import main


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("jupyter-llm mod", {"models"}),
        ("jupyter-llm run --max", {"--max-tokens"}),
        ("jupyter-llm verify tin", {"tiny"}),
        ("jupyter-llm completion z", {"zsh"}),
    ],
)
def test_what_may_come_next_is_offered(
    line: str, offered: set[str], tiny_gguf: Path, tmp_path: Path
) -> None:
    answer = tmp_path / "answer"
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": "1"}
    asked |= {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    subprocess.run(
        [sys.executable, "-m", "jupyter_llm"],
        cwd=tmp_path,
        env={**os.environ, **asked, "JUPYTER_LLM_PATH": str(tiny_gguf.parent)},
        timeout=60,
        check=True,
    )
    assert {word.strip() for word in answer.read_text().split("\n")} == offered


def test_a_shell_is_told_how_to_complete_jupyter_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("complete " in line and line.endswith(" jupyter jupyter-llm") for line in lines)
