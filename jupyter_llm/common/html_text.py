"""Text as HTML that shows what it says and does nothing."""

from __future__ import annotations

import html
import re

# What Markdown, or a reader of formulas, would take for something else than text.
_NOT_PLAIN = re.compile(r"[^\w\s.,:;!?'()/-]")
_CODE = re.compile("`([^`]*)`")
# See-through, so that the text stands out in a light and in a dark theme.
_COLOURS = {"+": "rgba(46, 160, 67, 0.25)", "-": "rgba(248, 81, 73, 0.25)"}


def paragraph(line: str) -> str:
    """The inside of a paragraph; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(line))


def folded(summary: str, text: str) -> str:
    """A text that is shown when its summary is clicked: one line, in Markdown and in HTML alike."""
    lines = (_NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};", line) for line in text.split("\n"))
    shown = "<br>".join(" ".join(line.split()) for line in lines)
    return f"<details><summary>{html.escape(summary)}</summary><p>{shown}</p></details>"


def diff_block(diff: str) -> str:
    """A unified diff with the lines that come and go in colour."""
    header, lines = diff.split("\n")[:2], diff.rstrip("\n").split("\n")[2:]
    shown = "\n".join([*map(html.escape, header), *map(_diff_line, lines)])
    return f"<pre>{shown}</pre>"


def _diff_line(line: str) -> str:
    text, colour = html.escape(line), _COLOURS.get(line[:1])
    return f'<span style="background-color: {colour}">{text}</span>' if colour else text
