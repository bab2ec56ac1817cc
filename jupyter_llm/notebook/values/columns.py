"""The cells of printed tables whose column bears the name of a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Final

from jupyter_llm.notebook.values.secrets import is_told, looks_secret, may_name

Span = tuple[int, int, str]
"""Where something begins and ends in a text, and the name it goes by."""

_LABEL: Final = re.compile(r"[\w .\-/()']{1,60}")
# Words and numbers may be anything: only what mixes letters and digits looks like a secret.
_MIXED: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z]).{4,}")
_RULE_OR_GAP: Final = re.compile(r"[-+|=:═─╪┼╞╡│┆… .]*|\[… [\d,]+ characters left out …\]")
_MAX_LINE: Final = 2000


def cells_of_secrets(text: str) -> Iterator[Span]:
    """Yield the cells of the tables in a text whose column has the name of a secret."""
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    for split in _SPLITS:
        secret: list[tuple[int, Span]] = []  # the headers of the table that goes on
        num_headers = 0
        for start, line in zip(starts, lines, strict=False):
            if secret and _RULE_OR_GAP.fullmatch(line) and line.strip():
                continue
            cells = split(line) if secret or (len(line) <= _MAX_LINE and may_name(line)) else []
            if secret and len(cells) - num_headers in (0, split not in _SEPARATED):
                for place, (begin, end, name) in secret:
                    below = [cell for cell in cells if cell[0] < end and cell[1] > begin]
                    for first, last, told in (
                        cells[place : place + 1] if split in _SEPARATED else below
                    ):
                        if _MIXED.fullmatch(told) and not is_told(name, told):
                            yield start + first, start + last, name
                continue
            is_header = all(_LABEL.fullmatch(told) for _, _, told in cells if told)
            secret = [one for one in enumerate(cells) if is_header and looks_secret(one[1][2])]
            num_headers = len(cells)


def _separated(separator: re.Pattern[str], line: str) -> list[Span]:
    """The cells of a line, without blanks around them."""
    places = [0, *(place for found in separator.finditer(line) for place in found.span())]
    cells = []
    for start, end in zip(places[::2], [*places[1::2], len(line)], strict=True):
        told = line[start:end].strip()
        begin = line.index(told, start)
        cells.append((begin, begin + len(told), told))
    return cells if len(cells) > 1 else []


def _words(word: re.Pattern[str], line: str) -> list[Span]:
    return [(*found.span(), found[0]) for found in word.finditer(line)]


_Split = Callable[[str], list[Span]]  # a line into cells: where each is, and what it says
_SEPARATED: Final = [partial(_separated, re.compile(one)) for one in ("[|│┆¦║┃]", ",", ";", "\t")]
_SPLITS: Final[list[_Split]] = [
    *_SEPARATED,
    *(partial(_words, re.compile(one)) for one in (r"\S+", r"\S+(?: \S+)*")),
]
