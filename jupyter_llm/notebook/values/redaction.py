"""Texts and cells without the secrets in them: the one way into a prompt.

Hidden is what stands beside the name of a secret, what has the form of a well-known token, and what
is known from elsewhere to be a secret, wherever it stands. A text comes out the same each time,
until another secret becomes known or somebody says what to show.
"""

from __future__ import annotations

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
    is_concealed,
    is_drawn,
    is_mark,
    is_placeholder,
    is_shown,
    is_small,
    is_told,
    looks_secret,
    may_be_secret,
    may_name,
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


def redact_text(text: str, *, notes: bool = True) -> Redacted:
    """A text that is no cell: what one showed, a value, a message.

    With `notes`, what it shows to be a secret is one in all texts from now on.
    """
    return _everywhere(_without(Redacted(text), _secrets(text, said())), notes=notes)


def redact_source(source: str, *, notes: bool = True) -> Redacted:
    """The source of a cell; what is code in it stays code."""
    return _everywhere(_redact_source(source, said()), notes=notes)


def without_known(text: str) -> str:
    """A text without the secrets that are known from elsewhere."""
    return _everywhere(Redacted(text)).text


def redact_mixed(text: str) -> Redacted:
    """A text with blocks of code in it, as Markdown has them."""
    ends = [end for found in _PYTHON.finditer(text) for end in found.span(2)]
    parts = [
        (redact_source if number % 2 else redact_text)(text[start:end])
        for number, (start, end) in enumerate(pairwise([0, *ends, len(text)]))
    ]
    found = tuple(one for part in parts for one in part.found)
    return _everywhere(Redacted("".join(part.text for part in parts), found), notes=False)


def redact_value(expression: str, value: object, text: str) -> str:
    """What an expression in a prompt gives, as a text; none of it if it reads a secret by name."""
    if value is None or isinstance(value, bool | float) or _ABOUT.fullmatch(expression):
        return text
    names = [name for name in re.findall(r"\w+", expression) if looks_secret(name)]
    is_hidden = names or concealed_in(expression) or is_concealed("", value)
    return HIDDEN if is_hidden else redact_mixed(text).text


# Where Python begins, whatever seems to be open before: more is read as code rather than less.
_PYTHON = re.compile(r"(?ms)^(`{3,}|~{3,})(?:python|py|ipython)[^\n]*\n(.*?)(?=^\1|\Z)")
_ABOUT = re.compile(r"\s*(?:len|type|bool|isinstance|hash|id)\([^()]*\)\s*")


def _everywhere(redacted: Redacted, *, notes: bool = True) -> Redacted:
    """A text without what is known to be a secret, from elsewhere or from this text itself."""
    shown = [(name, told) for name, told in redacted.found[-known.MOST :] if known.is_odd(told)]
    for name, told in shown if notes else ():
        known.note(name, told)
    return _without(redacted, known.places(redacted.text, shown))


# --- any text


@lru_cache(maxsize=1024)
def _secrets(text: str, _said: object) -> tuple[Span, ...]:
    """Where secrets stand in a text that is no code."""
    finds: list[_Find] = [_tokens, _environment, _unnamed]
    if may_name(text):
        finds += [_pairs, _printed, _cells_of_secrets]
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
    parts, found, end = [], [], 0
    for start, stop, name in merged:
        told = before.text[start:stop]
        parts += [before.text[end:start], mark(told)]
        found.append((name, _unquoted(told)))
        end = stop
    return Redacted("".join([*parts, before.text[end:]]), (*found, *before.found))


def _tokens(text: str) -> Iterator[Span]:
    """Yield what has the form of a well-known token."""
    words = [word.span() for word in formats.LONG.finditer(text)]
    founds = [
        found
        for word in words
        for pattern in (formats.BY_PREFIX, formats.OTHERS)
        for found in pattern.finditer(text, *word)
    ]
    for word in words if not is_shown("service_token") else ():
        yield from ((*span, "service_token") for span in formats.unlisted(text, *word))
    for found in (*founds, *formats.PRIVATE_KEY.finditer(text)):
        if not (is_shown(name := found.lastgroup or "") or is_placeholder(found[0])):
            yield (*found.span(), name)


