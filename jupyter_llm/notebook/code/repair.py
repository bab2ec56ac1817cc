"""Makes code of what a model wrote as code: whatever the text, the result can be read.

The least invasive comes first. What surrounds code is taken off, then statements are mended one by
one where Python stumbles, and what cannot be saved becomes a comment.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jupyter_llm.notebook.code import typography
from jupyter_llm.notebook.code.layout import Scanner, indent_of, layout, statement_end
from jupyter_llm.notebook.code.statements import (
    comment,
    has_code,
    is_code_line,
    is_header,
    meanings,
    space_of,
    stands_alone,
)
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, split_cell_magic, syntax_error


@dataclass(frozen=True, slots=True)
class Repaired:
    """Code that Python and IPython can read, and in words what was done to make it so.

    `has_code` is False where nothing but comments is left.
    """

    source: str
    changes: tuple[str, ...] = ()
    has_code: bool = True


_STEPS: tuple[tuple[Callable[[str], str], str], ...] = (
    (typography.readable_characters, "left out characters that Python does not read"),
    (typography.dedented, "took off the indentation of all lines"),
    (typography.without_fences, "left out stray fences"),
    (typography.with_install_magics, "put a % before the install command"),
    (typography.with_plain_characters, "replaced typographic characters"),
    (typography.with_spaces, "replaced tabs by spaces"),
    (typography.without_prose, "left out the text around the code"),
)
# What mending may cost, in characters that are read again: a second or two at worst, and with the
# same outcome on every machine.
_READS = 100
_LEAST_BUDGET, _MOST_BUDGET = 100_000, 2_000_000
_INDENT = 4
_DEEPEST_TRY = 3  # nested `try` that may be the one without an end
_NO_BODY = re.compile(r"\s*(?:def|class|import|from|@|if __name__|el(?:if|se)|except|finally)\b")


def repair(source: str, *, is_cut_off: bool = False) -> Repaired:
    """Code that certainly can be read, with as much of the source as can be kept.

    With `is_cut_off` its end is known to be missing: an unfinished last statement is then left
    out, if there is more, while its brackets and strings are closed otherwise.
    """
    repaired = _repair(source, is_cut_off=is_cut_off)
    return _repair(source) if is_cut_off and not repaired.has_code else repaired


def _repair(source: str, *, is_cut_off: bool = False) -> Repaired:
    source, changes = _tidied(source)
    if syntax_error(source) is None:
        return Repaired(source, tuple(changes), has_code(source))
    name, line, body = split_cell_magic(source)
    if name in PYTHON_MAGICS:
        repaired = _repair(body, is_cut_off=is_cut_off)
        return Repaired(line + repaired.source, (*changes, *repaired.changes), repaired.has_code)
    mending = _Mending(source.strip("\n"), is_cut_off=is_cut_off)
    mending.run()
    return Repaired(mending.source, (*changes, *mending.changes()), has_code(mending.source))


def _tidied(source: str) -> tuple[str, list[str]]:
    """Take off what surrounds code, one thing after another until it can be read."""
    typed = typography.without_prompts(source)  # IPython reads them, and what was printed as code
    changes = ["took off the prompts"] if typed != source else []
    for step, words in _STEPS:
        if syntax_error(typed) is None:
            break
        tidied = step(typed)
        changes += [words] if tidied != typed else []
        typed = tidied
    return typed, changes


class _Mending:
    """Code in lines, mended from its start to its end."""

    def __init__(self, source: str, *, is_cut_off: bool) -> None:
        self._lines = source.split("\n")
        self._is_cut_off = is_cut_off
        self._changes: Counter[str] = Counter()
        self._budget = min(max(_READS * len(source), _LEAST_BUDGET), _MOST_BUDGET)

    @property
    def source(self) -> str:
        """The code as it stands."""
        return "\n".join(self._lines)

    def changes(self) -> list[str]:
        """What was done, in words."""
        count = self._changes.pop("comment", 0)
        words = list(self._changes)
        if count == 1:
            words.append("made a comment of 1 line that is no Python")
        elif count:
            words.append(f"made comments of {count} lines that are no Python")
        return words

    def run(self) -> None:
        """Mend until Python can read it all."""
        error = self._error(self._lines)
        while error is not None and self._budget > 0:
            self._mend(error)
            error = self._error(self._lines)
        if error is not None:
            self._comment_out(self._place(error), len(self._lines))
            error = self._error(self._lines)
        if error is not None:
            self._comment_out(0, len(self._lines))

    def _error(self, lines: list[str]) -> SyntaxError | None:
        source = "\n".join(lines)
        self._budget -= len(source) + 1
        return syntax_error(source)

    def _place(self, error: SyntaxError) -> int:
        """The index of the line where Python stumbled; the last one if it did not say."""
        last = len(self._lines) - 1
        return last if error.lineno is None else min(max(error.lineno - 1, 0), last)

    def _stands_alone(self, start: int, end: int) -> bool:
        statement = "\n".join(self._lines[start:end])
        self._budget -= len(statement) + 1
        return stands_alone(statement)

    def _mend(self, error: SyntaxError) -> None:
        place = self._place(error)
        start, end = self._suspect(place, is_near=error.lineno is not None)
        if self._stands_alone(start, end):
            is_mended = self._try_any(self._structures(start, end, error), place)
        else:
            is_mended = (
                self._close_text(start, end)
                or self._drop_unfinished(start, end)
                or self._mend_statement(start, end, place)
            )
        if not is_mended:
            self._comment_out(start, self._block_end(start, end))

    def _suspect(self, place: int, *, is_near: bool) -> tuple[int, int]:
        """Where the statement begins and ends that made Python stumble in a line.

        It is the first one up to that line that cannot be read alone, since Python may notice late
        that a bracket was never closed; or else the one of the line.
        """
        source = self.source
        lines = layout(source)
        self._budget -= len(source)
        start = place if is_near else 0
        while start > 0 and (lines[start].is_blank or not lines[start].is_start):
            start -= 1
        while True:
            end, _ = statement_end(self._lines, start)
            if end > place or not self._stands_alone(start, end):
                return start, end
            start = end

    def _mend_statement(self, start: int, end: int, place: int) -> bool:
        lines = self._lines[start:end]
        for text, num_lines, words in meanings(lines, place - start):
            self._budget -= len(text) + 1
            if self._budget < 0:
                break
            if text != "\n".join(lines[:num_lines]) and stands_alone(text):
                self._lines[start : start + num_lines] = text.split("\n")
                self._changes[words] += 1
                return True
        return False

    def _close_text(self, start: int, end: int) -> bool:
        """Close a text in triple quotes: where it begins, if code follows, or else at its end."""
        scanner = Scanner()
        opening = start
        for index in range(start, end):
            was_open = bool(scanner.string)
            scanner.feed(self._lines[index])
            if scanner.string and not was_open:
                opening = index
        if len(scanner.string) != len('"""'):
            return False
        following = next(filter(str.strip, self._lines[opening + 1 : end]), "")
        is_code = is_code_line(following)
        if self._is_cut_off and not is_code:
            return False
        line = opening if is_code else end - 1
        self._lines[line] += scanner.string + "".join(reversed(scanner.closers))
        self._changes["closed a text"] += 1
        return True

    def _drop_unfinished(self, start: int, end: int) -> bool:
        """Leave out a statement at an end that is missing, with the decorators above it."""
        if not self._is_cut_off or any(line.strip() for line in self._lines[end:]):
            return False
        while start > 0 and self._lines[start - 1].lstrip().startswith("@"):
            start -= 1
        del self._lines[start:]
        self._changes["left out the unfinished end"] += 1
        return True

    def _try_any(self, candidates: Iterator[tuple[list[str], str]], place: int) -> bool:
        """Take the first candidate with which Python gets further; tell whether there was one."""
        for lines, words in candidates:
            error = self._error(lines)
            if error is not None:
                error_line = error.lineno or 0
                if len(lines) - error_line >= len(self._lines) - (place + 1):
                    continue
            self._lines = lines
            self._changes[words] += 1
            return True
        return False

    # -- blocks --------------------------------------------------------------------------------

    def _structures(
        self, start: int, end: int, error: SyntaxError
    ) -> Iterator[tuple[list[str], str]]:
        """Yield the code with blocks as they may be meant, for an error between statements."""
        message = str(error.msg)
        if header := re.match(r"expected an indented block after .* on line (\d+)", message):
            yield from self._with_body(int(header[1]) - 1, start, end)
        elif message.startswith("expected 'except'"):
            yield from self._with_finally(start)
        elif isinstance(error, IndentationError) or "outside function" in message:
            indent = self._indent_before(start)
            yield self._shifted(start, self._run_end(start), indent), "aligned the indentation"
            yield self._shifted(start, end, indent), "aligned the indentation"

    def _with_body(self, header: int, start: int, end: int) -> Iterator[tuple[list[str], str]]:
        """Give a block a body: the next statement if it stands below the header, or `pass`."""
        lines = self._lines
        body = indent_of(lines[header]) + _INDENT
        header_end, _ = statement_end(lines, header)
        is_below = header_end == start and indent_of(lines[start]) == indent_of(lines[header])
        if is_below and not _NO_BODY.match(lines[start]):
            shifted = self._shifted(start, self._block_end(start, end), body)
            yield shifted, "indented the body of a block"
        filler = " " * body + "pass"
        yield [*lines[:header_end], filler, *lines[header_end:]], "added a `pass`"

    def _with_finally(self, place: int) -> Iterator[tuple[list[str], str]]:
        """Give a `try` an end that changes nothing."""
        found = 0
        for start in range(min(place, len(self._lines) - 1), -1, -1):
            line = self._lines[start]
            if not re.match(r"\s*try\s*:", line):
                continue
            end = self._block_end(start, start + 1)
            space = space_of(line)
            ending = [f"{space}finally:", f"{space}    pass"]
            yield [*self._lines[:end], *ending, *self._lines[end:]], "gave a `try` an end"
            found += 1
            if found == _DEEPEST_TRY:
                return

    def _indent_before(self, start: int) -> int:
        """The indentation that fits a line after the statement before it."""
        lines = layout(self.source)
        before = start - 1
        while before > 0 and (lines[before].is_blank or not lines[before].is_start):
            before -= 1
        if before < 0:
            return 0
        end, _ = statement_end(self._lines, before)
        deeper = _INDENT if is_header("\n".join(self._lines[before:end])) else 0
        return indent_of(self._lines[before]) + deeper

    def _block_end(self, start: int, end: int) -> int:
        """Where the block ends that a statement begins, or the statement itself."""
        if not is_header("\n".join(self._lines[start:end])):
            return end
        return self._run_end(start, indent_of(self._lines[start]) + 1)

    def _run_end(self, start: int, indent: int | None = None) -> int:
        """Where the lines end that are indented so far at least, or as far as the first."""
        least = indent_of(self._lines[start]) if indent is None else indent
        lines = layout(self.source)
        end = start + 1
        for index in range(start + 1, len(lines)):
            line = lines[index]
            is_inside = line.is_in_string or not line.is_start
            if not (is_inside or line.is_blank) and indent_of(line.text) < least:
                break
            if not line.is_blank:
                end = index + 1
        return end

    def _shifted(self, start: int, end: int, indent: int) -> list[str]:
        """All lines, with some of them moved so that the first is indented so far."""
        by = indent - indent_of(self._lines[start])
        moved = [
            line.text
            if line.is_in_string or not line.text.strip()
            else " " * max(indent_of(line.text) + by, 0) + line.text.lstrip(" \t")
            for line in layout(self.source)[start:end]
        ]
        return [*self._lines[:start], *moved, *self._lines[end:]]

    def _comment_out(self, start: int, end: int) -> None:
        """Make comments of lines; where they are comments already, of all that follow."""
        commented = [comment(line) for line in self._lines[start:end]]
        if commented == self._lines[start:end]:
            start, end = (start, len(self._lines)) if end < len(self._lines) else (0, end)
            commented = [comment(line) for line in self._lines[start:end]]
        pairs = zip(commented, self._lines[start:end], strict=True)
        self._changes["comment"] += sum(new != old for new, old in pairs)
        self._lines[start:end] = commented
