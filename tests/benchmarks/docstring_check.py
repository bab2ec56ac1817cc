"""What is wrong with a NumPy docstring, as far as its structure and the signature tell."""

from __future__ import annotations

import ast
import re

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}[ ]*$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)\s*(?::.*)?$")
_KNOWN = {
    *("Parameters", "Returns", "Yields", "Raises", "Other Parameters", "Warns", "See Also"),
    *("Notes", "References", "Examples", "Attributes", "Methods", "Receives", "Warnings"),
}


def docstring_faults(source: str, name: str, *, before: str) -> list[str]:
    """What is wrong with the docstring of a function in some code; nothing of a valid one.

    `before` is the code without it, which must not have changed otherwise.
    """
    function = _function(source, name)
    if function is None:
        return ["there is no function of that name"]
    docstring = ast.get_docstring(function)
    if not docstring:
        return ["there is no docstring"]
    faults = []
    if _bare(source) != _bare(before):
        faults.append("the code has changed")
    sections = _sections(docstring)
    summary = docstring.partition("\n")[0].strip()
    if not summary or set(summary) <= set("-=") or summary in _KNOWN:
        faults.append("there is no summary")
    faults += [f"{each!r} is no section" for each in sections if each not in _KNOWN]
    given = _entries(sections.get("Parameters", ""))
    wanted = [arg.lstrip("*") for arg in _arguments(function)]
    if [each.lstrip("*") for each in given] != wanted:
        faults.append(f"parameters are {', '.join(given) or 'none'}, not {', '.join(wanted)}")
    if _returns(function) != bool({"Returns", "Yields"} & set(sections)):
        faults.append("Returns does not fit what it returns")
    if any(not body.strip() for body in sections.values()):
        faults.append("a section is empty")
    return faults


def _function(source: str, name: str) -> ast.FunctionDef | None:
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return None
    named = (node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == name)
    return next(named, None)


def _sections(docstring: str) -> dict[str, str]:
    """The text below each heading."""
    parts = _SECTION.split(docstring)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _entries(section: str) -> list[str]:
    """The names that a section describes: lines that are not indented."""
    names: list[str] = []
    for line in section.split("\n"):
        if line and not line[0].isspace() and (found := _ENTRY.match(line)):
            names += [name.strip() for name in found[1].split(",")]
    return names


def _arguments(function: ast.FunctionDef) -> list[str]:
    args = function.args
    all_args = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [arg.arg for arg in all_args if arg is not None and arg.arg not in ("self", "cls")]


def _returns(function: ast.FunctionDef) -> bool:
    """Whether it gives a value back; what functions inside of it return does not count."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Return) and node.value is not None:
            is_none = isinstance(node.value, ast.Constant) and node.value.value is None
            if not is_none:
                return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return False


def _bare(source: str) -> str:
    """Code as a tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
