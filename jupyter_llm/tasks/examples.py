"""Finds the examples in a request, and calls the drafted function with them.

Three forms are read: a doctest, a call with its value (`area(2) → 4`), and tables drawn with `|`
under the names of the parameters, then one under a line that mentions the output.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from numbers import Real
from typing import Any

from jupyter_llm.common.clipping import shorten
from jupyter_llm.notebook.values.redaction import scrub

_CALL = r"\b[A-Za-z_]\w*\((?:[^()\n]|\([^()\n]*\))*\)"
_DOCTEST = re.compile(rf"(?m)^\s*>>> ({_CALL})\n\s*(.+?)\s*$")
_VALUE = re.compile(rf"({_CALL})`?\s*(?:→|->|=>|==|returns|gives|is)\s*`?([^\n]+)")
_NAME = re.compile(r"\W*(\w+)(?:\s+(?:table|frame|dataframe))?\s*:?\W*\Z", re.IGNORECASE)
_SETTING = re.compile(r"\s*(\w+)\s*=\s*(\S.*?)\s*\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?")
_NULLS = ("", "null", "none", "nan", "n/a")
_MAX_TEXT = 60


@dataclass(frozen=True, slots=True)
class Grid:
    """A drawn table: labels, and rows of texts."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, lines: Sequence[str]) -> Grid | None:
        """Read the lines of a table; None if they are none."""
        cells = [
            tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
            for line in lines
            if "|" in line and re.search(r"\w", line)
        ]
        if len(lines) < 2 or not cells or len({*map(len, cells)}) > 1:  # noqa: PLR2004  and a head
            return None
        return cls(cells[0], tuple(cells[1:]))

    def frame(self, pandas: Any, *, reads_dates: bool) -> Any:
        """Return the table as a data frame, with numbers and, optionally, dates."""
        columns = [[_value(text) for text in column] for column in zip(*self.rows, strict=True)]
        data = dict(zip(self.labels, columns or [[] for _ in self.labels], strict=True))
        if reads_dates:
            for label, values in data.items():
                texts = [one for one in values if one is not None]
                if texts and all(type(one) is str and _DATE.fullmatch(one) for one in texts):
                    data[label] = pandas.to_datetime(pandas.Series(values))
        return pandas.DataFrame(data)


