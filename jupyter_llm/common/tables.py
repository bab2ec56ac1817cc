"""Formats numbers and tables for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BORDER = re.compile(r"(?<!\\)\|")
_TABLE = re.compile(r"^\|.*\|\n\|(?: -+ \|)+(?:\n\|.*\|)*", re.MULTILINE)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; characters that would break a cell are escaped."""
    lines = [
        [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        for row in (header, *rows)
    ]
    lines.insert(1, ["---"] * len(header))  # the fewest dashes that all renderers accept
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def aligned(text: str) -> str:
    """Align the columns of a text's Markdown tables."""

    def table(match: re.Match[str]) -> str:
        rows = [_BORDER.split(line)[1:-1] for line in match[0].splitlines()]
        if len({len(row) for row in rows}) > 1:  # not our table
            return match[0]
        columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
        for column in columns:
            width = max(map(len, column))
            column[:] = [cell.ljust(width, "-" if n == 1 else " ") for n, cell in enumerate(column)]
        return "\n".join(f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))

    return _TABLE.sub(table, text)


def human_size(num_bytes: int) -> str:
    """Return a size with its unit: `98.4 MB`, in powers of ten as on disks."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 turn`, `2 turns`; `plural` if that is not noun + s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def parameter_count(number: int) -> str:
    """Return a number of parameters as in models' names: `494M`, `1.5B`."""
    return f"{number / 1e9:.1f}B" if number >= 999_500_000 else f"{number / 1e6:.3g}M"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Return a duration in the fitting unit: `40 s`, `12 min`, `2.5 h`."""
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004


def percent(share: float) -> str:
    """Return a share in per cent, with one decimal if it is small: `43 %`, `2.1 %`, `<0.1 %`."""
    if 0 < share < 0.001:  # noqa: PLR2004
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"  # noqa: PLR2004
