"""What hides or turns text goes, and the page shows the same characters for what they are."""

from __future__ import annotations

import json
import re

from support.paths import DATA

from jupyter_llm.common.controls import plain, visible

# Each text with what the page shows for it, and what is a control where it stands by itself.
# labextension/tests/characters.test.js holds the page to the same.
CONTROLS = json.loads((DATA / "controls.json").read_text("utf-8"))


def test_what_the_page_shows_for_what_it_is_goes_and_nothing_else() -> None:
    for text, shown in CONTROLS["shown"]:
        assert visible(text) == shown
        assert plain(text) == re.sub(r"\[U\+[0-9A-F]+\]", "", shown)
    every = [chr(number) for number in range(0x110000)]
    kept = list(every)
    for ends in CONTROLS["alone"]:
        first, last = (int(end, 16) for end in ends.split("-"))
        kept[first : last + 1] = [""] * (last + 1 - first)
    assert plain("\n".join(every)) == "\n".join(kept)
