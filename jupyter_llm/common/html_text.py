"""Makes HTML that shows a text and does nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from jupyter_llm.common.controls import visible

# Characters that Markdown or MathJax would interpret.
_NOT_PLAIN = re.compile(r"[^\w\s.,:;!?'()/-]")
_CODE = re.compile("`([^`]*)`")
# Translucent, so the text is legible in a light and in a dark theme.
_COLOURS = {"+": "rgba(46, 160, 67, 0.25)", "-": "rgba(248, 81, 73, 0.25)"}
# MathJax would typeset formulas of a folded text.
_FOLDED = '<details class="tex2jax_ignore mathjax_ignore"><summary>{}</summary><p>{}</p></details>'


class Html(str):
    """Harmless HTML that shows only its text; only this module makes it."""

    __slots__ = ()


def filled(template: str, *parts: object) -> Html:
    """Return our template with `parts` in place of its `{}`.

    A part that is not `Html` is escaped.
    """
    return Html(template.format(*map(_inner, parts)))


def joined(parts: Iterable[Html], between: str = "") -> Html:
    """Join pieces of HTML."""
    return Html(html.escape(between).join(parts))


def _inner(part: object) -> str:
    return part if isinstance(part, Html) else html.escape(visible(str(part)))


def paragraph(line: str) -> Html:
    """Return a line as the inside of a paragraph; text between backticks becomes code."""
    return Html(_CODE.sub(r"<code>\1</code>", _inner(line)))


def folded(summary: str, text: str) -> Html:
    """Return a summary that shows its text when clicked: one line, in Markdown and HTML alike."""
    coded = _NOT_PLAIN.sub(lambda match: f"&#{ord(match[0])};", visible(text))
    shown = "<br>".join(" ".join(line.split()) for line in coded.split("\n"))
    return filled(_FOLDED, summary, Html(shown))


def diff_block(diff: str) -> Html:
    """Return a unified diff with added and removed lines in colour."""
    lines = diff.rstrip("\n").split("\n")
    shown = [filled("{}", line) if at < 2 else _diff_line(line) for at, line in enumerate(lines)]  # noqa: PLR2004
    return filled("<pre>{}</pre>", joined(shown, "\n"))


def _diff_line(line: str) -> Html:
    colour = _COLOURS.get(line[:1])
    return filled(f'<span style="background-color: {colour}">{{}}</span>' if colour else "{}", line)
