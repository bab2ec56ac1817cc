"""Texts and cells without the secrets in them: the one way into a prompt.

Hidden is what stands beside the name of a secret, what has the form of a well-known token, and what
is known from elsewhere to be a secret, wherever it stands. A text comes out the same each time,
until another secret becomes known or somebody says what to show.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Final

from jupyter_llm.notebook.code.syntax import (
    PYTHON_MAGICS,
    cell_python,
    parse_python,
    split_cell_magic,
)
from jupyter_llm.notebook.values import formats, known, literals
from jupyter_llm.notebook.values.secrets import (
    HIDDEN,
    concealed_in,
    is_placeholder,
    is_shown,
    is_small,
    is_told,
    looks_secret,
    may_name,
    plain_text,
    said,
)

Span = tuple[int, int, str]
"""Where something begins and ends in a text, and the name it goes by."""
_Find = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text as it may be told, and what is hidden in it: a name and the secret, each time."""

    text: str
    found: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is hidden, each as often as it is."""
        return tuple(name for name, _ in self.found)


def scrub(text: str) -> str:
    """A text with what looks like a secret in it replaced."""
    return redact_text(text).text


def redact_text(text: str) -> Redacted:
    """A text that is no cell: what one showed, a value, a message."""
    return _without(Redacted(text), [*_secrets(text, said()), *known.places(text)])


def redact_source(source: str) -> Redacted:
    """The source of a cell; what is code in it stays code."""
    result = _redact_source(source, said())
    return _without(result, known.places(result.text))


def without_known(text: str) -> str:
    """A text without the secrets that are known from elsewhere."""
    return _without(Redacted(text), known.places(text)).text


def redact_mixed(text: str) -> Redacted:
    """A text with blocks of code in it, as Markdown has them."""
    ends = [end for found in _PYTHON.finditer(text) for end in found.span(2)]
    parts = [
        (redact_source if number % 2 else redact_text)(text[start:end])
        for number, (start, end) in enumerate(pairwise([0, *ends, len(text)]))
    ]
    found = tuple(one for part in parts for one in part.found)
    return Redacted("".join(part.text for part in parts), found)


def redact_value(expression: str, value: object, text: str) -> str:
    """What an expression in a prompt gives, as a text; none of it if it reads a secret by name."""
    if value is None or isinstance(value, bool | float) or _ABOUT.fullmatch(expression):
        return text
    names = [name for name in re.findall(r"\w+", expression) if looks_secret(name)]
    return HIDDEN if names or concealed_in(expression) else redact_mixed(text).text


# Where Python begins, whatever seems to be open before: more is read as code rather than less.
_PYTHON = re.compile(r"(?ms)^(`{3,}|~{3,})(?:python|py|ipython)[^\n]*\n(.*?)(?=^\1|\Z)")
_ABOUT = re.compile(r"\s*(?:len|type|bool|isinstance|hash|id)\([^()]*\)\s*")


# --- any text


@lru_cache(maxsize=1024)
def _secrets(text: str, _said: object) -> tuple[Span, ...]:
    """Where secrets stand in a text that is no code."""
    finds: list[_Find] = [_tokens, _environment, _unnamed]
    if may_name(text):
        finds += [_named, _assigned, _cells_of_secrets]
    return tuple(span for find in finds for span in find(text))


def _without(
    before: Redacted, spans: Iterable[Span], mark: Callable[[str], str] = lambda _told: HIDDEN
) -> Redacted:
    """A text with marks in the place of spans; those that overlap are one."""
    merged: list[Span] = []
    for start, stop, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]), merged[-1][2])
        elif _unquoted(before.text[start:stop]) not in ("", HIDDEN):
            merged.append((start, stop, name))
    text, found = before.text, before.found
    for start, stop, name in reversed(merged):
        told = text[start:stop]
        text = f"{text[:start]}{mark(told)}{text[stop:]}"
        found = ((name, _unquoted(told)), *found)
    return Redacted(text, found)


def _tokens(text: str) -> Iterator[Span]:
    """Yield what has the form of a well-known token."""
    founds = [
        found
        for word in formats.LONG.finditer(text)
        for found in formats.BY_PREFIX.finditer(text, *word.span())
    ]
    for found in (*founds, *formats.OTHERS.finditer(text)):
        if not is_shown(name := found.lastgroup or ""):
            yield (*found.span(), name)


def _unnamed(text: str) -> Iterator[Span]:
    """Yield passwords in addresses and commands."""
    for found in formats.UNNAMED.finditer(text):
        group = found.lastgroup or ""
        if not (is_shown("password") or is_placeholder(_unquoted(found[group]))):
            yield (*found.span(group), "password")


_PLAIN_NAME = re.compile(r"(?i).*(?:pass\w*|pwd?|key|token|secret)s?\d*")


def _named(text: str) -> Iterator[Span]:
    """Yield secrets beside their names in sentences, tags, commands and printed series."""
    for pattern in formats.NAMED:
        for found in pattern.finditer(text):
            name, told = found["name"], found["value"]
            if not looks_secret(name) or _CODE.fullmatch(told) or is_told(name, _unquoted(told)):
                continue
            if not found.groupdict().get("blank") or _PLAIN_NAME.fullmatch(name):
                yield (*found.span("value"), name)


# A dictionary, or lines with what `clip` has left out of them; below that there is half a line.
_LISTING = re.compile(r"(?m)\{(?=['\"])|(?:^[A-Za-z_]\w*=.*\n?|^\[… .* left out …\]\n.+\n?)+")
_IN_ENVIRONMENT = re.compile(r"(?m)(?:^|['\"])(PATH|HOME|USERPROFILE)['\"]?[:=]")


def _environment(text: str) -> Iterator[Span]:
    """Yield copies of the environment: none of its values is anybody's business."""
    end = 0
    for found in _LISTING.finditer(text) if "PATH" in text else ():
        start, stop = found.span()
        if start < end:
            continue
        end = stop = _bracket_end(text, start) if found[0] == "{" else stop
        names = set(_IN_ENVIRONMENT.findall(text[start:stop]))
        if "PATH" in names and len(names) > 1:
            yield start, stop, "environ"


