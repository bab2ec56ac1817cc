"""Decides where a completion ends, and what of it may be shown while it is written.

A text ends with its statement or block, fits the text after the cursor, and never breaks a cell
that could be parsed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Literal

from jupyter_llm.common.controls import plain
from jupyter_llm.notebook.code.layout import Scanner, indent_of, is_header, layout
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, split_cell_magic, syntax_error

MAX_LINES = 8
"""So many lines are suggested at most, unless somebody wants another number."""

Language = Literal["python", "text"]

_PARSES, _INCOMPLETE, _INVALID = 2, 1, 0
_CONTINUATIONS = ("else", "elif", "except", "finally", "case")
_GOES_ON = re.compile(rf"[ \t]*(?:{'|'.join(_CONTINUATIONS)})\b")
_ESCAPE = re.compile(r"[ \t]*[%!?]")
_MAX_COMMENTS = 2  # lines at a time; small models go on for ever
# A piece over and over; a short one, as of a list of zeros, more often.
_LOOP = re.compile(r"(?:(\S.{4,40}?)\1{3}|(\S.{1,3}?)\2{9})\Z")
_LEAST_OVERLAP = 3  # characters that are the same by no chance
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_PIECES = re.compile(r""""(?:\\.|[^\\"\n])*"?|'(?:\\.|[^\\'\n])*'?|\#[^\n]*|[()\[\]{}]""")


@lru_cache(maxsize=64)
def score(cell: str) -> int:
    """Return 2 if a cell can be parsed, 1 if more text may complete it, 0 if it is broken."""
    if syntax_error(cell) is None:
        return _PARSES
    from IPython.core.inputtransformer2 import TransformerManager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status, _ = TransformerManager().check_complete(cell)
        except Exception:  # noqa: BLE001  IPython makes slips
            return _INVALID
    # What IPython passes and Python does not is prose that looks like a question about a name.
    return _INCOMPLETE if status == "incomplete" else _INVALID


def language_of(source: str) -> Language:
    """In what a code cell is written: all but some of its `%%magics` are Python."""
    magic, _, _ = split_cell_magic(source)
    return "python" if not magic or magic in PYTHON_MAGICS else "text"


