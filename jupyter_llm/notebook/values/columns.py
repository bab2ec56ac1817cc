"""The columns and rows of printed tables that bear the name of a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import Final

from jupyter_llm.notebook.values.secrets import is_told, looks_secret, may_name

Span = tuple[int, int, str]
"""Where something begins and ends in a text, and the name it goes by."""

_LABEL: Final = re.compile(r"[\w .\-/()',\"]{1,60}")
_TYPES: Final = re.compile(
    r"object|str|string|category|u?int\d*|float\d*|bool|datetime64.*|[iuf]\d{1,2}|dtype:?"
    r"|\d+ non-null|non-null|cat"
)
# What tells nothing of a secret wherever it stands: numbers of few digits, nothing, rules.
_NOTHING: Final = re.compile(
    r"[-+]?\d{0,5}(?:\.\d*)?%?|NaN|NaT|None|null|<NA>|True|False|true|false|[-=:═─╪┼╞╡|+… .]*"
)
_LEFT_OUT: Final = re.compile(r"\[… [\d,]+ characters left out …\]")  # see `clip`
_SERIES_NAME: Final = re.compile(r"(?m)^Name: (.{1,60}?), (?:Length: \d+, )?dtype: ")
_SERIES_ROW: Final = re.compile(r"\S.*?[ ]{2,}(\S.*)")
_FEW_WORDS: Final = re.compile(r"\S+(?: \S+){0,2}")
_RULE: Final = re.compile(r" *[-=]{2,}(?: +[-=]{2,})+ *")
_MAX_LINE: Final = 2000


def cells_of_secrets(text: str) -> Iterator[Span]:
    """Yield the cells of the tables in a text whose column or row has the name of a secret."""
    lines = list(_lines(text))
    for found in _SERIES_NAME.finditer(text):
        if looks_secret(found[1]):
            yield from _rows_above(lines, found)
    for number, (start, line) in enumerate(lines):
        if len(line) <= _MAX_LINE and may_name(line):
            yield from _of_row(start, line)
            for split in (_barred, _spaced, _worded, _comma, _semicolon, _tab):
                yield from _below(lines, number, split)
            if _RULE.fullmatch(rule := "".join(row for _, row in lines[number + 1 : number + 2])):
                starts = [found.start() for found in re.finditer(r"\S+", rule)]
                yield from _below(lines[number:], 0, partial(_cut, starts))


_Cell = tuple[int, int, str]  # where it begins and ends in its line, and what it says
_Split = Callable[[str], list[_Cell]]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _cells(line: str, places: list[int]) -> list[_Cell]:
    """The cells of a line, without blanks around them, by where each begins and ends."""
    cells = []
    for start, end in zip(places[::2], places[1::2], strict=True):
        told = line[start:end].strip()
        begin = line.index(told, start)
        cells.append((begin, begin + len(told), told))
    return cells


def _separated(separator: re.Pattern[str], line: str) -> list[_Cell]:
    places = [place for found in separator.finditer(line) for place in found.span()]
    return _cells(line, [0, *places, len(line)]) if places else []


def _cut(starts: list[int], line: str) -> list[_Cell]:
    line = line.ljust(starts[-1])
    return _cells(line, sorted([*starts, *starts[1:], len(line)]))


def _found(pattern: re.Pattern[str], line: str) -> list[_Cell]:
    return [(*found.span(), found[0]) for found in pattern.finditer(line)]


_barred, _comma, _semicolon, _tab = (
    partial(_separated, re.compile(separator)) for separator in ("[|│┆¦║┃]", ",", ";", "\t")
)
_spaced = partial(_found, re.compile(r"\S+(?: \S+)*"))
_worded = partial(_found, re.compile(r"\S+"))


def _below(lines: list[tuple[int, str]], number: int, split: _Split) -> Iterator[Span]:
    """Yield the cells below those of a line that are headers with the name of a secret."""
    line = lines[number][1]
    headers = split(line)
    secret = [(place, *cell) for place, cell in enumerate(headers) if _is_header(cell[2])]
    if not secret or any(_TYPES.fullmatch(cell[2]) for cell in headers):
        return
    is_spaced = split is _spaced
    labels = _FEW_WORDS if is_spaced else _LABEL
    if not all(labels.fullmatch(cell[2]) for cell in headers if cell[2]):
        return
    if not line[:1].isspace() if is_spaced else _is_row(lines, number, split):
        return
    for start, row in takewhile(lambda row: bool(row[1].strip()), lines[number + 1 :]):
        if _LEFT_OUT.fullmatch(row):
            continue
        cells = split(row)
        if not is_spaced and len(cells) != len(headers):
            if _NOTHING.fullmatch(row.strip()):
                continue
            return
        # Words with single blanks are a table where all of them end below each other.
        if split is _worded and any(map(_differ, cells, headers)):
            return
        has_index = len(cells) > len(headers)
        for place, begin, end, name in secret:
            under = cells[place : place + 1]
            if is_spaced:
                own = cells[has_index:] if has_index or len(headers) > 1 else []
                under = [cell for cell in own if cell[0] < end and cell[1] > begin]
            yield from ((start + a, start + b, name) for a, b, c in under if _is_data(c, name))


def _is_row(lines: list[tuple[int, str]], number: int, split: _Split) -> bool:
    """Whether a line stands below another of its table, and so is no header."""
    above = [line for _, line in lines[max(0, number - 2) : number]]
    if above and above[-1].strip() and not re.search(r"\w", above[-1]):
        above.pop()  # a rule between them
    cells, others = split(lines[number][1]), split(above[-1]) if above else []
    if len(cells) != len(others):
        return False
    if split is _worded:
        return not any(map(_differ, others, cells))
    return split is not _comma or ", " not in above[-1]  # as in a sentence


def _differ(cell: _Cell, header: _Cell) -> bool:
    return cell[1] != header[1]


def _of_row(start: int, line: str) -> Iterator[Span]:
    """Yield what stands beside the name of a secret in a row of two: `password    …`."""
    cells = _barred(line.strip("|│┆¦║┃")) or _spaced(line)
    if len(cells) != 2 or line[:1].isspace():  # noqa: PLR2004
        return
    (_, _, name), (_, _, told) = cells
    if _is_header(name) and _is_data(told, name):
        begin = start + line.rindex(told)
        yield begin, begin + len(told), name


def _rows_above(lines: list[tuple[int, str]], found: re.Match[str]) -> Iterator[Span]:
    """Yield the values of a pandas Series, above the line that says its name."""
    above = [(start, line) for start, line in lines if start < found.start()]
    for start, line in takewhile(lambda row: bool(row[1].strip()), reversed(above)):
        row = _SERIES_ROW.match(line.rstrip(" "))
        if row is not None and _is_data(row[1], found[1]):
            yield start + row.start(1), start + row.end(1), found[1]


def _is_header(text: str) -> bool:
    return bool(_LABEL.fullmatch(text)) and looks_secret(text)


def _is_data(text: str, name: str = "") -> bool:
    return not (_NOTHING.fullmatch(text) or _TYPES.fullmatch(text) or is_told(name, text))
