"""Mends of syntax errors: quotes, signs, keywords, and the slips that `repair` handles.

One thing is changed near the place of the error, and valid results are yielded.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.notebook.failures.broken_cell import Broken, Mend

Change = tuple[str, str, bool]  # a line or cell, the reason, and whether it is sure

_MAX_READS = 250  # of changed cells that are parsed
_KEYWORDS = [*keyword.kwlist, "print"]
_NUMBERS = ("no", "one", "two", "three", "four", "five")
_SIGNS = (
    (r"\belse\s*if\b", "elif", "`else if` is `elif` in Python"),
    (r"&&", "and", "`&&` is `and` in Python"),
    (r"\|\|", "or", "`||` is `or` in Python"),
    (r"!(?=[\w(])", "not ", "`!` is `not` in Python"),
    (r"(\w+)\+\+", r"\1 += 1", "`++` is `+= 1` in Python"),
    (r"<>", "!=", "`<>` is `!=` in Python"),
    (r"=>", ">=", "`=>` is `>=` in Python"),
    (r"=<", "<=", "`=<` is `<=` in Python"),
    (r"(?<![=!<>:])=(?!=)", "==", "`==` compares, `=` assigns"),
    (r"(?<![\w.])(\d+)([A-Za-z_]\w*)", r"\1 * \2", "a `*` is missing"),
    (r"(?<![\w.])0+(\d)", r"\1", "a number begins with no 0"),
    (r"^(\s*)(?:function|func|fn|define)\s+", r"\1def ", "a function begins with `def`"),
)


def syntax(broken: Broken) -> Iterator[Mend]:
    """Yield mends of a cell with a syntax error."""
    error = syntax_error(broken.source)
    if error is None:
        return
    lines = broken.source.split("\n")
    row = min(max((error.lineno or broken.line or len(lines)) - 1, 0), len(lines) - 1)
    seen = {broken.source}
    for source, reason, is_sure in _candidates(lines, row, str(error.msg)):
        if source not in seen and syntax_error(source) is None:
            yield Mend(source, reason, is_sure)
        seen.add(source)
        if len(seen) > _MAX_READS:
            return


def _candidates(lines: list[str], row: int, message: str) -> Iterator[Change]:
    """Yield the cell with one change, the likeliest first; not all are valid."""

    def cells(changes: Iterator[Change]) -> Iterator[Change]:
        for new, reason, is_sure in changes:
            yield "\n".join([*lines[:row], new, *lines[row + 1 :]]), reason, is_sure

    yield from cells(_quoted(lines[row]))
    yield from _repaired("\n".join(lines).rstrip())
    yield from cells(_translated(lines[row], message))


def _repaired(source: str) -> Iterator[Change]:
    """Yield the cell as repaired, if the repair neither invents nor drops code."""
    repaired = repair(source)
    words = "; ".join(repaired.changes)
    if repaired.source.startswith(source) and (signs := repaired.source[len(source) :].strip()):
        words = f"{_named(signs)} missing"  # at the end
    if repaired.has_code and not re.search("comment|left out|`pass`|an end", words):
        yield repaired.source, words, True


def _named(signs: str) -> str:
    """Name signs that code lacks at its end."""
    if len(signs) == 1 or signs.strip(")]}"):
        return f"a `{signs}` is"
    number = _NUMBERS[len(signs)] if len(signs) < len(_NUMBERS) else len(signs)
    return f"{number} closing brackets `{signs}` are"


def _translated(line: str, message: str) -> Iterator[Change]:
    """Yield a line with Python's signs and keywords in place of others."""
    for pattern, sign, reason in _SIGNS:
        if sign != "==" or "'=='" in message or "expression" in message:
            for match in re.finditer(pattern, line):
                new = line[: match.start()] + match.expand(sign) + line[match.end() :]
                yield new, reason, True
    for match in re.finditer(r"[^\W\d]\w*", line):
        word = match[0]
        for other, _ in near(word, _KEYWORDS) if word not in _KEYWORDS else ():
            new = line[: match.start()] + other + line[match.end() :]
            yield new, f"`{word}` is no keyword; near it is `{other}`", True


def _quoted(line: str) -> Iterator[Change]:
    """Yield a line with a quote added at the other end of a string."""
    if match := re.search(r"'([^'\"\n]*)'(\w[^'\"\n]*)'", line):
        new = f'{line[: match.start()]}"{match[1]}\'{match[2]}"{line[match.end() :]}'
        yield new, "an apostrophe ended the text", True
    code = line.rstrip()
    for quote in ("'", '"'):
        ends = [match.start() for match in re.finditer(r"[)\]},:]|$", code)]
        starts = [match.end() for match in re.finditer(r"[(\[{,=]\s*", code)]
        for place in [*ends, *reversed(starts)] if line.count(quote) % 2 else ():
            yield code[:place] + quote + code[place:], f"a {quote} is missing", True
