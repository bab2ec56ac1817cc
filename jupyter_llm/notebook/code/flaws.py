"""What is wrong with code as far as rules find it: pyflakes' and our own. Runs nothing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jupyter_llm.notebook.code.flaw_rules import broken_rules
from jupyter_llm.notebook.code.names import unknown_names
from jupyter_llm.notebook.code.syntax import parse_cell, syntax_error

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

Sureness = Literal["certain", "likely", "possible"]
"""How sure it is that something is wrong and not merely unusual."""

_RANK: dict[Sureness, int] = {"certain": 0, "likely": 1, "possible": 2}
# Later cells may use what a cell binds, and what a star import brings. A cell may await.
_NOT_IN_CELLS = frozenset(
    {
        *("UnusedImport", "ImportStarUsed", "ImportStarUsage", "UnusedAnnotation"),
        *("YieldOutsideFunction", "FStringMissingPlaceholders"),
    }
)
_CERTAIN = frozenset(
    {
        *("UndefinedName", "UndefinedLocal", "IsLiteral", "IfTuple", "AssertTuple"),
        *("DuplicateArgument", "ReturnOutsideFunction", "BreakOutsideLoop", "ContinueOutsideLoop"),
        *("RaiseNotImplemented", "MultiValueRepeatedKeyLiteral", "StringDotFormatMissingArgument"),
        *("PercentFormatPositionalCountMismatch", "PercentFormatMissingArgument"),
    }
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong with a line, counted from 1: what, and why that is wrong."""

    line: int
    what: str
    sureness: Sureness = "likely"


def flaws_in(source: str, namespace: Container[str] = ()) -> tuple[Flaw, ...]:
    """What rules find in a cell or a function, by line, of a line the surest first.

    Names of the namespace are defined. Of code that cannot be read it is the place where that ends.
    """
    if (error := syntax_error(source)) is not None:
        return (Flaw(error.lineno or 1, f"Python cannot read it: {error.msg}", "certain"),)
    tree = parse_cell(source)
    if tree is None:
        return ()
    try:
        broken = [Flaw(line, what, sure) for line, what, sure in broken_rules(tree)]
        found = [*_of_pyflakes(tree, source, namespace), *broken]
    except RecursionError:  # a chain of hundreds of operators
        return ()
    by_place = {(flaw.line, flaw.what): flaw for flaw in found}
    return tuple(sorted(by_place.values(), key=lambda flaw: (flaw.line, _RANK[flaw.sureness])))


def _of_pyflakes(tree: ast.Module, source: str, namespace: Container[str]) -> Iterator[Flaw]:
    from pyflakes.checker import Checker

    unknown = unknown_names(source, namespace)
    tops = {node.lineno for node in tree.body}
    for message in Checker(tree, withDoctest=False).messages:
        kind = type(message).__name__
        text = message.message % message.message_args
        if kind == "UndefinedName" and message.message_args[0] not in unknown:
            continue
        if kind in _NOT_IN_CELLS and message.lineno in tops:
            continue
        yield Flaw(message.lineno, _quoted(text), "certain" if kind in _CERTAIN else "likely")


def _quoted(text: str) -> str:
    """A message of pyflakes' with its names as code."""
    parts = text.split("'")
    if len(parts) % 2 == 0:
        return text
    return "".join(f"`{part}`" if n % 2 else part for n, part in enumerate(parts))
