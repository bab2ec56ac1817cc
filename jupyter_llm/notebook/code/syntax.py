"""Cells as Python: what can be one, and what one says. Nothing is run to find out.

There are two ways to read a cell, and this is the only place that knows either. What ran in a
notebook is one, so `cell_python` makes the most of it. Of what a model wrote that is the question,
and `syntax_error` takes only what IPython and people alike would read as code.
"""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache

from jupyter_llm.notebook.code.layout import layout, space_of

PYTHON_MAGICS = frozenset({"capture", "memit", "mprun", "prun", "snakeviz", "time", "timeit"})
"""The cell magics whose body is Python that runs in the notebook's own namespace."""

_MAX_SOURCE = 500_000  # characters; parsing more takes longer than anybody waits
# Lines with a name or a statement behind what only IPython reads.
_OPTION = r"-(?:s[ \t]+)?\S+[ \t]+(?:\d+[ \t]+)?"
_TIMED = re.compile(rf"(?m)^([ \t]*)%(?:time|timeit|prun|memit)[ \t]+(?:{_OPTION})*")
_HELP = re.compile(r"(?m)^([ \t]*[^\W\d][\w.]*)\?\??[ \t]*$")
_ESCAPED_LINE = re.compile(r"(?m)^([ \t]*)[%!?].*$")

_CELL_MAGIC = re.compile(r"(?:[ \t]*\n)*%%([A-Za-z_]\w*)(?:[ \t][^\n]*)?(?:\n|\Z)")
# Where this finds nothing, IPython leaves valid Python as it is. A line that only goes on may be
# refused: Python's own tokenizer, up to 3.11, counts its indentation and the compiler does not. The
# last are what it takes for line ends, even in a string.
_IPYTHON = re.compile(
    r"^[ \t]*(?:[%!?]|[%\w.*\[\]-]+\?|>>>|In \[|\.{3,}:|\\$)|=[ \t]*[%!]"
    "|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    re.MULTILINE,
)


def split_cell_magic(source: str) -> tuple[str, str, str]:
    """The name of a cell's `%%magic`, its line and what follows; name and line may be ""."""
    found = _CELL_MAGIC.match(source)
    if found is None:
        return "", "", source
    return found[1], found[0], source[found.end() :]


@lru_cache(maxsize=256)
def parse_python(source: str) -> ast.Module | None:
    """The syntax tree of Python source, or None if it is none, or too long to be read."""
    if len(source) > _MAX_SOURCE:
        return None
    with warnings.catch_warnings(action="ignore"):  # of escapes: they are the user's to hear of
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parse_cell(source: str) -> ast.Module | None:
    """The syntax tree of a cell as typed, magics allowed, or None if it has none."""
    return parse_python(cell_python(source))


@lru_cache(maxsize=512)
def cell_python(source: str) -> str:
    """A cell that ran as Python whose lines stand where they stand in the cell.

    Of a cell magic such as `%%time` it is the body; one with another language, such as `%%bash`, is
    blank. What `%time` measures counts, and so does the name in `name?`.
    """
    name, line, body = split_cell_magic(source)
    if name:
        return "\n" * line.count("\n") + (cell_python(body) if name in PYTHON_MAGICS else "")
    named = _HELP.sub(r"\1", _TIMED.sub(r"\1", source))
    for text in (named, source):
        compiled = transform(text)
        if compiled is not None and parse_python(compiled) is not None:
            return "\n" * _num_blank(text) + compiled  # IPython takes away what is blank at the top
    # A line that IPython cannot transform must not hide all others.
    return _ESCAPED_LINE.sub(r"\1pass", named)


def transform(source: str) -> str | None:
    """What IPython compiles of a cell, magics turned into calls; None where it refuses it."""
    try:
        return _transformed(source)
    except Exception:  # noqa: BLE001  the cell may be anything, and IPython makes slips
        return None


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    with warnings.catch_warnings(action="ignore"):  # about escapes and line ends
        return str(TransformerManager().transform_cell(source))