_ASSIGNED = re.compile(
    r"""(?<![\w-])-{0,2}([A-Za-z_][\w-]*+(?:[ ][A-Za-z]++)?)["']?[ \t]*+"""
    r"""(?:=>|[:=](?!=))(?:\s*(?=["'])|[ \t]*)"""
)
_QUOTED = re.compile(
    r"""[A-Za-z]{0,2}(?P<quote>"{3}|'{3}|"|')(?:\\.|(?!(?P=quote)).)*+(?P=quote)?""", re.DOTALL
)
_PLAIN = re.compile(rf"(?:(?:Bearer|Basic|Digest|Token)\s+)?(?:{re.escape(HIDDEN)}|[^\s,;&)}}\]]+)")
# `password: must be long` is a sentence, `password: letmein` is none.
_PROSE = re.compile("[A-Za-z]?[a-z]+(?= [A-Za-z])")
# What stands for a secret in code: `password=self.password`, `token = login(user)`.
_CODE = re.compile(
    r"[\w.]+\([^'\"]*\)|(?:[\w.]*\.)?(?:environ|getenv|getpass|get_password|input|get_secret\w*)\b.*"
    r"|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|.{0,2}"
)
_OPENING = re.compile(r"[\w.]*([(\[{<])")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_MARKS = re.compile(rf"{_QUOTED.pattern}|[()\[\]{{}}<>]", re.DOTALL)
_MAX_NESTED: Final = 100  # brackets; each of them is looked at from all around it


def _assigned(text: str) -> Iterator[Span]:
    """Yield the values that a secret's name stands before: `password='…'`."""
    end = 0
    for assigned in _ASSIGNED.finditer(text):
        if assigned.start() < end or not looks_secret(assigned[1]):
            continue
        start = assigned.end()
        stop = _value_end(text, start)
        told = text[start:stop]
        is_code = _CODE.fullmatch(told) or told.lower() == assigned[1].lower()
        if not is_code and not is_told(assigned[1], _unquoted(told)):
            end = stop
            yield start, stop, assigned[1]


def _value_end(text: str, start: int) -> int:
    """Where a value ends that begins at `start`: a quoted text, a bracket or a word."""
    if opening := _OPENING.match(text, start):
        return _bracket_end(text, opening.start(1))
    value = _QUOTED.match(text, start) or _PLAIN.match(text, start)
    prose = _PROSE.match(text, start)
    if value is None or is_small(value[0]) or (prose and prose.end() == value.end()):
        return start
    return value.end()


