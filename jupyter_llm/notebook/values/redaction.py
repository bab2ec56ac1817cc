"""Masks secrets in texts and cells; each text of the notebook passes here on its way into a prompt.

Masked are values beside the name of a secret, texts in the form of a well-known token, and secrets
in the register, wherever they are. A text is masked the same way each time, until another secret is
registered or the user shows a name.
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
from jupyter_llm.notebook.values import formats, literals, seen_secrets
from jupyter_llm.notebook.values.secrets import (
    HIDDEN,
    concealed_in,
    is_concealed,
    is_drawn,
    is_harmless,
    is_mark,
    is_placeholder,
    is_shown,
    is_small,
    looks_secret,
    may_be_secret,
    may_name,
    shown_names,
)

Span = tuple[int, int, str]
"""The start, the end and the name of a part of a text."""
_Find = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class Redacted:
    """A masked text, and the name and value of each mask in it."""

    text: str
    secrets: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the masked secrets, once for each mask."""
        return tuple(name for name, _ in self.secrets)


def scrub(text: str) -> str:
    """Return a text with its secrets masked."""
    return redact_text(text).text


def redact_text(text: str, *, notes: bool = True) -> Redacted:
    """Mask a text that is no cell: an output, a value, a message.

    With `notes`, the secrets that it reveals are registered, and so masked in all texts from now
    on.
    """
    return _everywhere(_without(Redacted(text), _secrets(text, shown_names())), notes=notes)


def redact_source(source: str, *, notes: bool = True) -> Redacted:
    """Mask the source of a cell; its code remains valid."""
    return _everywhere(_redact_source(source, shown_names()), notes=notes)


def without_registered(text: str) -> str:
    """Mask the registered secrets in a text."""
    return _everywhere(Redacted(text)).text


def redact_mixed(text: str) -> Redacted:
    """Mask a text with blocks of code, as in Markdown."""
    ends = [end for masked in _PYTHON.finditer(text) for end in masked.span(2)]
    parts = [
        (redact_source if number % 2 else redact_text)(text[start:end])
        for number, (start, end) in enumerate(pairwise([0, *ends, len(text)]))
    ]
    masked = tuple(one for part in parts for one in part.secrets)
    return _everywhere(Redacted("".join(part.text for part in parts), masked), notes=False)


def redact_value(expression: str, value: object, text: str) -> str:
    """Mask the text of an expression's value; all of it if the expression reads a secret's name."""
    if value is None or isinstance(value, bool | float) or _ABOUT.fullmatch(expression):
        return text
    names = [name for name in re.findall(r"\w+", expression) if looks_secret(name)]
    is_hidden = names or concealed_in(expression) or is_concealed("", value)
    return HIDDEN if is_hidden else redact_mixed(text).text


# Blocks of Python, even if an earlier block seems to be open: if in doubt, a text is read as code.
_PYTHON = re.compile(r"(?ms)^(`{3,}|~{3,})(?:python|py|ipython)[^\n]*\n(.*?)(?=^\1|\Z)")
_ABOUT = re.compile(r"\s*(?:len|type|bool|isinstance|hash|id)\([^()]*\)\s*")


def _everywhere(redacted: Redacted, *, notes: bool = True) -> Redacted:
    """Mask the secrets in the register, and those that the text itself reveals."""
    shown = [
        (name, secret)
        for name, secret in redacted.secrets[-seen_secrets.MOST :]
        if seen_secrets.is_odd(secret)
    ]
    for name, secret in shown if notes else ():
        seen_secrets.note(name, secret)
    return _without(redacted, seen_secrets.places(redacted.text, shown))


# --- any text


@lru_cache(maxsize=1024)
def _secrets(text: str, _shown_names: object) -> tuple[Span, ...]:
    """Return the spans of secrets in a text that is no code."""
    finds: list[_Find] = [_tokens, _environment, _unnamed]
    if may_name(text):
        finds += [_pairs, _printed, _cells_of_secrets]
    return tuple(span for find in finds for span in find(text))


def _without(
    before: Redacted, spans: Iterable[Span], mark: Callable[[str], str] = lambda _secret: HIDDEN
) -> Redacted:
    """Replace spans of a text by marks; overlapping spans become one."""
    merged: list[Span] = []
    for start, stop, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]), merged[-1][2])
        elif _unquoted(before.text[start:stop]) not in ("", HIDDEN):
            merged.append((start, stop, name))
    parts, masked, end = [], [], 0
    for start, stop, name in merged:
        secret = before.text[start:stop]
        parts += [before.text[end:start], mark(secret)]
        masked.append((name, _unquoted(secret)))
        end = stop
    return Redacted("".join([*parts, before.text[end:]]), (*masked, *before.secrets))