def _unnamed(text: str) -> Iterator[Span]:
    """Yield passwords in addresses and commands."""
    for found in formats.UNNAMED.finditer(text):
        group = found.lastgroup or ""
        if not (is_shown("password") or is_placeholder(_unquoted(found[group]))):
            yield (*found.span(group), "password")


def _printed(text: str) -> Iterator[Span]:
    """Yield what is printed of columns and indexes that bear the name of a secret."""
    for pattern in formats.PRINTED:
        for found in pattern.finditer(text):
            if looks_secret(found["name"]) and not is_told(found["name"], found["value"]):
                yield (*found.span("value"), found["name"])


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


_QUOTED = re.compile(
    r"""[A-Za-z]{0,2}(?P<quote>"{3}|'{3}|"|')(?:\\.|(?!(?P=quote)).)*+(?P=quote)?""", re.DOTALL
)
_PLAIN = re.compile(
    rf"(?:(?:Bearer|Basic|Digest|Token)\s+)?(?:{re.escape(HIDDEN)}|[^\s,;&)}}\]<`|]+)"
)
_UP_TO_TAG = re.compile(r"[^<>]+(?=<)")
# `password: must be long` is a sentence, `password: letmein` is none.
_PROSE = re.compile(r"[^\W\d_]+(?= [^\W\d_])")
# What stands for a secret in code: `password=self.password`, `token = login(user)`.
_CODE = re.compile(
    r"[\w.]+\([^'\"]*\)|(?:[\w.]*\.)?(?:environ|getenv|getpass|get_password|input|get_secret\w*)\b.*"
    r"|(?:(?:self|cls|args|cfg|conf\w*|settings|opts|options|env|this|process)\.[\w.]+"
    r"|[a-z_]+(?:\.[a-z_]+)+)(?::\w+)?|.{0,2}"
)
_OPENING = re.compile(r"(?:[\w.]*|\$)([(\[{<])")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_MARKS = re.compile(rf"{_QUOTED.pattern}|[()\[\]{{}}<>]", re.DOTALL)
_MAX_NESTED: Final = 100  # brackets; each of them is looked at from all around it

_NAME = re.compile(r"[^\W\d_](?:[\w-]*\w)?+|_\w+")
_TAG: Final = r"</?[a-z][a-z0-9]*(?:\s[^<>\n]{0,200})?/?>"
# What stands between a name and its value, by what a value has to look like behind it: anything,
# or what mixes letters and digits.
_JOINT = re.compile(
    rf"""
    (?P<key>["']?[\s,]{{1,40}}(?i:["']?(?:\w*value|val|default)["']?[ \t]*[:=][ \t]*))
    | (?P<sign>
        (?:["'`*_\]]|[ \t]|{_TAG}
          |[ ](?:for|of|from|to|on|at|für|von|de|para|от|для)[ ][\w.@-]{{1,40}}
          |[ ]\([^()\n]{{1,30}}\))*+
        (?:=>|->|:=|[:\uff1a](?!:)|[=\uff1d](?![=~])|[—\u2013])
        (?:\s*(?=["'])|(?:[*_`]|[ \t]|{_TAG})*+)
      )
    | (?P<mixed>
        ["'](?:[ ][^<>\n]{{0,100}})?>
        | [ \t]*+["'`*]{{0,3}}[ \t]*+(?:\||{_TAG})(?:[*_`|"']|[ \t]|{_TAG})*+
        | (?:[ ][^\W\d_]{{1,20}}){{1,5}}
          (?:[ ]?[:=][ ]|[ ](?:is|was|ist|es|è|é|est|jest|är|er)[ ])["'`]?
        | ["'`]?[ \t]++(?:(?:is|was|ist|es|è|é|est|jest|är|er)[ \t]+)?["'`]?
      )
    """,
    re.VERBOSE,
)
_IN_TAG = re.compile(r"(?:\s[^<>]{0,200})?>")
# Behind these only a blank need stand between a name and its value.
_LED = re.compile(
    r"(?m)(?:(?<![\w-])--?|\blogin\s+\S+\s+|^[ \t]*[%!]?(?:set_)?(?:env|export|set)[ \t]+)\Z"
)
_BLANKS = re.compile(r"(?:[ \t]+|[ \t]*=[ \t]*|\n[ \t]*)(?![-\s])")
# `('password', '…')`, also in a list of lists; a list of names is none.
_PAIRED = re.compile(rf"[\"'][ \t]*,[ \t]*(?P<value>{_QUOTED.pattern})(?=[ \t]*[,)\]])", re.DOTALL)
_BEFORE_PAIR = re.compile(r"(?:\(|[\[(,]\s*\[)\s*[bru]?[\"']\Z")
_IDENTIFIER = re.compile(r"[a-z]+(?:_[a-z]+)*")
_PLAIN_NAME = re.compile(r"(?i).*(?:pass\w*|pwd?|key|token|secret|.*[^\x00-\x7f]\w*)s?\d*")
_MIXED_WORD = re.compile(
    r"(?=[^\s\d]{0,99}\d)(?=(?:(?!\s)[\W\d_]){0,99}[^\W\d_])[^\s'\"`<>,;:=(){}\[\]|]{5,}"
)
_MAX_LEAD: Final = 80
_MAX_WORDS: Final = 3  # of a name


