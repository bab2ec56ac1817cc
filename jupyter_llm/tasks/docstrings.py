"""Puts docstrings into code that stays otherwise as it was."""

from __future__ import annotations

import ast

from jupyter_llm.notebook.code.bindings import DEFINITIONS, Definition, first_line_of, segment
from jupyter_llm.notebook.code.statements import space_of
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
    first = node.body[0]
    has_one = ast.get_docstring(node, clean=False) is not None
    if first.lineno == _end_of_header(node):
        changed = _unfolded(lines, node, docstring, has_one=has_one)
    else:
        start = first_line_of(first)
        end = (first.end_lineno or start) if has_one else start - 1
        quoted = _quoted(docstring, space_of(lines[start - 1]))
        changed = [*lines[: start - 1], *quoted, *lines[end:]]
    result = "\n".join(changed)
    return result if _is_same_but_for_docstring(source, result) else source


def definition_of(source: str, name: str, like: str = "") -> Definition | None:
    """The definition of a name in some code; of several the one whose text is `like`."""
    tree = parse_cell(source)
    nodes = ast.walk(tree) if tree is not None else ()
    named = [node for node in nodes if isinstance(node, DEFINITIONS) and node.name == name]
    same = [node for node in named if segment(source, node).strip() == like.strip()]
    return next(iter((*same, *named)), None)


def _end_of_header(node: Definition) -> int:
    """The line the colon stands on, as far as it can be on the first statement's line."""
    parts = [node.lineno]
    for part in ast.iter_child_nodes(node):
        if part in node.body or part in node.decorator_list:
            continue
        parts.append(getattr(part, "end_lineno", None) or node.lineno)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        parts += [arg.end_lineno or 0 for arg in ast.walk(node.args) if isinstance(arg, ast.arg)]
    return max(parts)


def _unfolded(lines: list[str], node: Definition, docstring: str, *, has_one: bool) -> list[str]:
    """Lines with a body that stood behind the colon set on lines of its own."""
    first = node.body[0]
    row = first.lineno - 1
    line = lines[row]
    column = len(line.encode()[: first.col_offset].decode(errors="ignore"))
    indentation = space_of(lines[node.lineno - 1]) + "    "
    rest = node.body[1:] if has_one else node.body
    body = []
    if rest:
        at = len(line.encode()[: rest[0].col_offset].decode(errors="ignore"))
        body = [indentation + line[at:]]
    return [
        *lines[:row],
        line[:column].rstrip(),
        *_quoted(docstring, indentation),
        *body,
        *lines[row + 1 :],
    ]


def _quoted(docstring: str, indentation: str) -> list[str]:
    text = docstring.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').strip()
    lines = [f"{indentation}{line}".rstrip() for line in text.split("\n")]
    lines[0] = f'{indentation}"""{lines[0].lstrip()}'
    if len(lines) == 1:
        end = lines[0][:-1] + '\\"' if lines[0].endswith('"') and len(text) > 1 else lines[0]
        return [f'{end}"""']
    return [*lines, f'{indentation}"""']


def _is_same_but_for_docstring(before: str, after: str) -> bool:
    try:
        trees = [_Bare().visit(ast.parse(cell_python(source))) for source in (before, after)]
        return ast.dump(trees[0]) == ast.dump(trees[1])
    except (SyntaxError, RecursionError):
        return False


class _Bare(ast.NodeTransformer):
    """Takes all docstrings away."""

    def visit(self, node: ast.AST) -> ast.AST:
        """Visit a node and all in it."""
        self.generic_visit(node)
        if isinstance(node, DEFINITIONS) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return node
