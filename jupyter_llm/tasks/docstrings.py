"""Puts docstrings into code that stays otherwise as it was."""

from __future__ import annotations

import ast

from jupyter_llm.notebook.code.bindings import DEFINITIONS, Definition, first_line_of, segment
from jupyter_llm.notebook.code.layout import space_of
from jupyter_llm.notebook.code.syntax import cell_python, parse_cell


def with_docstring(source: str, name: str, docstring: str, *, like: str = "") -> str:
    """Code with a docstring in the definition of a name, in place of one that was there.

    Of several definitions of that name it is the one whose text is `like`. All other lines stay as
    they are, magics too; where that cannot be, the code comes back unchanged.
    """
    node = definition_of(source, name, like)
    if node is None:
        return source
    lines = source.split("\n")
    has_one = ast.get_docstring(node, clean=False) is not None
    first, rest = node.body[0], node.body[has_one:]
    row = first_line_of(first) - 1
    head = _until(lines[row], first)
    if head.strip():  # the body stands behind the colon
        space = space_of(lines[node.lineno - 1]) + "    "
        body = [space + lines[row].removeprefix(_until(lines[row], rest[0]))] if rest else []
        quoted = [head.rstrip(), *_quoted(docstring, space), *body]
        end = row + 1
    else:
        quoted = _quoted(docstring, space_of(lines[row]))
        end = (first.end_lineno or row) if has_one else row
    result = "\n".join([*lines[:row], *quoted, *lines[end:]])
    return result if _without_docstrings(source) == _without_docstrings(result) else source


def definition_of(source: str, name: str, like: str = "") -> Definition | None:
    """The definition of a name in some code; of several the one whose text is `like`."""
    tree = parse_cell(source)
    nodes = ast.walk(tree) if tree is not None else ()
    named = [node for node in nodes if isinstance(node, DEFINITIONS) and node.name == name]
    same = [node for node in named if segment(source, node).strip() == like.strip()]
    return next(iter((*same, *named)), None)


def _until(line: str, statement: ast.stmt) -> str:
    """What a line has before a statement that begins on it."""
    return line.encode()[: statement.col_offset].decode(errors="ignore")


def _quoted(docstring: str, indentation: str) -> list[str]:
    text = docstring.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').strip()
    lines = [f"{indentation}{line}".rstrip() for line in text.split("\n")]
    lines[0] = f'{indentation}"""{lines[0].lstrip()}'
    if len(lines) == 1:
        end = lines[0][:-1] + '\\"' if lines[0].endswith('"') and len(text) > 1 else lines[0]
        return [f'{end}"""']
    return [*lines, f'{indentation}"""']


def _without_docstrings(source: str) -> str:
    """What code does, in a form that can be compared."""
    try:
        tree = ast.parse(cell_python(source))
        for node in ast.walk(tree):
            if isinstance(node, DEFINITIONS) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        return ast.dump(tree)
    except (SyntaxError, RecursionError):
        return source
