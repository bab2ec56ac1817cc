"""What can be a cell: Python with IPython's magics. Nothing is run to find out."""

from __future__ import annotations

import ast
import re
import warnings

PYTHON_MAGICS = frozenset({"capture", "prun", "time", "timeit"})
"""The cell magics whose body is Python."""

_CELL_MAGIC = re.compile(r"(?:[ \t]*\n)*%%([A-Za-z_]\w*)(?:[ \t][^\n]*)?(?:\n|\Z)")
# Where this finds nothing, IPython leaves valid Python as it is. The last are what it takes for
# line ends, even in a string.
_IPYTHON = re.compile(
    r"^[ \t]*(?:[%!?]|[%\w.*\[\]-]+\?|>>>|In \[|\.{3,}:)|=[ \t]*[%!]"
    "|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
    re.MULTILINE,
)


def split_cell_magic(source: str) -> tuple[str, str, str]:
    """Return the name of a cell's `%%magic`, its line and what follows; name and line may be ""."""
    found = _CELL_MAGIC.match(source)
    if found is None:
        return "", "", source
    return found[1], found[0], source[found.end() :]


def to_python(source: str) -> str:
    """Return the Python that a cell without a `%%magic` stands for; raises anything if none."""
    if _IPYTHON.search(source) is None:
        return source
    from jupyter_llm.notebook.code.escapes import transform

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about line ends
        return transform(source)


def syntax_error(source: str) -> SyntaxError | None:
    """Return what is wrong with a cell, or None if Python and IPython can read it.

    Stricter than a parser: what only the compiler refuses, such as `return` outside a function, is
    wrong too. So is what IPython accepts and nobody means: "What is this?" asks it about `this`.
    The error's line counts from the cell's first one.
    """
    name, line, body = split_cell_magic(source)
    if not name:
        return _python_error(source)
    error = syntax_error(body) if name in PYTHON_MAGICS else None
    return _moved(error, line.count("\n"))


# IPython takes a prompt away, but only from the first two lines, and drops what is blank at the
# top, by its own idea of a line end. A comment above would change what the cell means.
_FRAGILE = re.compile("^[ \t]*\\.{3,}:|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", re.MULTILINE)


def _fragility(source: str) -> SyntaxError | None:
    """Return what makes a cell depend on nothing being put above it."""
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape is no error
            compile(python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return _moved(error, num_blank)
    except Exception as error:  # noqa: BLE001  a null byte, too deep a nest, IPython's own slips
        return SyntaxError(str(error) or type(error).__name__)
    return None


def _num_blank(source: str) -> int:
    """Count the blank lines at the top."""
    return source[: len(source) - len(source.lstrip())].count("\n")


def _moved(error: SyntaxError | None, num_lines: int) -> SyntaxError | None:
    if error is not None and error.lineno is not None:
        error.lineno += num_lines
    return error
