"""Text as HTML that shows what it says and does nothing."""

from __future__ import annotations

import html
import re

_CODE = re.compile("`([^`]*)`")
# See-through, so that the text stands out in a light and in a dark theme.
_COLOURS = {"+": "rgba(46, 160, 67, 0.25)", "-": "rgba(248, 81, 73, 0.25)"}


def paragraph(line: str) -> str:
    """The inside of a paragraph; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(line))


def diff_block(diff: str) -> str:
    """A unified diff with the lines that come and go in colour."""
    header, lines = diff.split("\n")[:2], diff.rstrip("\n").split("\n")[2:]
    shown = "\n".join([*map(html.escape, header), *map(_diff_line, lines)])
    return f"<pre>{shown}</pre>"


def _diff_line(line: str) -> str:
    text, colour = html.escape(line), _COLOURS.get(line[:1])
    return f'<span style="background-color: {colour}">{text}</span>' if colour else text