def _pairs(text: str) -> Iterator[Span]:
    """Yield the values that a secret's name stands before, in any notation: `password='…'`."""
    end, last, words, near = 0, 0, [""], 0
    marks = {} if text.isascii() else {ord(c): "a" for c in set(text) if is_mark(c)}
    for found in _NAME.finditer(text.translate(marks) if marks else text):
        start, stop = found.span()
        word = text[start:stop]
        is_next = start == last + 1 and text[last] == " "
        words, last = [*words[1 - _MAX_WORDS :], word] if is_next else [word], stop
        near = _MAX_WORDS if may_name(word) else near - 1
        if start < end or near < 1:
            continue
        names = (" ".join(words[-count:]) for count in range(1, len(words) + 1))
        name = next(filter(looks_secret, names), "")
        if not name and not may_be_secret(word):
            continue
        first, after = _value(text, start, stop, name) or (0, 0)
        told = _unquoted(text[first:after])
        is_told_of = is_told(name, told) or told.lower() == name.lower() if name else False
        if told and not is_told_of and (name or is_drawn(told)):
            end = after
            yield first, after, name or word


def _value(text: str, start: int, stop: int, name: str) -> tuple[int, int] | None:
    """Where the value stands of a name that begins and ends in a text."""
    if text[start - 1 : start] == "<" and (joint := _IN_TAG.match(text, stop)):
        found = _UP_TO_TAG.match(text, joint.end())
    elif (joint := _BLANKS.match(text, stop)) and _LED.search(
        text, max(0, start - _MAX_LEAD), start
    ):
        return _plain(text, joint.end(), is_sure=True)
    elif not (joint := _JOINT.match(text, stop)):
        found = _PAIRED.match(text, stop)
        is_pair = found and _BEFORE_PAIR.search(text, max(0, start - _MAX_LEAD), start)
        told = _unquoted(found["value"]) if found and is_pair else ""
        is_odd = _may_be_cell(name, told, is_whole=True) and not _IDENTIFIER.fullmatch(told)
        return found.span("value") if found and is_odd else None
    elif joint["mixed"]:
        found = _MIXED_WORD.match(text, joint.end())
        is_sure = joint["mixed"].strip("\"'` \tiswaetèéjär") or _PLAIN_NAME.fullmatch(name)
        return found.span() if found and is_sure and not _CODE.fullmatch(found[0]) else None
    else:
        return _plain(text, joint.end())
    return found.span() if found else None


def _plain(text: str, start: int, *, is_sure: bool = False) -> tuple[int, int] | None:
    """A value that begins at `start`: a quoted text, a bracket or a word."""
    if opening := _OPENING.match(text, start):
        stop = _bracket_end(text, opening.start(1))
    else:
        value = _QUOTED.match(text, start) or _PLAIN.match(text, start)
        prose = None if is_sure else _PROSE.match(text, start)
        if value is None or is_small(value[0]) or (prose and prose.end() == value.end()):
            return None
        stop = value.end()
    return None if _CODE.fullmatch(text, start, stop) else (start, stop)


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

