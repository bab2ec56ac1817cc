"""Single statements: whether one can be read by itself, and what a broken one may have meant."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence

from jupyter_llm.notebook.code.layout import Scanner
from jupyter_llm.notebook.code.syntax import PYTHON_MAGICS, split_cell_magic, to_python

_HEADER = re.compile(
    r"\s*(?:async\s+)?(?:if|elif|else|for|while|try|except|finally|with|def|class|match|case)\b"
)
_PRINT = re.compile(r"(\s*)print[ \t]+(?![=.,)\]])(.+)", re.DOTALL)
_TRAILING_CLOSER = re.compile(r"[)\]}](\s*:?\s*)$")
# What a part of a compound statement needs before it to be read alone.
_BEFORE = {
    "elif": "if 1:\n if 0: pass\n",
    "else": "if 1:\n if 0: pass\n",
    "except": "if 1:\n try: pass\n",
    "finally": "if 1:\n try: pass\n",
    "case": "match 0:\n",
}
_PROSE = (ast.Name, ast.expr_context, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)
_MOST_CLOSERS = 3  # brackets too many at the end of a statement


def parse(source: str) -> ast.Module:
    """The tree of a cell without a `%%magic`; anything may be raised for what is no code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(to_python(source))


def has_code(source: str) -> bool:
    """Tell whether a cell that can be read does anything; words that happen to be Python do not."""
    name, _, body = split_cell_magic(source)
    if name and name not in PYTHON_MAGICS:
        return True
    return not all(map(_is_idle, parse(body).body))


def _is_idle(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):  # "Note: important"
        return node.value is None
    if not isinstance(node, ast.Expr):
        return isinstance(node, ast.Pass)
    if isinstance(node.value, ast.Name):
        return node.value.id.istitle()  # "Sure", but not "df"
    is_text = isinstance(node.value, ast.Constant)
    return is_text or all(isinstance(part, _PROSE) for part in ast.walk(node.value))


def is_header(statement: str) -> bool:
    """Tell whether a statement begins a block."""
    last = statement.rstrip().rsplit("\n", 1)[-1]
    code = last.split("#", maxsplit=1)[0] if last.count("#") == 1 else last
    return code.rstrip().endswith(":") and _HEADER.match(statement) is not None


def stands_alone(statement: str) -> bool:
    """Tell whether a statement can be read, its context and its body aside."""
    text = statement.strip("\n")
    space = space_of(text) or " "
    if text.lstrip() == text:
        text = space + text
    word = re.split(r"\W", text.lstrip(), maxsplit=1)[0]
    before = _BEFORE.get(word, "if 1:\n")
    if is_header(text):
        text += f"\n{space}  " + ("case _: pass" if word == "match" else "pass")
        text += f"\n{space}finally: pass" if word == "try" else ""
    else:  # a decorator needs a function, and a comment a statement
        text += f"\n{space}def f(): pass"
    try:
        parse(before.replace("\n ", f"\n{space}") + text)
    except Exception:  # noqa: BLE001  whatever is raised: it is no code
        return False
    return True


def is_code_line(line: str) -> bool:
    """Tell whether a line is rather code than words that happen to be Python."""
    if not stands_alone(line):
        return False
    try:
        return has_code(line.strip())
    except SyntaxError:
        return True  # a part of a larger statement


def space_of(text: str) -> str:
    """What a text begins with before its first word."""
    return text[: len(text) - len(text.lstrip(" \t"))]


def meanings(lines: Sequence[str], place: int) -> Iterator[tuple[str, int, str]]:
    """Yield what a broken statement may have meant, the likeliest first, and the mend in words.

    The number tells how many of the lines it stands for. `place` is the index of the line where
    Python stumbled. Not all that is yielded can be read.
    """
    text = "\n".join(lines)
    count = len(lines)
    if _HEADER.match(text):
        yield f"{text.rstrip()}:", count, "added a missing colon"
    if list(closings(text)):
        # A bracket may be meant to close at the end of any line; the more it holds the better.
        for end in range(count, 0, -1):
            for closed in closings("\n".join(lines[:end]).rstrip()):
                yield closed, end, "closed what was left open"
    shorter = text
    for _ in range(_MOST_CLOSERS):
        shorter = _TRAILING_CLOSER.sub(r"\1", shorter)
        yield shorter, count, "left out closing brackets that nothing opens"
    if found := _PRINT.fullmatch(text):
        yield f"{found[1]}print({found[2]})", count, "put what is printed into brackets"
    if count > 1 and 0 <= place < count:
        commented = comment(lines[place])
        yield "\n".join([*lines[:place], commented, *lines[place + 1 :]]), count, "comment"


def closings(text: str) -> Iterator[str]:
    """Yield a text with its open string and brackets closed, before a colon at its end too."""
    scanner = Scanner()
    for line in text.split("\n"):
        scanner.feed(line)
    missing = (scanner.string or scanner.unclosed_quote) + "".join(reversed(scanner.closers))
    if missing and text.endswith(":"):
        yield f"{text[:-1]}{missing}:"
    if missing:
        gap = f"\n{space_of(text)}" if scanner.is_comment else ""
        yield text + gap + missing


def comment(line: str) -> str:
    """A line as a comment."""
    space = space_of(line)
    text = line[len(space) :]
    return line if not text or text.startswith("#") else f"{space}# {text}"