# IPython takes `,word`, `;word` and `/word` for calls, any line that begins with `!` for a command,
# and any that ends with `?` for a question about its last word. In what a model writes those are a
# list, an image or a sentence, unless nobody would take them for prose.
_TAKEN = re.compile(r"[ \t]*(?:[%!?,;/]|[^\s#].*\?\s*$)")
_MEANT = re.compile(
    r"[ \t]*(?:%[A-Za-z_][\w.]*(?=\s|$)|!!?\s*[a-z./~${]|\?\??\s*[\w.*]+\s*$"
    r"|%{0,2}(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?\d+\])*\?\??\s*$)"
)
_NO_PYTHON = "0 0"


def to_python(source: str) -> str:
    """The Python that a cell without a `%%magic` stands for; raises anything if none.

    Prose that IPython would take for a command is no Python.
    """
    if _IPYTHON.search(source) is None:
        return source
    lines = [
        f"{space_of(line.text)}{_NO_PYTHON}"
        if line.is_start and _TAKEN.match(line.text) and not _MEANT.match(line.text)
        else line.text
        for line in layout(source)
    ]
    return _transformed("\n".join(lines))


def syntax_error(source: str) -> SyntaxError | None:
    """What is wrong with a cell, or None if Python and IPython can read it.

    Stricter than a parser: what only the compiler refuses, such as `return` outside a function, is
    wrong too. So is what IPython accepts and nobody means: "What is this?" asks it about `this`.
    The error's line counts from the cell's first one.
    """
    name, line, body = split_cell_magic(source)
    if not name:
        return _python_error(source)
    error = syntax_error(body) if name in PYTHON_MAGICS else None
    return _moved(error, line.count("\n"))


_PROSE = (ast.Name, ast.expr_context, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)


def has_code(source: str) -> bool:
    """Tell whether a cell that can be read does anything; words that happen to be Python do not."""
    name, _, body = split_cell_magic(source)
    if name and name not in PYTHON_MAGICS:
        return True
    with warnings.catch_warnings(action="ignore"):
        return not all(map(_is_idle, ast.parse(to_python(body)).body))


def _is_idle(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):  # "Note: important"
        return node.value is None
    if not isinstance(node, ast.Expr):
        return isinstance(node, ast.Pass)
    if isinstance(node.value, ast.Name):
        return node.value.id.istitle()  # "Sure", but not "df"
    is_text = isinstance(node.value, ast.Constant)
    return is_text or all(isinstance(part, _PROSE) for part in ast.walk(node.value))


# IPython takes a prompt away, but only from the first two lines, and drops what is blank at the
# top, by its own idea of a line end. A comment above would change what the cell means.
_FRAGILE = re.compile("^[ \t]*\\.{3,}:|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", re.MULTILINE)


def _fragility(source: str) -> SyntaxError | None:
    """What makes a cell depend on nothing being put above it."""
    if (found := _FRAGILE.search(source)) is not None:
        line = source.count("\n", 0, found.start()) + 1
        return SyntaxError("a prompt, or an odd character", ("<cell>", line, 1, None))
    # IPython takes off what all lines are indented.
    lines = [line for line in source.split("\n") if line.strip()]
    is_code = any(not line.lstrip().startswith("#") for line in lines)
    if is_code and all(line[0] in " \t" for line in lines):
        return IndentationError("unexpected indent", ("<cell>", _num_blank(source) + 1, 1, None))
    return None


def _python_error(source: str) -> SyntaxError | None:
    if (error := _fragility(source)) is not None:
        return error
    num_blank = 0
    try:
        python = to_python(source)
        if python is not source:  # IPython leaves out what is blank at the top
            num_blank = _num_blank(source) - _num_blank(python)
        with warnings.catch_warnings(action="ignore"):  # a doubtful escape is no error
            compile(python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return _moved(error, num_blank)
    except Exception as error:  # noqa: BLE001  a null byte, too deep a nest, IPython's own slips
        return SyntaxError(str(error) or type(error).__name__)
    return None


def _num_blank(source: str) -> int:
    """How many blank lines are at the top."""
    return source[: len(source) - len(source.lstrip())].count("\n")


def _moved(error: SyntaxError | None, num_lines: int) -> SyntaxError | None:
    if error is not None and error.lineno is not None:
        error.lineno += num_lines
    return error
