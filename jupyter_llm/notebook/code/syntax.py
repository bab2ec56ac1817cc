"""Parses cells as Python. Nothing is run.

There are two ways to read a cell, and only this module has both. A cell that ran is valid, so
`cell_python` extracts as much Python as it can. A model's text may be prose, so `syntax_error`
accepts only code that both IPython and people would read as code.
"""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache

from jupyter_llm.notebook.code.layout import layout, space_of

PYTHON_MAGICS = frozenset({"capture", "memit", "mprun", "prun", "snakeviz", "time", "timeit"})
"""The cell magics whose body is Python that runs in the notebook's own namespace."""

_MAX_SOURCE = 500_000  # characters; parsing more takes too long
# Lines with a name or a statement beside IPython's own syntax.
_OPTION = r"-(?:s[ \t]+)?\S+[ \t]+(?:\d+[ \t]+)?"
_TIMED = re.compile(rf"(?m)^([ \t]*)%(?:time|timeit|prun|memit)[ \t]+(?:{_OPTION})*")
_HELP = re.compile(r"(?m)^([ \t]*[^\W\d][\w.]*)\?\??[ \t]*$")
_ESCAPED_LINE = re.compile(r"(?m)^([ \t]*)[%!?].*$")
_CONTINUED = re.compile(r"(?m)^[ \t]*(?:[\w.]+[ \t]*=[ \t]*)?[%!](?:.*\\\n)+.*$")

_CELL_MAGIC = re.compile(r"(?:[ \t]*\n)*%%([A-Za-z_]\w*)(?:[ \t][^\n]*)?(?:\n|\Z)")
# Without a match, IPython does not change valid Python. Continuation lines may match needlessly:
# Python's tokenizer, up to 3.11, counts their indentation, and the compiler does not. The last are
# IPython's line ends, even inside a string.
_IPYTHON = re.compile(
    r"^[ \t]*(?:[%!?]|[%\w.*\[\]-]+\?|>>>|In \[|\.{3,}:|\\$)|=[ \t]*[%!]"
    "|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    re.MULTILINE,
)


def split_cell_magic(source: str) -> tuple[str, str, str]:
    """Return the name of a cell's `%%magic`, its line, and the rest; name and line may be ""."""
    magic = _CELL_MAGIC.match(source)
    if magic is None:
        return "", "", source
    return magic[1], magic[0], source[magic.end() :]


@lru_cache(maxsize=256)
def parse_python(source: str) -> ast.Module | None:
    """Return the syntax tree of Python source; None if it is invalid or too long."""
    if len(source) > _MAX_SOURCE:
        return None
    with warnings.catch_warnings(action="ignore"):  # about escapes: the user's own run reports them
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parse_cell(source: str) -> ast.Module | None:
    """Return the syntax tree of a cell as typed, magics allowed; None if it has none."""
    return parse_python(cell_python(source))


@lru_cache(maxsize=512)
def cell_python(source: str) -> str:
    """Return a cell that ran as Python with the same line numbers.

    For a cell magic such as `%%time` it is the body; for another language, such as `%%bash`, it is
    blank. The statement after `%time` is included, and so is the name in `name?`.
    """
    name, line, body = split_cell_magic(source)
    if name:
        return "\n" * line.count("\n") + (cell_python(body) if name in PYTHON_MAGICS else "")
    source = _CONTINUED.sub(_on_one_line, source)
    named = _HELP.sub(r"\1", _TIMED.sub(r"\1", source))
    for text in (named, source):
        compiled = transform(text)
        if compiled is not None and parse_python(compiled) is not None:
            return "\n" * _num_blank(text) + compiled  # IPython drops blank lines at the top
    # One line that IPython cannot transform must not hide the others.
    return _ESCAPED_LINE.sub(r"\1pass", named)


def _on_one_line(magic: re.Match[str]) -> str:
    """Return a continued line as IPython joins it, with the lines that this takes away after it."""
    return magic[0].replace("\\\n", "") + "\n" * magic[0].count("\n")


def transform(source: str) -> str | None:
    """Return the code that IPython compiles for a cell, magics as calls; None if it refuses it."""
    try:
        return _transformed(source)
    except Exception:  # noqa: BLE001 IPython's transformer has bugs
        return None


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    with warnings.catch_warnings(action="ignore"):  # about escapes and line ends
        return str(TransformerManager().transform_cell(source))


# IPython reads `,word`, `;word` and `/word` as calls, a line that begins with `!` as a command, and
# one that ends with `?` as a help request. In a model's text those are lists, images or sentences,
# unless they cannot be prose.
_IPYTHON_ONLY = re.compile(r"[ \t]*(?:[%!?,;/]|[^\s#].*\?\s*$)")
_IS_COMMAND = re.compile(
    r"[ \t]*(?:%[A-Za-z_][\w.]*(?=\s|$)|!!?\s*[a-z./~${]|\?\??\s*[\w.*]+\s*$"
    r"|%{0,2}(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?\d+\])*\?\??\s*$)"
)
_NO_PYTHON = "0 0"


def to_python(source: str) -> str:
    """Return the Python that IPython makes of a cell without `%%magic`; raises any error if none.

    Prose that IPython would read as a command is invalid.
    """
    if _IPYTHON.search(source) is None:
        return source
    lines = [
        f"{space_of(line.text)}{_NO_PYTHON}"
        if line.is_start and _IPYTHON_ONLY.match(line.text) and not _IS_COMMAND.match(line.text)
        else line.text
        for line in layout(source)
    ]
    return _transformed("\n".join(lines))


def syntax_error(source: str) -> SyntaxError | None:
    """Return the syntax error of a cell, None if Python and IPython can read it.

    This is stricter than a parser. Errors of the compiler count, such as `return` outside a
    function. So does text that IPython accepts and nobody intends: "What is this?" asks it for help
    on `this`. Line numbers count from the cell's first line.
    """
    name, line, body = split_cell_magic(source)
    if not name:
        return _python_error(source)
    error = syntax_error(body) if name in PYTHON_MAGICS else None
    return _moved(error, line.count("\n"))


_PROSE = (ast.Name, ast.expr_context, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)


def has_code(source: str) -> bool:
    """Whether a valid cell does anything; words that happen to be valid Python do not count."""
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


# IPython removes a prompt only from the first two lines, and drops blank lines at the top by its
# own line ends. So a comment above would change the cell's meaning.
_FRAGILE = re.compile("^[ \t]*\\.{3,}:|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", re.MULTILINE)


def _fragility(source: str) -> SyntaxError | None:
    """Return an error for a cell whose meaning would change if a line was put above it."""
    if (fragile := _FRAGILE.search(source)) is not None:
        line = source.count("\n", 0, fragile.start()) + 1
        return SyntaxError("a prompt, or an odd character", ("<cell>", line, 1, None))
    # IPython removes indentation that all lines share.
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
        if python is not source:  # IPython drops blank lines at the top
            num_blank = _num_blank(source) - _num_blank(python)
        with warnings.catch_warnings(action="ignore"):  # an invalid escape only warns
            compile(python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return _moved(error, num_blank)
    except Exception as error:  # noqa: BLE001 null bytes, deep nesting, IPython's bugs
        return SyntaxError(str(error) or type(error).__name__)
    return None


def _num_blank(source: str) -> int:
    """Return the number of blank lines at the top."""
    return source[: len(source) - len(source.lstrip())].count("\n")


def _moved(error: SyntaxError | None, num_lines: int) -> SyntaxError | None:
    if error is not None and error.lineno is not None:
        error.lineno += num_lines
    return error
