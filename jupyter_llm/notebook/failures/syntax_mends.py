"""Mends of code that Python cannot read: quotes, signs, keywords, and what `repair` knows of.

One thing is changed near the place where Python stopped, and what can be read then is yielded.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from jupyter_llm.common.nearest import near
from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.notebook.failures.broken_cell import Broken, Mend

_MAX_READS = 250  # of the cell, with one thing changed
_TOKEN = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|\w+|\*\*|//|[-+*/<>=!]=|\S")
_KEYWORDS = [*keyword.kwlist, "print"]
_SIGNS = (
    (r"\belse\s+if\b", "elif", "`else if` is `elif` in Python"),
    (r"\belseif\b", "elif", "`elseif` is `elif` in Python"),
    (r"&&", "and", "`&&` is `and` in Python"),
    (r"\|\|", "or", "`||` is `or` in Python"),
    (r"!(?=[\w(])", "not ", "`!` is `not` in Python"),
    (r"(\w+)\+\+", r"\1 += 1", "`++` is `+= 1` in Python"),
    (r"(\w+)--", r"\1 -= 1", "`--` is `-= 1` in Python"),
    (r"<>", "!=", "`<>` is `!=` in Python"),
    (r"=>", ">=", "`=>` is `>=` in Python"),
    (r"=<", "<=", "`=<` is `<=` in Python"),
    (r"=\s+=", "==", "`= =` is `==`"),
    (r"(?<![=!<>:])=(?!=)", "==", "`==` compares, `=` assigns"),
    (r"(?<![\w.])(\d+)([A-Za-z_]\w*)", r"\1 * \2", "a `*` is missing"),
    (r"(?<![\w.])0+(\d)", r"\1", "a number begins with no 0"),
    (r"^(\s*)(?:let|var|const)\s+", r"\1", "Python declares no variables"),
    (r"^(\s*)(?:function|func|fn|define)\s+", r"\1def ", "a function begins with `def`"),
    (r"^(\s*.*?);\s*$", r"\1", "a `;` is too many"),
    (r"\bnull\b", "None", "`null` is `None` in Python"),
)


def syntax(broken: Broken) -> Iterator[Mend]:
    """Mends of a cell that is no Python."""
    error = syntax_error(broken.source)
    if error is None:
        return
    lines = broken.source.split("\n")
    row = min(max((error.lineno or broken.line or len(lines)) - 1, 0), len(lines) - 1)
    message = str(error.msg)
    seen = {broken.source}
    for source, reason, is_sure in _candidates(lines, row, error.offset or 0, message):
        if source not in seen and syntax_error(source) is None:
            yield Mend(source, reason, is_sure)
        seen.add(source)
        if len(seen) > _MAX_READS:
            return


def _candidates(
    lines: list[str], row: int, column: int, message: str
) -> Iterator[tuple[str, str, bool]]:
    """Yield the cell with one thing changed, the likeliest first; not all of it can be read."""
    line = lines[row]

    def cell(new: str, at: int = row) -> str:
        return "\n".join([*lines[:at], new, *lines[at + 1 :]])

    yield from ((cell(new), reason, True) for new, reason in _quoted(line))
    if "expected ':'" in message:
        yield cell(re.sub(r"\s*(#.*)$", r":  \1", line)), "a colon is missing", True
    yield from _repaired(lines)
    wants_sign = "'=='" in message or "expression" in message
    for pattern, sign, reason in _SIGNS:
        if sign == "==" and "= =" not in line and not wants_sign:
            continue
        for found in re.finditer(pattern, line):
            new = line[: found.start()] + found.expand(sign) + line[found.end() :]
            yield cell(new), reason, True
    for found in re.finditer(r"[^\W\d]\w*", line):
        word = found[0]
        if word in _KEYWORDS:
            continue
        for other, _ in near(word, _KEYWORDS):
            new = line[: found.start()] + other + line[found.end() :]
            yield cell(new), f"`{word}` is no keyword; near it is `{other}`", True
    if loop := re.match(r"(\s*)for\s+(\w+)\s+(\w+)\s+(.*)", line):
        yield cell(f"{loop[1]}for {loop[2]} in {loop[4]}"), "a loop says `in`", True
    rows = [row, *([row - 1] if row else [])]
    for at in rows:
        yield from _with_sign(lines, at, column if at == row else len(lines[at]), message)


def _quoted(line: str) -> Iterator[tuple[str, str]]:
    """Yield a line with a quote at the other end of a text."""
    found = re.search(r"'([^'\"\n]*)'(\w[^'\"\n]*)'", line)
    if found:
        new = f'"{found[1]}\'{found[2]}"'
        yield line[: found.start()] + new + line[found.end() :], "an apostrophe ended the text"
    for quote, other in (("'", '"'), ('"', "'")):
        if line.count(quote) % 2 == 0:
            continue
        reason = f"a {quote} is missing"
        if line.count(other) % 2:
            at = max(line.rfind(quote), line.rfind(other))
            first = line[min(line.find(quote) % 10**6, line.find(other) % 10**6)]
            yield line[:at] + first + line[at + 1 :], "the text ends with another quote"
        code = line.rstrip()
        ends = [found.start() for found in re.finditer(r"[)\]},: ]*$", code)]
        places = [
            *range(ends[0], len(code) + 1),
            *(m.start() for m in re.finditer(r"[)\],:]", code)),
        ]
        yield from ((code[:place] + quote + code[place:], reason) for place in places)
        starts = [m.end() for m in re.finditer(r"[(\[{,=]\s*", code)]
        yield from ((code[:place] + quote + code[place:], reason) for place in reversed(starts))


def _with_sign(
    lines: list[str], row: int, column: int, message: str
) -> Iterator[tuple[str, str, bool]]:
    """Yield the cell with a sign more or less in a line, those nearest to a column first."""
    line = lines[row]
    code = line.split("#", maxsplit=1)[0].rstrip() if line.count("#") == 1 else line.rstrip()
    tokens = list(_TOKEN.finditer(code))
    ends = sorted({found.end() for found in tokens}, key=lambda place: abs(place - column))
    signs: tuple[str, ...] = (",", ")", "]", "}", ":", "(", "[", "{")
    if "never closed" in message or "EOF" in message or "does not match" in message:
        ends = sorted(ends, reverse=True)
        signs = (")", "]", "}", "),", ")]", "])", "))")
    elif "comma" not in message and "'{'" in message:
        signs = ("}", ":", ",")
    for sign in signs:
        for place in ends:
            new = code[:place] + sign + line[place:]
            said = "comma" if sign == "," else "colon" if sign == ":" else f"`{sign}`"
            before = "\n".join([*lines[:row], line[:place]])
            if sign == ":" and not re.search(r"[\[{]", before):
                continue  # it would be an annotation
            # Behind a word that is misspelled a comma can be read, but was not meant.
            is_inside = sign == "," and re.search(r"[(\[{]", before) is not None
            is_sure = sign == ":" or is_inside or place == len(code) or "closed" in message
            yield "\n".join([*lines[:row], new, *lines[row + 1 :]]), f"a {said} is missing", is_sure
    for found in sorted(tokens, key=lambda token: abs(token.start() - column + 1)):
        if found[0] in ")]},:":  # an operator less would be a guess
            new = code[: found.start()] + line[found.end() :]
            yield (
                "\n".join([*lines[:row], new, *lines[row + 1 :]]),
                f"a `{found[0]}` is too many",
                True,
            )


def _repaired(lines: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the cell by the repair of what models write, where that makes up and drops nothing."""
    source = "\n".join(lines).rstrip()
    repaired = repair(source)
    words = "; ".join(repaired.changes)
    if repaired.source.startswith(source) and (signs := repaired.source[len(source) :].strip()):
        words = f"a `{signs}` is missing"  # at the end, where all can see it
    if repaired.has_code and not re.search("comment|left out|`pass`|an end", words):
        yield repaired.source, words, True
