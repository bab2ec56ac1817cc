"""The extension's shortcuts take nothing away that JupyterLab or Notebook 7 has keys for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.paths import FRONT_END

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMAS = Path(sys.prefix, "share", "jupyter", "lab", "schemas")


def shortcuts(paths: Iterable[Path]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys of each shortcut and its command; the keys of all systems count."""
    for path in paths:
        for shortcut in json.loads(path.read_text("utf-8")).get("jupyter.lab.shortcuts", []):
            for name in ("keys", "winKeys", "linuxKeys", "macKeys"):
                keys = tuple(key.casefold() for key in shortcut.get(name, []) if key)
                if keys:
                    yield keys, shortcut["command"]


def clash(keys: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether one of both is all of the other, or how it begins."""
    return all(key == other for key, other in zip(keys, others, strict=False))


def ours() -> list[tuple[tuple[str, ...], str]]:
    return list(shortcuts(sorted(FRONT_END.glob("schema/*.json"))))


def test_none_is_one_of_jupyterlab_or_notebook() -> None:
    paths = list(SCHEMAS.glob("@jupyter*/**/*.json"))
    if not paths:
        pytest.skip("JupyterLab is not installed")
    theirs = list(shortcuts(paths))
    assert len(theirs) > 100
    assert [
        (command, other)
        for keys, command in ours()
        for others, other in theirs
        if clash(keys, others)
    ] == []


def test_no_two_are_the_same() -> None:
    all_of_them = ours()
    assert len(all_of_them) > 8
    assert [
        (command, other)
        for at, (keys, command) in enumerate(all_of_them)
        for others, other in all_of_them[at + 1 :]
        if clash(keys, others)
    ] == []


def test_keys_that_begin_others_clash() -> None:
    assert clash(("accel k", "e"), ("accel k",))
    assert not clash(("accel k", "e"), ("accel k", "f"))
