r"""`{{expression}}` in prompts: evaluated once, never expanded again.

Single braces, LaTeX and JSON stay as typed; `\{{` gives literal double braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from jupyter_llm.errors import InterpolationError

Evaluate = Callable[[str], Any]

_ESCAPED, _BRACES = "\\{{", "{{"
_OPEN = re.compile(r"\\?\{\{")
_MAX_CLOSINGS = 50  # number of `}}` tried as the end; longer expressions belong in a variable


def interpolate(text: str, evaluate: Evaluate) -> str:
    """Return the text with the value of each `{{expression}}` in its place.

    Raises `InterpolationError` if an expression is invalid Python or fails.
    """
    return _replaced(text, lambda source: _value(source, evaluate))


def shield(text: str) -> tuple[str, list[str]]:
    r"""Replace each `{{expression}}` by a mark without spaces or quotes; `unshield` undoes it.

    So an option's value may hold an expression with spaces and quotes. An escaped `\{{` is marked,
    too, before the option parser can consume its backslash.
    """
    sources: list[str] = []

    def mark(source: str) -> str:
        sources.append(source)
        return f"\x00{len(sources) - 1}\x00"

    return _replaced(text.replace("\x00", ""), mark), sources


def unshield(text: str, sources: list[str]) -> str:
    """Put the expressions back that `shield` replaced."""
    return re.sub(r"\x00(\d+)\x00", lambda mark: sources[int(mark[1])], text)


def before_values(text: str) -> str:
    """Return the text up to its first expression: the part that needs no code to run."""
    shielded, sources = shield(text)
    escapes = [_BRACES for _ in takewhile(_ESCAPED.__eq__, sources)]
    return unshield(shielded.partition(f"\x00{len(escapes)}\x00")[0], escapes)


def _replaced(text: str, put: Callable[[str], str]) -> str:
    """Replace each expression with its braces, and each escape, by `put(source)`."""
    parts: list[str] = []
    end = 0
    while opening := _OPEN.search(text, end):
        parts.append(text[end : opening.start()])
        source = opening[0] if opening[0] == _ESCAPED else _expression_at(text, opening.end())
        parts.append(_BRACES if source is None else put(source))
        end = opening.start() + len(source or _BRACES)
    return "".join([*parts, text[end:]])


def _expression_at(text: str, start: int) -> str | None:
    """Return the expression whose braces open before `start`, with braces, or None."""
    first: str | None = None
    closing = start - 1
    for _ in range(_MAX_CLOSINGS):
        closing = text.find("}}", closing + 1)
        if closing < 0:
            break
        source = text[start:closing]
        if not source.strip():
            return None
        first = first or f"{{{{{source}}}}}"
        if _is_expression(source):
            return f"{{{{{source}}}}}"
    return first


def _is_expression(source: str) -> bool:
    try:
        compile(source.strip(), "<prompt>", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _value(source: str, evaluate: Evaluate) -> str:
    if source == _ESCAPED:
        return _BRACES
    text: str = evaluated(source[2:-2].strip(), lambda expression: str(evaluate(expression)))
    return text


def evaluated(expression: str, evaluate: Evaluate) -> Any:
    """Return the value of an expression; raise `InterpolationError` with the reason if it fails."""
    try:
        return evaluate(expression)
    except SyntaxError as error:
        raise InterpolationError(
            expression, f"{error.msg}. For literal braces write \\{{{{."
        ) from error
    except Exception as error:
        # The expression is the user's own code: any failure of it is theirs to read.
        raise InterpolationError(expression, f"{type(error).__name__}: {error}") from error