def _bracket_end(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, or the text's end, if it is not or very deep."""
    waiting: list[str] = []
    for found in _MARKS.finditer(text, start):
        mark = found[0]
        if mark in _CLOSING and (mark != "<" or found.start() == start):
            waiting.append(_CLOSING[mark])
        elif waiting and mark == waiting[-1]:
            waiting.pop()
        if not waiting:
            return found.end()
        if len(waiting) > _MAX_NESTED:
            break
    return len(text)


def _unquoted(text: str) -> str:
    return text.strip("\"'`")


# --- printed tables, whose columns bear the names of secrets

_LABEL: Final = re.compile(r"[\w .\-/()']{1,60}")
# Words and numbers may be anything: only what mixes letters and digits looks like a secret.
_MIXED: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z]).{4,}")
_RULE_OR_GAP: Final = re.compile(r"[-+|=:═─╪┼╞╡│┆… .]*|\[… [\d,]+ characters left out …\]")
_MAX_LINE: Final = 2000


def _cells_of_secrets(text: str) -> Iterator[Span]:
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


# --- the source of a cell

_PIECE = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | [A-Za-z]{0,2}(?P<marks>"{3}|'{3})(?P<lines>(?:\\.|(?!(?P=marks)).)*+)(?P=marks)
    | [A-Za-z]{0,2}(?P<mark>["'])(?P<line>(?:\\.|(?!(?P=mark))[^\n])*+)(?P=mark)""",
    re.VERBOSE | re.DOTALL,
)
_COMMAND = re.compile(r"(?m)^[ \t]*[%!?].*$|(?<==)[ \t]*[%!].*$")
_OPENING_QUOTE = re.compile(r"""[A-Za-z]{0,2}("{3}|'{3}|"|')""")
_WEAK_NAME = re.compile(
    r"(?i)(?:.*[._-])?(?:keys?|tok|app_?id|signature|sig|pin|code|cert|salt)\d*"
)
_LEAST_KEY: Final = 20
# Words and numbers with signs between them are a name: `encoder.layer.0.dense.weight`.
_RANDOM = re.compile(
    r"(?:[\w+/=.~-]*[+/=.~_-])?(?=[A-Za-z0-9]{8})(?:[A-Za-z]++\d|\d++[A-Za-z])[\w+/=.~-]*"
)


@lru_cache(maxsize=1024)
def _redact_source(source: str, shown: frozenset[str]) -> Redacted:
    magic, _, _ = split_cell_magic(source)
    result = Redacted(source)
    if magic and magic not in PYTHON_MAGICS:
        return _without(result, _secrets(source, shown))
    if may_name(source):
        result = _without(result, _literals(source), _in_quotes)
    pieces = (
        (start + first, start + last, name)
        for start, text in _pieces(result.text)
        for first, last, name in _secrets(text, shown)
    )
    return _without(result, [*pieces, *_tokens(result.text)])


def _pieces(source: str) -> Iterator[tuple[int, str]]:
    """Yield where the comments, texts and commands of a cell begin, and what they say."""
    for pattern in (_PIECE, _COMMAND):
        for found in pattern.finditer(source):
            group = found.lastgroup or 0
            if group == "comment" or not group or may_name(found[group]) or "://" in found[group]:
                yield found.start(group), found[group]


def _literals(source: str) -> Iterator[Span]:
    """Yield the literals of secrets in a cell; in what is no Python, the quoted texts."""
    python = cell_python(source)
    tree = parse_python(python)
    found: list[literals.Found] | None = None
    with suppress(RecursionError):
        if tree is not None:
            found = [*literals.secret_literals(tree), *_random_looking(tree)]
    if found is None:
        yield from (span for span in _assigned(source) if _QUOTED.match(source, span[0]))
    for name, node in found or ():
        start, stop = literals.place_of(node, python)
        text = python[start:stop]
        if source[start:stop] != text:  # IPython has changed the line before it, perhaps
            start = source.find(text, sum(map(len, literals.lines_of(source)[: node.lineno - 1])))
        if start >= 0:
            yield start, start + len(text), name
            known.note(name, getattr(node, "value", None))


def _in_quotes(literal: str) -> str:
    """The mark of a hidden literal, in the same quotes."""
    found = _OPENING_QUOTE.match(literal)
    return f"{found[0]}{HIDDEN}{found[1]}" if found else f"'{HIDDEN}'"


def _is_weak_name(name: str) -> bool:
    return _WEAK_NAME.fullmatch(name) is not None and not is_shown(name)


def _random_looking(tree: ast.AST) -> Iterator[literals.Found]:
    """Yield what is called a key or the like, and looks as if drawn at random."""
    for name, value in literals.beside(tree, _is_weak_name):
        text = plain_text(value.value) if isinstance(value, ast.Constant) else ""
        is_path = "/" in text and "." in text
        if len(text) >= _LEAST_KEY and not is_path and _RANDOM.fullmatch(text):
            yield name.rpartition(".")[2], value
