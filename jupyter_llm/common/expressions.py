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
_MAX_CLOSINGS = 50  # how many `}}` are tried as the end; a longer expression belongs in a variable


def interpolate(text: str, evaluate: Evaluate) -> str:
    """The text with the value of each `{{expression}}` in its place.

    Raises `InterpolationError` if an expression is no Python, or failed.
    """
    return _replaced(text, lambda source: _value(source, evaluate))


def shield(text: str) -> tuple[str, list[str]]:
    r"""Replace each `{{expression}}` by a mark without spaces or quotes; `unshield` undoes it.

    So an option's value may hold an expression with spaces and quotes in it. An escaped `\{{`
    is marked too, before anybody takes its backslash for one of their own.
    """
    sources: list[str] = []

    def mark(source: str) -> str:
        sources.append(source)
        return f"\x00{len(sources) - 1}\x00"

    return _replaced(text.replace("\x00", ""), mark), sources


def unshield(text: str, sources: list[str]) -> str:
    """Put the expressions back into a text that `shield` took them from."""
    return re.sub(r"\x00(\d+)\x00", lambda mark: sources[int(mark[1])], text)


def before_values(text: str) -> str:
    """The text up to its first expression: what is known of it before any code is run."""
    shielded, sources = shield(text)
    known = [_BRACES for _ in takewhile(_ESCAPED.__eq__, sources)]
    return unshield(shielded.partition(f"\x00{len(known)}\x00")[0], known)


def _replaced(text: str, put: Callable[[str], str]) -> str:
    """The text with something else for each expression, braces and all, and each escape."""
    parts: list[str] = []
    end = 0
    while opening := _OPEN.search(text, end):
        parts.append(text[end : opening.start()])
        source = opening[0] if opening[0] == _ESCAPED else _expression_at(text, opening.end())
        parts.append(_BRACES if source is None else put(source))
        end = opening.start() + len(source or _BRACES)
    return "".join([*parts, text[end:]])


def _expression_at(text: str, start: int) -> str | None:
    """The expression whose braces open before `start`, with them; None if there is none.

    The value of `{{ {"a": {"b": 1}} }}` holds `}}` itself, so ends are tried from the left.
    """
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
    """What an expression stands for; `InterpolationError` says why it failed."""
    try:
        return evaluate(expression)
    except SyntaxError as error:
        raise InterpolationError(
            expression, f"{error.msg}. For literal braces write \\{{{{."
        ) from error
    except Exception as error:
        # The expression is the user's own code: any failure of it is theirs to read.
        raise InterpolationError(expression, f"{type(error).__name__}: {error}") from error