def _tokens(text: str) -> Iterator[Span]:
    """Yield spans in the form of well-known tokens."""
    words = [word.span() for word in formats.LONG.finditer(text)]
    matches = [
        match
        for word in words
        for pattern in (formats.BY_PREFIX, formats.OTHERS)
        for match in pattern.finditer(text, *word)
    ]
    for word in words if not is_shown("service_token") else ():
        yield from ((*span, "service_token") for span in formats.unlisted(text, *word))
    for match in (*matches, *formats.PRIVATE_KEY.finditer(text)):
        if not (is_shown(name := match.lastgroup or "") or is_placeholder(match[0])):
            yield (*match.span(), name)


def _unnamed(text: str) -> Iterator[Span]:
    """Yield passwords in addresses and commands."""
    for match in formats.UNNAMED.finditer(text):
        group = match.lastgroup or ""
        if not (is_shown("password") or is_placeholder(_unquoted(match[group]))):
            yield (*match.span(group), "password")


def _printed(text: str) -> Iterator[Span]:
    """Yield printed columns and indexes with the name of a secret."""
    for pattern in formats.PRINTED:
        for match in pattern.finditer(text):
            if looks_secret(match["name"]) and not is_harmless(match["name"], match["value"]):
                yield (*match.span("value"), match["name"])


# A dictionary, or lines with a gap by `clip`; the line below the gap is incomplete.
_LISTING = re.compile(r"(?m)\{(?=['\"])|(?:^[A-Za-z_]\w*=.*\n?|^\[… .* left out …\]\n.+\n?)+")
_IN_ENVIRONMENT = re.compile(r"(?m)(?:^|['\"])(PATH|HOME|USERPROFILE)['\"]?[:=]")


def _environment(text: str) -> Iterator[Span]:
    """Yield copies of the environment, all of whose values are private."""
    end = 0
    for match in _LISTING.finditer(text) if "PATH" in text else ():
        start, stop = match.span()
        if start < end:
            continue
        end = stop = _bracket_end(text, start) if match[0] == "{" else stop
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
# `password: must be long` is a sentence, `password: letmein` is not.
_PROSE = re.compile(r"[^\W\d_]+(?= [^\W\d_])")
# Code that reads a secret: `password=self.password`, `token = login(user)`.
_CODE = re.compile(
    r"[\w.]+\([^'\"]*\)|(?:[\w.]*\.)?(?:environ|getenv|getpass|get_password|input|get_secret\w*)\b.*"
    r"|(?:(?:self|cls|args|cfg|conf\w*|settings|opts|options|env|this|process)\.[\w.]+"
    r"|[a-z_]+(?:\.[a-z_]+)+)(?::\w+)?|.{0,2}"
)
_OPENING = re.compile(r"(?:[\w.]*|\$)([(\[{<])")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_MARKS = re.compile(rf"{_QUOTED.pattern}|[()\[\]{{}}<>]", re.DOTALL)
_MAX_NESTED: Final = 100  # brackets; each is searched again from each one around it

_NAME = re.compile(r"[^\W\d_](?:[\w-]*\w)?+|_\w+")
_TAG: Final = r"</?[a-z][a-z0-9]*(?:\s[^<>\n]{0,200})?/?>"
# Separators of a name and its value, by the form that the value must have: any, or mixed letters
# and digits.
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
# After these, a blank alone separates a name and its value.
_LEAD = re.compile(
    r"(?m)(?:(?<![\w-])--?|\blogin\s+\S+\s+|^[ \t]*[%!]?(?:set_)?(?:env|export|set)[ \t]+)\Z"
)
_BLANKS = re.compile(r"(?:[ \t]+|[ \t]*=[ \t]*|\n[ \t]*)(?![-\s])")
# `('password', '…')`, also in a list of lists, but not a list of names.
_PAIRED = re.compile(rf"[\"'][ \t]*,[ \t]*(?P<value>{_QUOTED.pattern})(?=[ \t]*[,)\]])", re.DOTALL)
_BEFORE_PAIR = re.compile(r"(?:\(|[\[(,]\s*\[)\s*[bru]?[\"']\Z")
_IDENTIFIER = re.compile(r"[a-z]+(?:_[a-z]+)*")
_PLAIN_NAME = re.compile(r"(?i).*(?:pass\w*|pwd?|key|token|secret|.*[^\x00-\x7f]\w*)s?\d*")
_MIXED_WORD = re.compile(
    r"(?=[^\s\d]{0,99}\d)(?=(?:(?!\s)[\W\d_]){0,99}[^\W\d_])[^\s'\"`<>,;:=(){}\[\]|]{5,}"
)
_MAX_LEAD: Final = 80
_MAX_WORDS: Final = 3  # most words of a name


