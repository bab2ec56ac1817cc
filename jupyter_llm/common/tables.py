"""Numbers and tables as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BORDER = re.compile(r"(?<!\\)\|")
_TABLE = re.compile(r"^\|.*\|\n\|(?: -+ \|)+(?:\n\|.*\|)*", re.MULTILINE)
_LEAST_WIDTH = 3  # dashes that make a line a table's in all renderers


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, is_aligned: bool = False
) -> str:
    """A Markdown table; what would break a cell's border is escaped.

    With `is_aligned` its columns stand below one another in a terminal too.
    """
    lines = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in header]]
    lines += [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [_LEAST_WIDTH] * len(header)
    if is_aligned:
        widths = [max(_LEAST_WIDTH, *map(len, column)) for column in zip(*lines, strict=True)]
        lines = [
            [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
        ]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aligned(text: str) -> str:
    """A text in whose Markdown tables the columns stand below one another."""

    def table(found: re.Match[str]) -> str:
        rows = [
            [cell.strip().replace("\\|", "|") for cell in _BORDER.split(line)[1:-1]]
            for line in found[0].splitlines()
        ]
        if len({len(row) for row in rows}) > 1:  # none of ours
            return found[0]
        return markdown_table(rows[0], rows[2:], is_aligned=True)

    return _TABLE.sub(table, text)


def human_size(num_bytes: int) -> str:
    """A size as people write it: `98.4 MB`, powers of ten as on disks."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A number of things in words: `1 turn`, `2 turns`; `plural` is one that is no `s` more."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def parameter_count(number: int) -> str:
    """A number of parameters as models are called by it: `494M`, `1.5B`."""
    return f"{number / 1e9:.1f}B" if number >= 999_500_000 else f"{number / 1e6:.3g}M"  # noqa: PLR2004
