"""The notebook tasks of `useful_code.py`: read from `tests/data/useful_code`, and split by name.

Half of them are for looking at while working; the others are run only for the report.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

DATA = Path(__file__).parents[1] / "data" / "useful_code"
LIBRARIES = ("pandas", "polars", "numpy", "matplotlib", "python", "text", "lines", "coded")

Half = Literal["look", "report"]


class Named(Protocol):
    """Anything of the data: each has a name of its own."""

    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=Named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An instruction after some cells, and a check by execution of what is written then.

    `answer` is an author's, which the check accepts; `wrong` one that it refuses.
    """

    name: str
    cells: tuple[str, ...]
    ask: str
    answer: str
    wrong: str
    check: str
    library: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenCell:
    """A cell that fails after some others, an author's mended one, and a check of it."""

    name: str
    cells: tuple[str, ...]
    broken: str
    mended: str
    check: str
    needs_model: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function in a notebook, and what is wrong with it, if anything.

    `good` is how it should be. A review that has one of `bug_words`, or names `bug_line`, has named
    the bug. `calls` show what it does.
    """

    name: str
    cells: tuple[str, ...]
    source: str
    good: str
    bug: str
    bug_line: int
    bug_words: tuple[str, ...]
    calls: tuple[str, ...]

    @property
    def has_bug(self) -> bool:
        return bool(self.bug)


def half(name: str) -> Half:
    """The half that something is in, by its name."""
    return "report" if hashlib.sha256(name.encode()).digest()[0] & 1 else "look"


def in_part(items: Iterable[Item], part: Half | Literal["all"]) -> list[Item]:
    """Those of one half, or all of them."""
    return [item for item in items if part in ("all", half(item.name))]


def tasks(*libraries: str) -> list[Task]:
    """The tasks of some libraries, or of all."""
    return [
        Task(
            name=raw["name"],
            cells=_sources(raw["cells"]),
            ask=raw["ask"].strip(),
            answer=raw["answer"].strip(),
            wrong=raw["wrong"].strip(),
            check=raw["check"].strip(),
            library=library,
        )
        for library in libraries or LIBRARIES
        for raw in _read(library, "task")
    ]


def broken_cells() -> list[BrokenCell]:
    return [
        BrokenCell(
            name=raw["name"],
            cells=_sources(raw["cells"]),
            broken=raw["broken"].strip("\n"),
            mended=raw["mended"].strip("\n"),
            check=raw["check"].strip(),
            needs_model=raw["needs_model"],
        )
        for raw in _read("broken", "case")
    ]


def functions() -> list[Function]:
    return [
        Function(
            name=raw["name"],
            cells=_sources(raw["cells"]),
            source=raw["source"].strip(),
            good=raw["good"].strip(),
            bug=raw["bug"].strip(),
            bug_line=raw["bug_line"],
            bug_words=tuple(raw["bug_words"]),
            calls=tuple(raw["calls"]),
        )
        for raw in _read("functions", "function")
    ]


def _read(file: str, table: str) -> Iterator[dict[str, Any]]:
    path = DATA / f"{file}.toml"
    if path.exists():
        yield from tomllib.loads(path.read_text(encoding="utf-8")).get(table, [])


def _sources(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(cell.strip("\n") for cell in cells)