def _pairs(text: str) -> Iterator[Span]:
    """Yield the values that follow a secret's name, in any notation: `password='…'`."""
    end, last, words, near = 0, 0, [""], 0
    marks = {} if text.isascii() else {ord(c): "a" for c in set(text) if is_mark(c)}
    for match in _NAME.finditer(text.translate(marks) if marks else text):
        start, stop = match.span()
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
        value = _unquoted(text[first:after])
        is_harmless_value = (
            is_harmless(name, value) or value.lower() == name.lower() if name else False
        )
        if value and not is_harmless_value and (name or is_drawn(value)):
            end = after
            yield first, after, name or word


def _value(text: str, start: int, stop: int, name: str) -> tuple[int, int] | None:
    """Return the span of the value of a name with this span."""
    if text[start - 1 : start] == "<" and (joint := _IN_TAG.match(text, stop)):
        match = _UP_TO_TAG.match(text, joint.end())
    elif (joint := _BLANKS.match(text, stop)) and _LEAD.search(
        text, max(0, start - _MAX_LEAD), start
    ):
        return _plain(text, joint.end(), is_sure=True)
    elif not (joint := _JOINT.match(text, stop)):
        match = _PAIRED.match(text, stop)
        is_pair = match and _BEFORE_PAIR.search(text, max(0, start - _MAX_LEAD), start)
        content = _unquoted(match["value"]) if match and is_pair else ""
        is_odd = _may_be_cell(name, content, is_cell=True) and not _IDENTIFIER.fullmatch(content)
        return match.span("value") if match and is_odd else None
    elif joint["mixed"]:
        match = _MIXED_WORD.match(text, joint.end())
        is_sure = joint["mixed"].strip("\"'` \tiswaetèéjär") or _PLAIN_NAME.fullmatch(name)
        return match.span() if match and is_sure and not _CODE.fullmatch(match[0]) else None
    else:
        return _plain(text, joint.end())
    return match.span() if match else None


def _plain(text: str, start: int, *, is_sure: bool = False) -> tuple[int, int] | None:
    """Return the span of a value that begins at `start`: a quoted text, a bracket or a word."""
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
    """Return the end of the bracket at `start`; the text's end if it is open or nested too deep."""
    waiting: list[str] = []
    for match in _MARKS.finditer(text, start):
        mark = match[0]
        if mark in _CLOSING and (mark != "<" or match.start() == start):
            waiting.append(_CLOSING[mark])
        elif waiting and mark == waiting[-1]:
            waiting.pop()
        if not waiting:
            return match.end()
        if len(waiting) > _MAX_NESTED:
            break
    return len(text)


def _unquoted(text: str) -> str:
    return text.strip("\"'`")


# --- printed tables with columns of secrets

_LABEL: Final = re.compile(r"(?!\d+\.\d)[\w(][\w .\-/()']{0,59}")
# Words and numbers may be anything: only mixed letters and digits look like a secret.
_MIXED: Final = re.compile(r"(?=.*\d)(?=.*[^\W\d_]).{4,}(?<!:)")
_SIGNED: Final = re.compile(r"[^\W\d](?=.*[_\W])[^\s()\[\]{}\"',;:]{3,}(?<![.])")
_RULE_OR_GAP: Final = re.compile(r"[-+|=:═─╪┼╞╡│┆… .]*|\[… [\d,]+ characters left out …\]")
_MAX_LINE: Final = 2000


