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

_Cell = tuple[int, int, str]  # where it begins and ends in its line, and what it says
_Split = Callable[[str], list[_Cell]]

_LABEL: Final = re.compile(r"[\w .\-/()',\"]{1,60}")
_FEW_WORDS: Final = re.compile(r"\S+(?: \S+){0,2}")
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
_RULE: Final = re.compile(r" *[-=]{2,}(?: +[-=]{2,})+ *")
_MAX_LINE: Final = 2000


def cells_of_secrets(text: str) -> Iterator[Span]:
    """Yield the cells of the tables in a text whose column or row has the name of a secret."""
    lines, start = [], 0
    for line in text.split("\n"):
        lines.append((start, line))
        start += len(line) + 1
    for found in _SERIES_NAME.finditer(text):
        if looks_secret(found[1]):
            yield from _rows_above(lines, found)
    for number, (start, line) in enumerate(lines):
        if len(line) <= _MAX_LINE and may_name(line):
            yield from _of_row(start, line)
            for split in (*_SEPARATED, _words, _wide):
                yield from _below(lines, number, split)


def _found(pattern: str) -> _Split:
    compiled = re.compile(pattern)
    return lambda line: [(*found.span(), found[0]) for found in compiled.finditer(line)]


def _separated(separator: re.Pattern[str], line: str) -> list[_Cell]:
    """The cells of a line, without blanks around them."""
    places = [0, *(place for found in separator.finditer(line) for place in found.span())]
    cells = []
    for start, end in zip(places[::2], [*places[1::2], len(line)], strict=True):
        told = line[start:end].strip()
        begin = line.index(told, start)
        cells.append((begin, begin + len(told), told))
    return cells if len(cells) > 1 else []


_SEPARATED: Final = [partial(_separated, re.compile(one)) for one in ("[|│┆¦║┃]", ",", ";", "\t")]
_words, _wide = _found(r"\S+"), _found(r"\S+(?: \S+)*")


def _below(lines: list[tuple[int, str]], number: int, split: _Split) -> Iterator[Span]:
    """Yield the cells below those of a line that are headers with the name of a secret."""
    line = lines[number][1]
    headers = split(line)
    secret = [(place, *cell) for place, cell in enumerate(headers) if _is_header(cell[2])]
    if not secret or any(_TYPES.fullmatch(cell[2]) for cell in headers):
        return
    is_wide = split is _wide
    label = _FEW_WORDS if is_wide else _LABEL
    if not all(label.fullmatch(cell[2]) for cell in headers if cell[2]):
        return
    is_ruled = any(_RULE.fullmatch(row) for _, row in lines[number + 1 : number + 2])
    if not (is_ruled or line[:1].isspace()) if is_wide else _is_row(lines, number, split):
        return
    for start, row in takewhile(lambda row: bool(row[1].strip()), lines[number + 1 :]):
        cells = split(row)
        if _LEFT_OUT.fullmatch(row) or (not is_wide and _NOTHING.fullmatch(row.strip())):
            continue
        if not is_wide and not _fit(cells, headers, split):
            return
        own = cells[len(cells) > len(headers) and not is_ruled :]
        if is_wide and len(headers) == 1 and own == cells:
            own = []
        for place, begin, end, name in secret:
            under = [cell for cell in own if cell[0] < end and cell[1] > begin]
            for a, b, told in under if is_wide else cells[place : place + 1]:
                if _is_data(told, name):
                    yield start + a, start + b, name


def _is_row(lines: list[tuple[int, str]], number: int, split: _Split) -> bool:
    """Whether a line stands below another of its table, and so is no header."""
    above = [line for _, line in lines[max(0, number - 2) : number]]
    if above and above[-1].strip() and not re.search(r"\w", above[-1]):
        above.pop()  # a rule between them
    if not above or (split is _SEPARATED[1] and ", " in above[-1]):  # as in a sentence
        return False
    return _fit(split(lines[number][1]), split(above[-1]), split)


def _fit(cells: list[_Cell], headers: list[_Cell], split: _Split) -> bool:
    """Whether cells lie below headers: as many, and words with single blanks end as they do."""
    ends = zip(cells, headers, strict=False) if split is _words else ()
    return len(cells) == len(headers) and all(one[1] == other[1] for one, other in ends)


def _of_row(start: int, line: str) -> Iterator[Span]:
    """Yield what stands beside the name of a secret in a row of two: `password    …`."""
    cells = _SEPARATED[0](line.strip("|│┆¦║┃")) or _wide(line)
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
