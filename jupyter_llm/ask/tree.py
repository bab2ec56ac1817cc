"""A value as a tree that folds, and probabilities as bars: HTML that runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jupyter_llm.common.html_text import Html, filled, joined
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
_ROW = (
    '<tr><td style="text-align: left">{}</td><td style="text-align: left">'
    '<span style="{}"></span> <small>{}</small></td></tr>'
)
_LINE = '<div style="{}">{}{}</div>'


def value_html(value: object) -> Html:
    """Return a value of JSON as HTML whose parts fold."""
    lines = joined(_Tree().lines("", value, 0))
    return filled('<div style="line-height: 1.5">{}</div>', lines)


def bars_html(probabilities: Mapping[str, float], elsewhere: float) -> Html:
    """Return the choices as bars, the likeliest first, and the probability of any other text."""
    found = sorted(probabilities.items(), key=lambda item: -item[1])
    rows = [(_leaf(label), share) for label, share in found[:_MOST_ITEMS]]
    left = ("left free, something else", elsewhere)
    shown = joined(
        filled(_ROW, label, f"{_BAR}; width: {_BAR_EM * share:.2f}em", percent(share))
        for label, share in (*rows, left)
    )
    more = len(found) - len(rows)
    below = filled("<p>… and {} more</p>", more) if more > 0 else ""
    return filled("<table>{}</table>{}", shown, below)


@dataclass(slots=True)
class _Tree:
    """Makes the HTML of a value, up to a number of nodes."""

    num_nodes: int = 0

    def lines(self, name: str, value: object, depth: int) -> Iterator[Html]:
        """Yield the HTML of a name and its value."""
        self.num_nodes += 1
        label = filled("<b>{}:</b> ", name) if name else Html()
        items: list[tuple[object, object]] = []
        if isinstance(value, dict | list):
            items = [*(value.items() if isinstance(value, dict) else enumerate(value))]
            kind = f"{type(value).__name__} of {count_of(len(items), 'value')}"
        if depth == _DEEPEST or not isinstance(value, dict | list):
            style = f"{_INDENT}; white-space: pre-wrap"
            yield filled(_LINE, style, label, "…" if items else _leaf(value))
            return
        is_open = not depth or self.num_nodes + len(items) <= _FEW
        state = " open" if is_open else ""
        yield filled('<details{} style="{}"><summary>{}{}</summary>', state, _INDENT, label, kind)
        num_shown = 0
        for key, item in items[:_MOST_ITEMS]:
            if self.num_nodes >= _MOST_NODES:
                break
            yield from self.lines(str(key), item, depth + 1)
            num_shown += 1
        if num_left := len(items) - num_shown:
            yield filled(_LINE, _INDENT, "… ", count_of(num_left, "more value"))
        yield filled("</details>")


def _leaf(value: object) -> str:
    """Return a value without parts: a text as it is, any other value as Python."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}… ({len(text):,} characters)"
