"""Reads HTML as a browser would, for what it shows and what could act in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class HtmlReader(HTMLParser):
    """The text of a page, in all and by the table's cells, and its tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.titles: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(page)

    @property
    def is_plain(self) -> bool:
        """Whether all that can be read is without characters that hide or command."""
        return not re.search("[\x00\x1b\u202e\ud800]", "".join((self.text, *self.titles)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.titles += [value or "" for name, value in attrs if name == "title"]
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.cells:
            self.cells[-1] += data
