"""The README's Python runs as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.frontends.prompt.commands import COMMANDS
from jupyter_llm.frontends.prompt.options import OPTIONS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[0])
def test_python_blocks_run(block: str, tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1)
    exec(block, {})  # noqa: S102  our own README


def test_the_settings_shown_exist() -> None:
    from jupyter_llm.frontends.magics.magics import LLMMagics

    for block in blocks("toml"):
        for name in tomllib.loads(block)["tool"]["jupyter_llm"]:
            assert name in LLMMagics.class_trait_names(config=True)


def test_every_option_and_command_is_told() -> None:
    for option in OPTIONS:
        assert option.names[-1] in README
    for name in COMMANDS:
        assert f"/{name}" in README
