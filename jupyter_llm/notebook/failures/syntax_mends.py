"""Mends of code that Python cannot read: brackets, quotes, colons, signs, keywords and indentation.

One thing is changed near the place where Python stopped, and what can be read then is yielded.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.notebook.failures.broken_cell import Broken, Mend, near

_MAX_READS = 250  # of the cell, with one thing changed
_MOST_CHANGED = 4  # lines that a repair may change
_TOKEN = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|\w+|\*\*|//|[-+*/<>=!]=|\S")
_KEYWORDS = [*keyword.kwlist, "print"]
_SIGNS = (
    (r"\belse\s+if\b", "elif", "`else if` is `elif` in Python"),
    (r"\belseif\b", "elif", "`elseif` is `elif` in Python"),
    (r"^(\s*)print\s+([^=(\s].*)$", r"\1print(\2)", "`print` is called with brackets"),
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
    seen: set[str] = set()
    reads = 0
    for source, reason, is_sure in _candidates(lines, row, error.offset or 0, message):
        if source in seen or source == broken.source:
            continue
        seen.add(source)
        reads += 1
        if reads > _MAX_READS:
            break
        if syntax_error(source) is None:
            yield Mend(source, reason, is_sure)
    yield from _repaired(broken, lines)


def _candidates(
    lines: list[str], row: int, column: int, message: str
) -> Iterator[tuple[str, str, bool]]:
    """Yield the cell with one thing changed, the likeliest first; not all of it can be read."""
    line = lines[row]

    def cell(new: str, at: int = row) -> str:
        return "\n".join([*lines[:at], new, *lines[at + 1 :]])

    if "expected ':'" in message or re.match(
        r"\s*(?:if|elif|else|for|while|def|class|with|try)\b", line
    ):
        code = line.rstrip()
        yield cell(f"{code}:"), "a colon is missing", True
        yield cell(re.sub(r"\s*(#.*)$", r":  \1", code)), "a colon is missing", True
    yield from _indented(lines, row, message)
    yield from ((cell(new), reason, True) for new, reason in _quoted(line))
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
        known = {one.lower(): one for one in _KEYWORDS}
        others = [known[word.lower()]] if word.lower() in known else []
        others += [one for one, _ in near(word, _KEYWORDS, 2)]
        for other in others:
            new = line[: found.start()] + other + line[found.end() :]
            yield cell(new), f"`{word}` is no keyword; near it is `{other}`", True
    if loop := re.match(r"(\s*)for\s+(\w+)\s+(\w+)\s+(.*)", line):
        yield cell(f"{loop[1]}for {loop[2]} in {loop[4]}"), "a loop says `in`", True
    rows = [row, *([row - 1] if row else [])]
    for at in rows:
        yield from _with_sign(lines, at, column if at == row else len(lines[at]), message)


def _indented(lines: list[str], row: int, message: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the cell with a line, or a run of lines, indented as others are."""
    if not re.search("indent|outside function|outside loop|inside function", message):
        return
    line = lines[row]
    before = [one for one in lines[:row] if one.strip()]
    depths = list(dict.fromkeys(len(one) - len(one.lstrip()) for one in reversed(before)))
    if before and before[-1].rstrip().endswith(":"):
        depths.insert(0, depths[0] + 4)
    elif "outside function" in message:
        depths.insert(0, 4)
    reason = "the indentation does not fit the lines before"
    own = len(line) - len(line.lstrip())
    end = row + 1
    while end < len(lines) and (
        not lines[end].strip() or lines[end].startswith(line[:own] or "\0")
    ):
        end += 1
    for depth in depths or [0]:
        for last in dict.fromkeys((row + 1, end)):
            moved = [
                " " * max(len(one) - len(one.lstrip()) + depth - own, 0) + one.lstrip()
                for one in lines[row:last]
            ]
            yield "\n".join([*lines[:row], *moved, *lines[last:]]), reason, True


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
        if not re.match(r"\w|['\"]", found[0]):
            new = code[: found.start()] + line[found.end() :]
            yield (
                "\n".join([*lines[:row], new, *lines[row + 1 :]]),
                f"a `{found[0]}` is too many",
                True,
            )


def _repaired(broken: Broken, lines: list[str]) -> Iterator[Mend]:
    """Mend by the repair of what models write, where that changes little and drops nothing."""
    repaired = repair(broken.source)
    words = "; ".join(repaired.changes)
    after = repaired.source.split("\n")
    changed = [one for one in after if one not in lines]
    is_small = len(changed) <= _MOST_CHANGED or re.search(
        "indent|tabs|characters|fences|prompts", words
    )
    if repaired.has_code and "comment" not in words and "left out" not in words and is_small:
        yield Mend(repaired.source, words, is_sure=True)