@dataclass(frozen=True, slots=True)
class Example:
    """A call of a function, and the value that the request gives for it."""

    call: str
    arguments: Mapping[str, Any]
    expected: Any
    is_in_place: bool = False

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.call.partition("(")[0]

    def failure(self, namespace: Mapping[str, Any]) -> str:
        """Call the function, and return what is wrong with its value; "" if nothing is.

        Runs the draft's code, so it is called in a sealed copy only.
        """
        if not isinstance(self.expected, Grid):
            return self._differs(lambda: eval(self.call, dict(namespace)))  # noqa: S307  in a copy
        import pandas as pd  # type: ignore[import-untyped]

        texts = []
        for reads_dates in (True, False):
            given = {
                name: value.frame(pd, reads_dates=reads_dates) if isinstance(value, Grid) else value
                for name, value in self.arguments.items()
            }
            texts.append(self._differs(lambda given=given: self._called(namespace, given)))
        return min(texts, key=len) if all(texts) else ""

    def _called(self, namespace: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """Return the value of the function, or the first table if it changes that in place."""
        value = namespace[self.name](**given)
        return next(iter(given.values())) if value is None and self.is_in_place else value

    def _differs(self, call: Any) -> str:
        try:
            return self._difference(call())
        except BaseException as error:  # noqa: BLE001  whatever a draft raises, `sys.exit` too
            text = f"{type(error).__name__}: {error}"
            return f"`{self.call}` raises {short(text)} in the example"

    def _is_same(self, value: Any) -> bool:
        """Whether a value is the one given, which may be rounded."""
        with suppress(Exception):  # arrays, and classes that compare in their own way
            if type(self.expected) is float and isinstance(value, Real):
                value = round(float(value), -_exponent(self.expected))
            return repr(value) == self.expected or str(value == self.expected) == "True"
        return False

    def _difference(self, value: Any) -> str:
        if not isinstance(self.expected, Grid):
            wrong = f"`{self.call}` gives {short(repr(value))}, not {short(repr(self.expected))}"
            return "" if self._is_same(value) else wrong
        kind, labels = type(value).__name__, list(map(str, getattr(value, "columns", ())))
        if labels != [*self.expected.labels]:
            given, wanted = (short(", ".join(some)) for some in (labels, self.expected.labels))
            given = f"the columns {given}" if kind == "DataFrame" else f"a {kind}"
            return f"`{self.call}` returns {given} and not the columns {wanted}"
        given = value.itertuples(index=False) if hasattr(value, "itertuples") else value.rows()
        rows = [tuple(map(_plain, row)) for row in given]
        expected = [tuple(_plain(_value(text)) for text in row) for row in self.expected.rows]
        few, many = Counter(expected) - Counter(rows), Counter(rows) - Counter(expected)
        lacks, has = (short(", ".join(map(str, next(iter(some), ())))) for some in (few, many))
        wrong = f"has the row {has}" * bool(many) + " and " * bool(few and many)
        wrong += f"lacks {lacks}" * bool(few)
        return wrong and f"`{self.call}` {wrong} in the example"


def examples_in(asked: str, signature: ast.FunctionDef | None) -> tuple[Example, ...]:
    """Return the examples in a request, which may quote the head of a function."""
    found = {
        match[1]: Example(match[1], {}, value)
        for pattern in (_DOCTEST, _VALUE)
        for match in pattern.finditer(asked)
        if (value := _literal(match[2])) is not None
    }
    if signature is not None:
        found |= {str(at): one for at, one in enumerate(_drawn(asked, signature))}
    return tuple(found.values())


def _drawn(asked: str, function: ast.FunctionDef) -> Iterator[Example]:
    parameters = [one.arg for one in function.args.args]
    returns = function.returns
    is_in_place = isinstance(returns, ast.Constant) and returns.value is None
    lines = asked.split("\n")
    given: dict[str, Any] = {}
    name, is_output, at = "", False, 0
    while at < len(lines):
        line = lines[at]
        block = [*takewhile(lambda text: text.strip()[:1] in ("|", "+"), lines[at:])]
        at += max(1, len(block))
        if (grid := Grid.of(block)) is not None and is_output:
            if {*given} == {*parameters}:
                call = f"{function.name}({', '.join(parameters)})"
                yield Example(call, given, grid, is_in_place)
            given, is_output = {}, False
        elif grid is not None:
            given[_parameter(name, parameters, given)] = grid
        elif match := re.search(r"(?i)\b(in|out)puts?\b", line):
            is_output = match[1].lower() == "out"
        elif (match := _SETTING.match(line)) and match[1] in parameters:
            given[match[1]] = _literal(match[2])
        elif match := _NAME.match(line):
            name = match[1]


def _parameter(name: str, parameters: Sequence[str], given: Mapping[str, Any]) -> str:
    """Return the parameter that a table's name means: the same word, or the next one left."""
    left = [one for one in parameters if one not in given]
    stem = name.lower().rstrip("s")
    alike = [one for one in left if one.lower().rstrip("s") == stem]
    return (alike or left or [name])[0]


def _literal(text: str) -> Any:
    """Return the literal with which a text begins; None if there is none."""
    text = text.strip().strip("`")
    for end in sorted({len(text), *(match.start() for match in re.finditer(r"[`.,;#]|\s", text))})[
        ::-1
    ]:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return ast.literal_eval(text[:end].strip())
    return None


def _exponent(number: float) -> int:
    """Return the power of ten of a number's last digit; 0 for infinity and the like."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _value(text: str) -> Any:
    if text.lower() in _NULLS:
        return None
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _plain(value: Any) -> str:
    """Return a value as a text that is the same for equal values of different types."""
    if value is None or value != value or str(value) in ("NaT", "<NA>"):  # noqa: PLR0124  NaN
        return ""
    with suppress(TypeError, ValueError):
        return f"{float(value):.6g}"
    return str(value).removesuffix(" 00:00:00")


def short(text: str) -> str:
    """Return the start of a text of a value in one line, without secrets."""
    return shorten(scrub(" ".join(text.split())), _MAX_TEXT)
