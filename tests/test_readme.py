"""The README's Python runs as it stands, and what it leads to is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.engine.project import SETTINGS
from jupyter_llm.frontends.magics.magics import magic_commands
from jupyter_llm.frontends.topics import topic, topics

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[0])
def test_python_blocks_run(block: str, tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1)
    exec(block, {})  # noqa: S102  our own README


def test_the_settings_shown_exist() -> None:
    for block in blocks("toml"):
        for name in tomllib.loads(block)["tool"]["jupyter_llm"]:
            assert name in SETTINGS


def test_every_command_is_told_in_the_readme_or_in_a_topic() -> None:
    names = magic_commands(lambda _chat, _context: None)
    told = README + "".join(map(topic, topics()))
    assert [name for name in names if f"/{name}" not in told] == []


def test_every_topic_is_linked() -> None:
    assert sorted(re.findall(r"\(jupyter_llm/help/(\w+)\.md\)", README)) == topics()


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("README.md", 150),
        ("CONTRIBUTING.md", 200),
        ("CHANGELOG.md", 90),
        ("tests/benchmarks/RESULTS.md", 160),
    ],
)
def test_it_can_be_read_in_one_go(name: str, most: int) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= most


def test_every_notebook_is_linked() -> None:
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} == set(
        re.findall(r"\(notebooks/(\w+\.ipynb)\)", README)
    )


def test_what_is_linked_is_there() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_the_tests_that_hold_its_words_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (table,) = re.findall(
        r"^## What holds the README's words\n(.*?)^## ", text, re.MULTILINE | re.DOTALL
    )
    named = re.findall(r"`([\w/]+\.py)`", table)
    assert named
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == topics()


def test_the_files_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/.-]+\.(?:py|toml|ts|js|mjs))`", text))
    folders = (ROOT, ROOT / "jupyter_llm", ROOT / "labextension", ROOT / "tests")
    there = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for folder in folders
        for path in (folder.iterdir() if folder == ROOT else folder.rglob("*"))
        if "node_modules" not in path.parts
    ]
    assert named
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []
