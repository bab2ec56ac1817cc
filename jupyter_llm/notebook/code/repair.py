"""Repairs code that a model wrote: whatever the text, the result has no syntax error.

It removes text around the code, mends one slip after another at the place of the syntax error, and
turns the rest into comments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jupyter_llm.notebook.code import typography
from jupyter_llm.notebook.code.layout import (
    closings,
    indent_of,
    is_header,
    layout,
    space_of,
    statement_end,
)
from jupyter_llm.notebook.code.syntax import (
    PYTHON_MAGICS,
    has_code,
    split_cell_magic,
    syntax_error,
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """Code that Python and IPython can read, and the changes in words.

    `has_code` is False if only comments are left.
    """

    source: str
    changes: tuple[str, ...] = ()
    has_code: bool = True


_STEPS: tuple[tuple[Callable[[str], str], str], ...] = (
    (typography.readable_characters, "left out characters that Python does not read"),
    (typography.dedented, "took off the indentation of all lines"),
)
# Budget of mending, in characters parsed: two seconds at most, and the same result on every
# machine.
_READS = 100
_LEAST_BUDGET, _MOST_BUDGET = 100_000, 2_000_000
_INDENT = 4
_MAX_CLOSINGS = 20  # lines at whose end a missing bracket is tried
_NO_BODY = re.compile(r"\s*(?:def|class|import|from|@|if __name__|el(?:if|se)|except|finally)\b")
_PRINT = re.compile(r"(\s*)print[ \t]+(?![=.,)\]])(.+)", re.DOTALL)


def repair(source: str, *, is_cut_off: bool = False) -> Repaired:
    """Return code without syntax errors, with as much of the source as possible.

    `is_cut_off`: the end is missing. Then an incomplete last statement is removed if there is other
    code; otherwise its brackets and strings are closed.
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
    mended, done = _mended(source.strip("\n").split("\n"), is_cut_off=is_cut_off)
    return Repaired(mended, (*changes, *_words(done)), has_code(mended))


def _tidied(source: str) -> tuple[str, list[str]]:
    """Remove text around the code, one kind after another, until it can be parsed."""
    # first, because IPython accepts prompts and would read outputs as code
    typed = typography.without_prompts(source)
    changes = ["took off the prompts"] if typed != source else []
    for step, words in _STEPS:
        if syntax_error(typed) is None:
            break
        tidied = step(typed)
        changes += [words] if tidied != typed else []
        typed = tidied
    return typed, changes


def _words(done: Counter[str]) -> list[str]:
    """Return the changes in words; `comment` counts lines."""
    count = done.pop("comment", 0)
    lines = f"{count} lines that are" if count > 1 else "1 line that is"
    comments = "comments" if count > 1 else "a comment"
    return [*done, *([f"made {comments} of {lines} no Python"] if count else [])]


def _mended(lines: list[str], *, is_cut_off: bool) -> tuple[str, Counter[str]]:
    """Return lines as code that can be parsed, and the counts of changes."""
    done: Counter[str] = Counter()
    size = sum(map(len, lines))
    budget = min(max(_READS * size, _LEAST_BUDGET), _MOST_BUDGET)
    while (error := syntax_error("\n".join(lines))) is not None and budget > 0:
        row = min(max((error.lineno or len(lines)) - 1, 0), len(lines) - 1)
        budget -= size
        for new, words in _meanings(lines, row, error, is_cut_off=is_cut_off):
            budget -= size
            further = syntax_error("\n".join(new))
            num_unread = 0 if further is None else len(new) - (further.lineno or 0) + 1
            if num_unread < len(lines) - row or len(new) < len(lines):
                lines = new
                done[words] += 1
                break
        else:
            start, end = _statement(lines, row)
            if is_header("\n".join(lines[start:end])):
                end = _run_end(lines, start, indent_of(lines[start]) + 1)
            done["comment"] += _comment_out(lines, start, end)
    if error is not None:  # the budget is used up
        done["comment"] += _comment_out(lines, 0, len(lines))
    return "\n".join(lines), done


def _statement(lines: Sequence[str], row: int) -> tuple[int, int]:
    """Return the first line of the statement that includes a row, and the line after its last."""
    start = 0
    while (end := statement_end(lines, start)[0]) <= row:
        start = end
    return start, end


def _comment_out(lines: list[str], start: int, end: int) -> int:
    """Turn lines into comments, or all following ones if these are comments; return the number."""
    if not _is_code(lines[start:end]):
        start, end = (start, len(lines)) if _is_code(lines[start:]) else (0, len(lines))
    num_lines = sum(_is_code([line]) for line in lines[start:end])
    lines[start:end] = map(_comment, lines[start:end])
    return num_lines


def _comment(line: str) -> str:
    space = space_of(line)
    return f"{space}# {line[len(space) :]}" if _is_code([line]) else line


def _is_code(lines: Sequence[str]) -> bool:
    return any(line.strip(" \t") and not line.lstrip(" \t").startswith("#") for line in lines)