_LABEL: Final = re.compile(r"(?!\d+\.\d)[\w(][\w .\-/()']{0,59}")
# Words and numbers may be anything: only what mixes letters and digits looks like a secret.
_MIXED: Final = re.compile(r"(?=.*\d)(?=.*[^\W\d_]).{4,}(?<!:)")
_SIGNED: Final = re.compile(r"[^\W\d](?=.*[_\W])[^\s()\[\]{}\"',;:]{3,}(?<![.])")
_RULE_OR_GAP: Final = re.compile(r"[-+|=:═─╪┼╞╡│┆… .]*|\[… [\d,]+ characters left out …\]")
_MAX_LINE: Final = 2000


def _cells_of_secrets(text: str) -> Iterator[Span]:
    """Yield the cells of the tables in a text whose column has the name of a secret."""
    lines = text.split("\n")
    starts = accumulate((len(line) + 1 for line in lines), initial=0)
    numbered = list(zip(starts, lines, map(may_name, lines), strict=False))
    for split in _SPLITS:
        is_strict = split in _SPLITS[-2:]  # cells may be words of a sentence
        secret: list[tuple[int, Span]] = []  # the headers of the table that goes on
        num_headers = 0
        for start, line, is_named in numbered:
            if not (secret or is_named):
                num_headers = 0
                continue
            if secret and _RULE_OR_GAP.fullmatch(line) and line.strip():
                continue
            cells = split(line) if secret or len(line) <= _MAX_LINE else []
            if secret and len(cells) - num_headers in (0, is_strict):
                is_whole = len(cells) > 1 and split is not _SPLITS[-2]
                for place, (begin, end, name) in secret:
                    below = [cell for cell in cells if cell[0] < end and cell[1] > begin]
                    for first, last, told in below if is_strict else cells[place : place + 1]:
                        if _may_be_cell(name, told, is_whole=is_whole):
                            yield start + first, start + last, name
                continue
            is_header = all(
                _LABEL.fullmatch(told) and (looks_secret(told) or not is_placeholder(told))
                for _, _, told in cells
                if told
            )
            secret = [one for one in enumerate(cells) if is_header and _is_label(one[1][2])]
            num_headers = len(cells)


def _is_label(told: str) -> bool:
    """Whether a cell is the name of a secret, and no sentence about one."""
    is_short = told.count(" ") < _MAX_WORDS and ":" not in told
    return is_short and looks_secret(told)


def _may_be_cell(name: str, told: str, *, is_whole: bool) -> bool:
    """Whether a cell below the name of a secret may be one; words and numbers may be anything.

    One that `is_whole` is none of the words of a sentence.
    """
    told = told.strip("`*")
    if not is_whole and " " in told:
        return False
    is_odd = _MIXED.fullmatch(told) or (is_whole and _SIGNED.fullmatch(told)) or told[:1] == "'"
    return bool(is_odd) and not is_told(name, _unquoted(told))


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
_SPLITS: Final[list[_Split]] = [
    *(partial(_separated, re.compile(one)) for one in ("[|│┆¦║┃]", ",", ";", "\t")),
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


@lru_cache(maxsize=1024)
def _redact_source(source: str, said: object) -> Redacted:
    magic, _, _ = split_cell_magic(source)
    result = Redacted(source)
    if magic and magic not in PYTHON_MAGICS:
        return _without(result, _secrets(source, said))
    result = _without(result, _literals(source), _in_quotes)
    pieces = (
        (start + first, start + last, name)
        for start, text in _pieces(result.text)
        for first, last, name in _secrets(text, said)
    )
    return _without(result, [*pieces, *_tokens(result.text), *_unnamed(result.text)])


def _pieces(source: str) -> Iterator[tuple[int, str]]:
    """Yield where the comments, texts and commands of a cell begin, and what they say."""
    for pattern in (_PIECE, _COMMAND):
        for found in pattern.finditer(source):
            group = found.lastgroup or 0
            if group == "comment" or not group or may_name(found[group]) or ":" in found[group]:
                yield found.start(group), found[group]


def _literals(source: str) -> Iterator[Span]:
    """Yield the literals of secrets in a cell; in what is no Python, the quoted texts."""
    python = cell_python(source)
    tree = parse_python(python)
    found: list[literals.Found] | None = None
    with suppress(RecursionError):
        if tree is not None:
            found = literals.secret_literals(tree)
    if found is None:
        yield from (span for span in _pairs(source) if _QUOTED.match(source, span[0]))
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