def _cells_of_secrets(text: str) -> Iterator[Span]:
    """Yield the cells of printed tables in columns with the name of a secret."""
    lines = text.split("\n")
    starts = accumulate((len(line) + 1 for line in lines), initial=0)
    numbered = list(zip(starts, lines, map(may_name, lines), strict=False))
    for split in _SPLITS:
        is_strict = split in _SPLITS[-2:]  # its cells may be the words of a sentence
        secret: list[tuple[int, Span]] = []  # headers of the current table
        num_headers = 0
        for start, line, is_named in numbered:
            if not (secret or is_named):
                num_headers = 0
                continue
            if secret and _RULE_OR_GAP.fullmatch(line) and line.strip():
                continue
            cells = split(line) if secret or len(line) <= _MAX_LINE else []
            if secret and len(cells) - num_headers in (0, is_strict):
                is_cell = len(cells) > 1 and split is not _SPLITS[-2]
                for place, (begin, end, name) in secret:
                    below = [cell for cell in cells if cell[0] < end and cell[1] > begin]
                    for first, last, content in below if is_strict else cells[place : place + 1]:
                        if _may_be_cell(name, content, is_cell=is_cell):
                            yield start + first, start + last, name
                continue
            is_header = all(
                _LABEL.fullmatch(content) and (looks_secret(content) or not is_placeholder(content))
                for _, _, content in cells
                if content
            )
            secret = [one for one in enumerate(cells) if is_header and _is_label(one[1][2])]
            num_headers = len(cells)


def _is_label(label: str) -> bool:
    """Whether a cell is the name of a secret, not a sentence about one."""
    is_short = label.count(" ") < _MAX_WORDS and ":" not in label
    return is_short and looks_secret(label)


def _may_be_cell(name: str, content: str, *, is_cell: bool) -> bool:
    """Whether a cell below the name of a secret may be one; words and numbers may be anything.

    With `is_cell` the cell is certainly not a word of a sentence.
    """
    content = content.strip("`*")
    if not is_cell and " " in content:
        return False
    is_odd = (
        _MIXED.fullmatch(content) or (is_cell and _SIGNED.fullmatch(content)) or content[:1] == "'"
    )
    return bool(is_odd) and not is_harmless(name, _unquoted(content))


def _separated(separator: re.Pattern[str], line: str) -> list[Span]:
    """Return start, end and text of each table cell in a line, without blanks around the text.

    A line without the separator has no cells.
    """
    places = [0, *(place for match in separator.finditer(line) for place in match.span())]
    cells = []
    for start, end in zip(places[::2], [*places[1::2], len(line)], strict=True):
        content = line[start:end].strip()
        begin = line.index(content, start)
        cells.append((begin, begin + len(content), content))
    return cells if len(cells) > 1 else []


def _words(word: re.Pattern[str], line: str) -> list[Span]:
    return [(*match.span(), match[0]) for match in word.finditer(line)]


_Split = Callable[[str], list[Span]]  # splits a line into cells: start, end and text of each
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
def _redact_source(source: str, shown_names: object) -> Redacted:
    magic, _, _ = split_cell_magic(source)
    result = Redacted(source)
    if magic and magic not in PYTHON_MAGICS:
        return _without(result, _secrets(source, shown_names))
    result = _without(result, _literals(source), _in_quotes)
    pieces = (
        (start + first, start + last, name)
        for start, text in _pieces(result.text)
        for first, last, name in _secrets(text, shown_names)
    )
    return _without(result, [*pieces, *_tokens(result.text), *_unnamed(result.text)])


def _pieces(source: str) -> Iterator[tuple[int, str]]:
    """Yield the start and the text of comments, strings and commands in a cell."""
    for pattern in (_PIECE, _COMMAND):
        for match in pattern.finditer(source):
            group = match.lastgroup or 0
            if group == "comment" or not group or may_name(match[group]) or ":" in match[group]:
                yield match.start(group), match[group]


def _literals(source: str) -> Iterator[Span]:
    """Yield the literals of secrets in a cell; if it is not valid Python, its quoted texts."""
    python = cell_python(source)
    tree = parse_python(python)
    secrets: list[literals.NamedLiteral] | None = None
    with suppress(RecursionError):
        if tree is not None:
            secrets = literals.secret_literals(tree)
    if secrets is None:
        yield from (span for span in _pairs(source) if _QUOTED.match(source, span[0]))
    for name, node in secrets or ():
        start, stop = literals.place_of(node, python)
        text = python[start:stop]
        if source[start:stop] != text:  # IPython may have changed the line
            start = source.find(text, sum(map(len, literals.lines_of(source)[: node.lineno - 1])))
        if start >= 0:
            yield start, start + len(text), name
            seen_secrets.note(name, getattr(node, "value", None))


def _in_quotes(literal: str) -> str:
    """Return the mark of a hidden literal in the same quotes."""
    match = _OPENING_QUOTE.match(literal)
    return f"{match[0]}{HIDDEN}{match[1]}" if match else f"'{HIDDEN}'"
