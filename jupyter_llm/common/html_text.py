"""Text as HTML that shows what it says and does nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from jupyter_llm.common.controls import visible

# What Markdown, or a reader of formulas, would take for something else than text.
_NOT_PLAIN = re.compile(r"[^\w\s.,:;!?'()/-]")
_CODE = re.compile("`([^`]*)`")
# See-through, so that the text stands out in a light and in a dark theme.
_COLOURS = {"+": "rgba(46, 160, 67, 0.25)", "-": "rgba(248, 81, 73, 0.25)"}
# MathJax would read the formulas of a folded text.
_FOLDED = '<details class="tex2jax_ignore mathjax_ignore"><summary>{}</summary><p>{}</p></details>'


class Html(str):
    """HTML that shows what it says and does nothing. Only this module makes it."""

    __slots__ = ()


def filled(template: str, *parts: object) -> Html:
    """Return a template of ours with `parts` for its `{}`; what is not `Html` becomes text."""
    return Html(template.format(*map(_inner, parts)))


def joined(parts: Iterable[Html], between: str = "") -> Html:
    """Return pieces of HTML one after the other."""
    return Html(html.escape(between).join(parts))


def _inner(part: object) -> str:
    return part if isinstance(part, Html) else html.escape(visible(str(part)))


def paragraph(line: str) -> Html:
    """The inside of a paragraph; what stands between backticks is code."""
    return Html(_CODE.sub(r"<code>\1</code>", _inner(line)))


def folded(summary: str, text: str) -> Html:
    """A text that is shown when its summary is clicked: one line, in Markdown and in HTML alike."""
    coded = _NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};", visible(text))
    shown = "<br>".join(" ".join(line.split()) for line in coded.split("\n"))
    return filled(_FOLDED, summary, Html(shown))


def diff_block(diff: str) -> Html:
    """A unified diff with the lines that come and go in colour."""
    lines = diff.rstrip("\n").split("\n")
    shown = [filled("{}", line) if at < 2 else _diff_line(line) for at, line in enumerate(lines)]  # noqa: PLR2004
    return filled("<pre>{}</pre>", joined(shown, "\n"))


def _diff_line(line: str) -> Html:
    colour = _COLOURS.get(line[:1])
    return filled(f'<span style="background-color: {colour}">{{}}</span>' if colour else "{}", line)
