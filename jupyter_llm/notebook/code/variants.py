"""A line of code as it is when one slip more or less is made: another operator, number or name."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_VARIANTS = 80
"""The most variants of one line."""

# What people take for one another. Each word also stands for those that stand for it.
_CONFUSED = (
    "< <= >; > >= <; <= >=; == !=; + -; * /; * **; / //; % //; = +=; += -=; and or; "
    "True False; min max; any all; append extend; mean sum; mean median; std var; std mean; "
    "lower upper; lstrip rstrip; keys values; month day; month year; sin cos; floor ceil; "
    "head tail; idxmin idxmax; argmin argmax; isalpha isdigit; startswith endswith; "
    "union intersection; count sum; zip enumerate"
)
_FOR: dict[str, tuple[str, ...]] = {}
for _words in (group.split() for group in _CONFUSED.split(";")):
    for _word in _words:
        _others = (other for other in _words if other != _word)
        _FOR[_word] = tuple(dict.fromkeys((*_FOR.get(_word, ()), *_others)))
_PHRASES = (
    (r"\bnot in\b", "in"),
    (r"(?<!not) in\b(?=.*:\s*$)", " not in"),
    (r"\bis not None\b", "is None"),
    (r"\bis None\b", "is not None"),
    (r"\bnot (?=\w)", ""),
    (r"\[::-1\]", "[:-1]"),
    (r"\[:-1\]", "[::-1]"),
    (r"\[1:\]", ""),
    (r"\[1:\]", "[:-1]"),
    (r"\[0\]", "[-1]"),
    (r"\[-1\]", "[0]"),
    (r" \+ 1\b", ""),
    (r" - 1\b", ""),
    (r"\blen\((\w+)\)", r"len(\1) - 1"),
    (r"\blen\((\w+)\)", r"len(\1) + 1"),
    (r"\blen\((\w+)\) - 1\b", r"(len(\1) - 1)"),
    (r"\[(\w+)\]", r"[\1 + 1]"),
    (r"\[(\w+)\]", r"[\1 - 1]"),
    (r"^(\w+)\.(\w+\(.*\))$", r"\1 = \1.\2"),
    (r"^(\w+\.\w+\(.*\))$", r"return \1"),
    (r"^(\w+) = \1$", r"self.\1 = \1"),
    (r"=\[\]", "=None"),
    (r"\b(\w+) - (\w+)\b", r"abs(\1 - \2)"),
    (r"\b(\w+) - (\w+)\b", r"(\1 - \2) ** 2"),
    (r"\b([\w.]+) / ([\w.]+)\b", r"\2 / \1"),
    (r"\b([\w.]+) - ([\w.]+)\b", r"\2 - \1"),
    (r"\b(\w+) // (\w+)\b", r"(\1 + \2 - 1) // \2"),
    (r"\b(len\(\w+\)) // (\w+)\b", r"(\1 + \2 - 1) // \2"),
    (r"(- (\w+)\)) / (\w+)\b", r"\1 / (\3 - \2)"),
    (r"\b(\w+) \+ (\w+) /", r"(\1 + \2) /"),
    (r"\bsort_values\(\)", "sort_values(ascending=False)"),
    (r"\bsort_values\(([^()=]+)\)", r"sort_values(\1, ascending=False)"),
    (r"\b(sorted|sort)\(([^()=]+)\)", r"\1(\2, reverse=True)"),
    (r"\bsort\(\)", "sort(reverse=True)"),
    (r"(?:, )?\b(?:ascending=False|reverse=True)", ""),
    (r"(?<=\w)\((\w+), (\w+)\)", r"(\2, \1)"),
    (r"\brange\((.+)\):$", r"range(\1 + 1):"),
    (r"\brange\((.+)\):$", r"range(\1 - 1):"),
    (r"(?<= )= (\w+)$", r"= \1 + 1"),
    (r"(?<= )= (\w+)$", r"= \1 - 1"),
    (r"\b(\w+)\) \*\* (\d)", r"\1 ** \2)"),
    (r"\b(\w+) \*\* (\d)\)", r"\1) ** \2"),
    (r"\b(\w+)\.get\((\w+)\)", r"\1.get(\2, 0)"),
    (r"\.mean\(\)", ".mean(axis=0)"),
    (r"axis=0", "axis=1"),
    (r"axis=1", "axis=0"),
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: int
    text: str
    start: int
    end: int


def variants(line: str, names: Iterable[str] = ()) -> list[str]:
    """What a line of Python may have been meant as, each a slip away; the same first.

    One of the `names` may stand in for another that is read in it. Not all of them are valid.
    """
    indent = line[: len(line) - len(line.lstrip())]
    code = line.strip()
    found = dict.fromkeys((*_phrases(code), *_words_for(code), *_numbers(code)))
    found |= dict.fromkeys(_names_for(code, list(names)))
    lines = [indent + other for other in found if other != code]
    if code.startswith("return") and len(indent) >= 8:  # noqa: PLR2004  out of a loop
        lines.insert(0, indent[4:] + code)
    return lines[:MAX_VARIANTS]


def _phrases(code: str) -> Iterator[str]:
    for pattern, other in _PHRASES:
        for found in re.finditer(pattern, code):
            yield code[: found.start()] + found.expand(other) + code[found.end() :]


def _words_for(code: str) -> Iterator[str]:
    depth = 0
    for token in _tokens(code):
        depth += (token.text in "([{") - (token.text in ")]}") if token.text else 0
        if token.text == "=" and depth:
            continue  # a keyword's
        for other in _FOR.get(token.text, ()):
            yield code[: token.start] + other + code[token.end :]


def _numbers(code: str) -> Iterator[str]:
    for token in _tokens(code):
        if token.kind == tokenize.NUMBER and token.text.isdigit():
            number = int(token.text)
            others = [number + 1, number - 1] if number else [1]
            others += [number // 10, number * 10] if number in (10, 100, 1000) else []
            for other in others:
                yield code[: token.start] + str(other) + code[token.end :]


def _names_for(code: str, names: Sequence[str]) -> Iterator[str]:
    tokens = _tokens(code)
    for number, token in enumerate(tokens):
        before = tokens[number - 1].text if number else ""
        after = tokens[number + 1].text if number + 1 < len(tokens) else ""
        if token.kind != tokenize.NAME or keyword.iskeyword(token.text) or before == ".":
            continue
        if token.text in names and after not in ("(", "="):
            for other in names:
                if other != token.text:
                    yield code[: token.start] + other + code[token.end :]


def _tokens(code: str) -> list[_Token]:
    """The tokens of a line of Python, however it is broken off."""
    found = []
    with suppress(tokenize.TokenError, SyntaxError):  # a bracket is closed on a later line
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.start[0] == 1 and token.string.strip() and token.type != tokenize.COMMENT:
                place = token.start[1], token.end[1]
                found.append(_Token(token.type, token.string, *place))
    return found