class Ending:
    """Finds the ends of texts between a prefix and a suffix in one cell."""

    def __init__(
        self,
        prefix: str,
        suffix: str,
        language: Language = "python",
        *,
        max_lines: int = MAX_LINES,
    ) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self.language = language
        self._max_lines = max_lines
        self._line = prefix.rpartition("\n")[2]
        self._rest, _, self._below = suffix.partition("\n")
        self._is_one_line = bool(self._rest.strip()) or _ESCAPE.match(self._line) is not None
        self._before = score(prefix + suffix) if language == "python" else _INVALID
        self._read(prefix)
        self._above = _first_line(reversed(prefix.split("\n")[:-1]))
        self._following = _first_line(self._below.split("\n"))

    def _read(self, prefix: str) -> None:
        """See what is open above the cursor's line, and what is to be closed behind the cursor.

        That is brackets and a quote, the innermost last.
        """
        lines = layout(prefix)
        start = max(number for number, line in enumerate(lines) if line.is_start)
        self._statement = [line.text for line in lines[start:-1]]  # the cursor's line goes on with
        self._scanner = Scanner()
        for line in lines[:-1]:
            self._scanner.feed(line.text)
        here = deepcopy(self._scanner)
        here.feed(self._line)
        quote = here.string or here.unclosed_quote
        self._open = [] if here.is_comment else [*here.closers, *([quote] if quote else [])]

    @property
    def is_statement_next(self) -> bool:
        """Whether a new statement is to be written on the cursor's line, which is blank."""
        is_blank = not self._line.strip() and not self._rest.strip()
        return self.language == "python" and is_blank and not self._open

    def normal(self, text: str) -> str:
        """A text without what nobody would see, and empty lines it begins with on a blank line."""
        text = plain(text)
        if self._line.strip() or not text.lstrip(" \t").startswith("\n"):
            return text
        body = text.lstrip()
        start = text[: len(text) - len(body)].rpartition("\n")[2]
        # The line is indented already; one that is indented less belongs elsewhere.
        return start.removeprefix(self._line) + body if start.startswith(self._line) else ""

    def end_of(self, text: str, *, is_whole: bool = False) -> int | None:
        """Return where a growing text certainly ends, or None while it does not."""
        loop = _LOOP.search(text)
        ends = [self._fit(text), self._stop(text, is_whole=is_whole), loop.end() if loop else None]
        return min((place for place in ends if place is not None), default=None)

    def shown(self, text: str) -> str:
        """Return the part of a growing text that can be shown and accepted now."""
        end = self.end_of(text, is_whole=True)
        kept = (text if end is None else text[:end]).rstrip()
        if not kept or self._only_comments(kept):
            return ""
        if self._before < _PARSES:
            return kept
        cells = ((one, self.prefix + one + self.suffix) for one in _starts_of(kept))
        return next((one for one, cell in cells if syntax_error(cell) is None), "")

    def final(self, text: str, *, is_torn: bool = False) -> str:
        """Return the kept part of a complete text; the last line of a torn one is cut off."""
        end = self.end_of(text, is_whole=True)
        if end is not None:
            text = text[:end]
        if _LOOP.search(text) or (is_torn and end is None):
            text = text.rpartition("\n")[0]
        starts = list(_starts_of(text))
        if self._only_comments(text) or not starts:
            return ""
        if self.language != "python":
            return starts[0]
        scores = [score(self.prefix + one + self.suffix) for one in starts]
        best = max(scores)
        return starts[scores.index(best)] if best >= self._least() else ""

    def _least(self) -> int:
        """Return the least score of the cell with a completion."""
        if self._before > _INVALID:
            return self._before
        # What is broken elsewhere in the cell does not count.
        statement = "\n".join([*self._statement, self._line])
        space = statement[: len(statement) - len(statement.lstrip())]
        around = score(f"{self.prefix.removesuffix(statement)}{space}pass\n{self._below}")
        return min(around, _INCOMPLETE) if self._open else around

    def _only_comments(self, text: str) -> bool:
        """Whether a small model that was to write code goes on about it."""
        if self.language != "python" or self._line.strip():
            return False
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return all(line.startswith("#") for line in lines)

    def _fit(self, text: str) -> int | None:
        """Return where a text begins to repeat the text after the cursor, or its brackets."""
        rest = self._rest.strip()
        place = text.find(rest) if len(rest) >= _LEAST_OVERLAP else -1
        if self._open and self.suffix.lstrip().startswith(self._open[-1]):
            closing = _closing(text, self._open[-1])
            if closing is not None and not 0 <= place < closing:
                return closing
        return place if place >= 0 else None

    def _stop(self, text: str, *, is_whole: bool) -> int | None:
        if self._is_one_line:
            return text.find("\n") if "\n" in text else None
        if self.language == "text":  # with a paragraph, or as many of its lines as are wanted
            body = len(text) - len(text.lstrip("\n"))
            ends = [place for place, char in enumerate(text) if char == "\n" and place >= body]
            places = [*ends[self._max_lines - 1 : self._max_lines], text.find("\n\n", body)]
            return min((place for place in places if place >= 0), default=None)
        return self._block_end(text, is_whole=is_whole)

    def _block_end(self, text: str, *, is_whole: bool) -> int | None:
        scanner, statement = deepcopy(self._scanner), [*self._statement]
        lines = text.split("\n")
        most = self._max_lines + (not lines[0].strip())  # what goes on below begins with a newline
        position, block, above, num_comments = 0, None, self._above, 0
        for number, added in enumerate(lines):
            line = self._line + added if number == 0 else added
            is_last = number == len(lines) - 1
            bare = line.strip()
            begins = not scanner.is_open and (number > 0 or not self._line.strip())
            if number and begins and bare and _leaves(line, block, grows=is_last and not is_whole):
                return max(position - 1, 0)
            if is_last:
                return None
            if begins and bare and bare in (above, self._following):
                return max(position - 1, 0)  # it repeats the line above or below
            if not scanner.is_open and (number > 0):
                statement = []
            statement.append(line)
            scanner.feed(line)
            num_comments = num_comments + 1 if begins and bare[:1] == "#" else 0
            if num_comments > _MAX_COMMENTS:
                return position
            above = bare or above
            position += len(added) + 1
            if number + 1 >= most:
                return position - 1
            if scanner.is_open or not bare or bare[0] in "#@":
                continue
            whole = "\n".join(statement)
            if is_header(whole):
                block = indent_of(statement[0]) if block is None else block
            elif block is None and (number > 0 or added.strip()):
                return position - 1
        return None


def _leaves(line: str, block: int | None, *, grows: bool) -> bool:
    """Whether a line that begins a statement belongs no more to a block of such an indent."""
    if block is None or indent_of(line) > block:
        return False
    # A word that is still written may become one that goes on.
    bare = line.strip()
    may_go_on = grows and any(word.startswith(bare) for word in _CONTINUATIONS)
    return indent_of(line) < block or not (may_go_on or _GOES_ON.match(line))


def _first_line(lines: Iterable[str]) -> str:
    """The first line with something on it."""
    return next((line.strip() for line in lines if line.strip()), "")


def _closing(text: str, closer: str) -> int | None:
    """Return where a text closes a bracket or a quote that was open before it."""
    if closer not in _CLOSERS.values():
        match = re.match(rf"(?s:\\.|[^\\])*?(?={closer})", text)
        return match.end() if match else None
    waiting: list[str] = []
    for piece in _PIECES.finditer(text):
        if piece[0] in _CLOSERS:
            waiting.append(_CLOSERS[piece[0]])
        elif piece[0] in _CLOSERS.values():
            if not waiting:
                return piece.start() if piece[0] == closer else None
            waiting.pop()
    return None


def _starts_of(text: str) -> Iterator[str]:
    """Yield a text, and what stays of it when lines are taken from its end, the longest first."""
    while text := text.rstrip():
        yield text
        text = text.rpartition("\n")[0]
