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

_ESCAPED = "\\{{"
_OPEN = re.compile(r"(\\?)\{\{")
_MAX_CLOSINGS = 50  # how many `}}` are tried as the end; a longer expression belongs in a variable


def interpolate(text: str, evaluate: Evaluate) -> str:
    """The text with the value of each `{{expression}}` in its place.

    Raises `InterpolationError` if an expression is no Python, or failed.
    """
    return "".join(
        part if isinstance(part, str) else _value(part.source, evaluate) for part in _split(text)
    )


def shield(text: str) -> tuple[str, list[str]]:
    r"""Replace each `{{expression}}` by a mark without spaces or quotes; `unshield` undoes it.

    So an option's value may hold an expression with spaces and quotes in it. An escaped `\{{`
    is marked too, before anybody takes its backslash for one of their own.
    """
    sources: list[str] = []
    parts: list[str] = []
    for part in _split(text, keep_escapes=True):
        if isinstance(part, str) and part != _ESCAPED:
            parts.append(part.replace("\x00", ""))
        else:
            parts.append(f"\x00{len(sources)}\x00")
            sources.append(part if isinstance(part, str) else f"{{{{{part.source}}}}}")
    return "".join(parts), sources


def unshield(text: str, sources: list[str]) -> str:
    """Put the expressions back into a text that `shield` took them from."""
    return re.sub(r"\x00(\d+)\x00", lambda mark: sources[int(mark[1])], text)


def before_values(text: str) -> str:
    """The text up to its first expression: what is known of it before any code is run."""
    return "".join(takewhile(lambda part: isinstance(part, str), _split(text)))  # type: ignore[arg-type]


class _Expression:
    def __init__(self, source: str) -> None:
        self.source = source


def _split(text: str, *, keep_escapes: bool = False) -> list[str | _Expression]:
    parts: list[str | _Expression] = []
    end = 0
    while opening := _OPEN.search(text, end):
        parts.append(text[end : opening.start()])
        if opening[1]:
            parts.append(opening[0] if keep_escapes else "{{")
            end = opening.end()
            continue
        source = _expression_at(text, opening.end())
        if source is None:
            parts.append("{{")
            end = opening.end()
        else:
            parts.append(_Expression(source))
            end = opening.end() + len(source) + 2
    return [*parts, text[end:]]


def _expression_at(text: str, start: int) -> str | None:
    """The source up to the `}}` that makes it an expression; None if there is none.

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
        first = source if first is None else first
        if _is_expression(source):
            return source
    return first


def _is_expression(source: str) -> bool:
    try:
        compile(source.strip(), "<prompt>", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _value(source: str, evaluate: Evaluate) -> str:
    try:
        return str(evaluate(source.strip()))
    except SyntaxError as error:
        raise InterpolationError(
            source.strip(), f"{error.msg}. For literal braces write \\{{{{."
        ) from error
    except Exception as error:
        # The expression is the user's own code: any failure of it is theirs to read.
        raise InterpolationError(source.strip(), f"{type(error).__name__}: {error}") from error
