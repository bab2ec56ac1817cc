"""Finds the beginnings and ends of strings, brackets and statements; code need not be valid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>\#.*)|(?P<triple>\"{3}|'{3})"""
    r"""|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<quote>["'])"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])"""
)
_STRING_ENDS = {
    quote: re.compile(rf"(?:\\.|[^\\])*?{quote}", re.DOTALL) for quote in ('"""', "'''", '"', "'")
}
_HEADER = re.compile(
    r"\s*(?:async\s+)?(?:if|elif|else|for|while|try|except|finally|with|def|class|match|case)\b"
)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


class Scanner:
    """Tracks strings and brackets from line to line, as Python's tokenizer would.

    `closers` are the missing brackets, the innermost last. `string` is the quote of a string that
    continues in the next line. `unclosed_quote` is one that the last line opened and should have
    closed. `is_comment`: the last line ends with a comment.
    """

    def __init__(self) -> None:
        self.closers: list[str] = []
        self.string = ""
        self.unclosed_quote = ""
        self.is_comment = False
        self._is_joined = False

    @property
    def is_open(self) -> bool:
        """Whether the next line belongs to the same statement."""
        return bool(self.closers or self.string or self._is_joined)

    def feed(self, line: str) -> None:
        """Read a line without its line end."""
        self.unclosed_quote = ""
        self.is_comment = self._is_joined = False
        position = 0
        if self.string:
            position = self._end_string(line)
        while not self.string and (token := _TOKEN.search(line, position)):
            position = token.end()
            match token.lastgroup:
                case "comment":
                    self.is_comment = True
                    break
                case "triple" | "quote":
                    position = self._begin_string(token[0], line, position)
                case "open":
                    self.closers.append(_CLOSERS[token[0]])
                case "close" if self.closers and self.closers[-1] == token[0]:
                    self.closers.pop()
        if not self.string and not self.is_comment:
            self._is_joined = _ends_joined(line)

    def _begin_string(self, quote: str, line: str, position: int) -> int:
        end = _STRING_ENDS[quote].match(line, position) if len(quote) > 1 else None
        if end is not None:
            return end.end()
        if len(quote) > 1 or _ends_joined(line):
            self.string = quote
        else:
            self.unclosed_quote = quote
        return len(line)

    def _end_string(self, line: str) -> int:
        end = _STRING_ENDS[self.string].match(line)
        if end is None:
            if len(self.string) == 1 and not _ends_joined(line):
                self.unclosed_quote, self.string = self.string, ""
            return len(line)
        self.string = ""
        return end.end()


def _ends_joined(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of code: whether it begins a statement, and whether it begins inside a string."""

    text: str
    is_start: bool
    is_in_string: bool

    @property
    def is_blank(self) -> bool:
        """Whether the line has no code."""
        return not self.is_in_string and (not self.text.strip() or self.text.lstrip()[0] == "#")


def layout(source: str) -> list[SourceLine]:
    """Return the lines of code."""
    scanner = Scanner()
    lines = []
    for text in source.split("\n"):
        lines.append(SourceLine(text, not scanner.is_open, bool(scanner.string)))
        scanner.feed(text)
    return lines


def without_last_statement(source: str) -> str:
    """Return code without its last statement, which may be incomplete."""
    lines = layout(source)
    end = len(lines)
    while end and (lines[end - 1].is_blank or not lines[end - 1].is_start):
        end -= 1
    return "\n".join(line.text for line in lines[: max(end - 1, 0)]).rstrip()


def indent_of(line: str) -> int:
    """Return the number of columns of a line's indentation, with Python's tab width."""
    return len(space_of(line).expandtabs(8))


def statement_end(lines: Sequence[str], start: int) -> tuple[int, Scanner]:
    """Return the index after a statement's last line, and the scanner with what is left open.

    A statement with an open bracket ends before the next line that is not indented more.
    """
    scanner = Scanner()
    indent = indent_of(lines[start])
    end = start
    for index in range(start, len(lines)):
        text = lines[index].strip()
        is_next = index > start and text and indent_of(lines[index]) <= indent
        if is_next and not scanner.string and text[0] not in ")]}#":
            break
        scanner.feed(lines[index])
        if text or scanner.string:
            end = index + 1
        if not scanner.is_open:
            break
    return max(end, start + 1), scanner


def is_header(statement: str) -> bool:
    """Whether a statement begins a block."""
    last = statement.rstrip().rsplit("\n", 1)[-1]
    code = last.split("#", maxsplit=1)[0] if last.count("#") == 1 else last
    return code.rstrip().endswith(":") and _HEADER.match(statement) is not None


def space_of(text: str) -> str:
    """Return a text's leading blanks."""
    return text[: len(text) - len(text.lstrip(" \t"))]


def closings(text: str) -> Iterator[str]:
    """Yield a text with its open string and brackets closed, also before a colon at its end."""
    scanner = Scanner()
    for line in text.split("\n"):
        scanner.feed(line)
    missing = (scanner.string or scanner.unclosed_quote) + "".join(reversed(scanner.closers))
    if missing and text.endswith(":"):
        yield f"{text[:-1]}{missing}:"
    if missing:
        gap = f"\n{space_of(text)}" if scanner.is_comment else ""
        yield text + gap + missing