def _meanings(
    lines: list[str], row: int, error: SyntaxError, *, is_cut_off: bool
) -> Iterator[tuple[list[str], str]]:
    """Yield possible mends of a syntax error, the likeliest first, with a description."""
    message, line = str(error.msg), lines[row]
    start, end = _statement(lines, row)
    text = "\n".join(lines[start:end])

    def put(new: str, begin: int = start, stop: int = end) -> list[str]:
        return [*lines[:begin], *new.split("\n"), *lines[stop:]]

    if header := re.match(r"expected an indented block after .* on line (\d+)", message):
        yield from _with_body(lines, int(header[1]) - 1, row)
        return
    if message.startswith("expected 'except'"):
        for number in range(row, -1, -1):
            if re.match(r"\s*try\s*:", lines[number]):
                new = lines[number].replace("try", "if True", 1)
                yield put(new, number, number + 1), "made `if True` of a `try` without an end"
        return
    if isinstance(error, IndentationError) and any("\t" in space_of(one) for one in lines):
        yield [one.expandtabs(_INDENT) for one in lines], "replaced tabs by spaces"
    if isinstance(error, IndentationError) or "outside function" in message:
        indent = _indent_before(lines, start)
        for stop in (_run_end(lines, start, indent_of(lines[start])), end):
            yield _shifted(lines, start, stop, indent), "aligned the indentation"
        return
    if is_cut_off and not any(map(str.strip, lines[end:])):
        while start and lines[start - 1].lstrip().startswith("@"):
            start -= 1
        yield lines[:start], "left out the unfinished end"
    if re.match("invalid .*character", message):
        yield put(line.translate(typography.PLAIN), row, row + 1), "replaced typographic characters"
    if "expected ':'" in message:
        code, space, note = re.fullmatch(r"(.*?)(\s*)(#.*)?", line, re.DOTALL).groups()  # type: ignore[union-attr]
        yield put(f"{code}:{space}{note or ''}", row, row + 1), "added a missing colon"
    is_open = any(closings(text))
    stops = range(end, max(start, end - _MAX_CLOSINGS) if is_open else end, -1)
    is_text = "triple-quoted" in message  # it may begin in any line, and code follows
    for stop in reversed(stops) if is_text else stops:
        for closed in closings("\n".join(lines[start:stop]).rstrip()):
            yield (
                put(closed, stop=stop),
                "closed a text" if is_text else "closed what was left open",
            )
    if message.startswith("unmatched") and error.offset:
        new = line[: error.offset - 1] + line[error.offset :]
        yield put(new, row, row + 1), "left out closing brackets that nothing opens"
    if printed := _PRINT.fullmatch(text):
        yield put(f"{printed[1]}print({printed[2]})"), "put what is printed into brackets"
    if end - start > 1 and _is_code([line]):
        yield put(_comment(line), row, row + 1), "comment"


def _with_body(lines: list[str], header: int, row: int) -> Iterator[tuple[list[str], str]]:
    """Give a block a body: the next lines if they are not indented, or `pass`."""
    indent = indent_of(lines[header])
    end, _ = statement_end(lines, header)
    if end == row and indent_of(lines[row]) == indent and not _NO_BODY.match(lines[row]):
        stop, _ = statement_end(lines, row)
        if is_header("\n".join(lines[row:stop])):
            stop = _run_end(lines, row, indent + 1)
        new = _shifted(lines, row, stop, indent + _INDENT)
        yield new, "indented the body of a block"
    filler = " " * (indent + _INDENT) + "pass"
    yield [*lines[:end], filler, *lines[end:]], "added a `pass`"


def _indent_before(lines: list[str], start: int) -> int:
    """Return the indentation that fits a line after the preceding statement."""
    above = enumerate(layout("\n".join(lines[:start])))
    begins = [number for number, line in above if line.is_start and not line.is_blank]
    if not begins or not start:
        return 0
    deeper = _INDENT if is_header("\n".join(lines[begins[-1] : start]).rstrip()) else 0
    return indent_of(lines[begins[-1]]) + deeper


def _run_end(lines: list[str], start: int, least: int) -> int:
    """Return the end of the lines that are indented by at least `least`."""
    end = start + 1
    for index, line in enumerate(layout("\n".join(lines))[start + 1 :], start + 1):
        if line.is_start and not line.is_blank and indent_of(line.text) < least:
            break
        if not line.is_blank:
            end = index + 1
    return end


def _shifted(lines: list[str], start: int, end: int, indent: int) -> list[str]:
    """Return all lines, with some moved so that the first of them is indented by `indent`."""
    by = indent - indent_of(lines[start])
    moved = [
        line.text
        if line.is_in_string or not line.text.strip()
        else " " * max(indent_of(line.text) + by, 0) + line.text.lstrip(" \t")
        for line in layout("\n".join(lines))[start:end]
    ]
    return [*lines[:start], *moved, *lines[end:]]
