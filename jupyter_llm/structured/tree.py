"""A value as a tree that folds, and probabilities as bars: HTML that runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from html import escape
from typing import Any

from jupyter_llm.common.controls import visible
from jupyter_llm.common.tables import count_of, percent

_MOST_NODES = 1000  # a notebook is read, sent and compared as a whole
_MOST_ITEMS = 100  # of one container
_MOST_CHARS = 4000  # of one text
_DEEPEST = 20
_FEW = 30  # nodes that are shown without a click
_INDENT = "margin-left: 1.2em"
_BAR = (
    "display: inline-block; height: 0.7em; background-color: rgba(33, 150, 243, 0.6); "
    "border-right: 2px solid"
)
_BAR_EM = 8  # how wide a bar is that says 100 %


def value_html(value: object) -> str:
    """A value whose parts fold."""
    return f'<div style="line-height: 1.5">{"".join(_Tree().lines("", value, 0))}</div>'


def bars_html(probabilities: Mapping[Any, float], elsewhere: float | None = None) -> str:
    """What an answer was chosen from, the likeliest first, and how likely something else was."""
    found = sorted(probabilities.items(), key=lambda item: -item[1])
    rows = [(visible(_leaf(label)), share) for label, share in found[:_MOST_ITEMS]]
    left = [] if elsewhere is None else [("left free, something else", elsewhere)]
    cell = 'style="text-align: left"'
    shown = "".join(
        f"<tr><td {cell}>{escape(label)}</td><td {cell}>"
        f'<span style="{_BAR}; width: {_BAR_EM * share:.2f}em"></span> '
        f"<small>{percent(share)}</small></td></tr>"
        for label, share in (*rows, *left)
    )
    more = len(found) - len(rows)
    return f"<table>{shown}</table>" + (f"<p>… and {more} more</p>" if more > 0 else "")


@dataclass(slots=True)
class _Tree:
    """Makes the HTML of a value, as far as there is room."""

    num_nodes: int = 0

    def lines(self, name: str, value: object, depth: int) -> Iterator[str]:
        """Yield what shows a value behind its name."""
        self.num_nodes += 1
        told = f"<b>{escape(visible(name))}:</b> " if name else ""
        inner = _inside(value)
        if inner is not None and depth == _DEEPEST:
            inner, value = None, "…"
        if inner is None:
            text = escape(visible(_leaf(value)))
            style = f"{_INDENT}; white-space: pre-wrap"
            yield f'<div style="{style}">{told}{text}</div>'
            return
        kind, items = inner
        is_open = not depth or self.num_nodes + len(items) <= _FEW
        state = " open" if is_open else ""
        yield f'<details{state} style="{_INDENT}"><summary>{told}{escape(kind)}</summary>'
        num_shown = 0
        for key, item in items[:_MOST_ITEMS]:
            if self.num_nodes >= _MOST_NODES:
                break
            yield from self.lines(key, item, depth + 1)
            num_shown += 1
        if num_left := len(items) - num_shown:
            yield f'<div style="{_INDENT}">… {count_of(num_left, "more value")}</div>'
        yield "</details>"


def _inside(value: Any) -> tuple[str, list[tuple[str, object]]] | None:
    """What a value is called, and the named values in it; None where it has none."""
    kind = type(value).__name__
    names: Any = getattr(type(value), "__pydantic_fields__", None)
    if is_dataclass(value):
        names = [one.name for one in fields(value)]
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", None)
    if names is not None:
        return kind, [(name, getattr(value, name, None)) for name in names]
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return None
    return f"{kind} of {count_of(len(items), 'value')}", items


def _leaf(value: object) -> str:
    """A value without others in it: a text as it is, an Enum by its value, all else as Python."""
    value = value.value if isinstance(value, Enum) else value
    try:
        text = value if isinstance(value, str) else _readable(value)
    except Exception as error:  # noqa: BLE001  the user's own class may do anything
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}… ({len(text):,} characters)"


def _readable(value: object) -> str:
    plain = type(value).__module__ in ("datetime", "decimal", "uuid")
    return str(value) if plain else repr(value)
