"""Whatever a model writes is only drawn in the chat panel, and does not hold it up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from browser.answers import DRAW, GROW, MAKE_VIEW
from browser.lab import Traffic
from common.test_markdown import FRAGMENTS, HOSTILE, IMAGE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# Of the page, in one of the fifteen updates of a second: what has been written stays as it is.
MOST_CHANGES = 20

MORE_FRAGMENTS = (
    *("$\\href{javascript:alert(1)}{x}$", "\\(\\htmlStyle{a}{b}\\)", "$$\\def\\a{\\a\\a}\\a$$"),
    *("$\\class{jp-Button}{x}$", "$\\style{top:0}{x}$", "$\\id{a}{y}$", "$\\data{a=b}{x}$"),
    *(
        "$\\href{/logout}{x}$",
        "$\\color{red;top:0}x$",
        "$$\\tag{1}\\label{a}\\ref{a}$$",
        '$\\char"202E x$',
    ),
    *("</annotation></semantics></math>", "<math><mtext>", "<svg onload=alert(1)>", "</span>"),
    *('<a href="javascript:alert(1)">', "<style>*{}</style>", "<template>", "<iframe src=x>"),
    *("\u202e", "\ud800", "\udfff", "\u2028", "\x0b", "```python\nx = '", "\n```\n", "\u0301" * 9),
    *("https://e.vil/x.png", "![x](https://e.vil/x.png)", "[x](data:text/html,y)", "mailto:a@b.c"),
    *("| a | b |\n|---|:-:|\n| $x$ | ", "\n\n", "\n\n", "**", "1. a\n\n   ", "> - ", "\t"),
)


def hostile_texts(num_texts: int) -> list[dict[str, Any]]:
    """Return texts with the places at which they are drawn while they grow; always the same."""
    chance = random.Random(5)  # noqa: S311 - texts for a test
    fragments = [*FRAGMENTS, *MORE_FRAGMENTS, *HOSTILE.values(), IMAGE]
    texts = list(HOSTILE.values())
    while len(texts) < num_texts:
        texts.append("".join(chance.choices(fragments, k=chance.randint(1, 16))))
    return [
        {"text": text, "cuts": sorted(chance.sample(range(len(text)), min(len(text), 4)))}
        for text in texts
    ]


@pytest.fixture
def page(bare_page: Page) -> Page:
    """The page that the tests of this file share, each of which loads it anew."""
    return bare_page


@pytest.mark.soak
def test_thousands_of_hostile_texts_run_nothing_and_ask_nobody(
    panel: Page, complaints: list[str]
) -> None:
    traffic = Traffic(panel)
    texts = hostile_texts(3000)
    for first in range(0, len(texts), 250):
        assert panel.evaluate(DRAW, texts[first : first + 250]) == []
    panel.evaluate("() => new Promise(resolve => setTimeout(resolve))")  # what failed to load
    assert complaints == []
    assert traffic.urls == []


PATHOLOGICAL = {
    "quotes": ">" * 10_000,
    "lists": "- " * 10_000,
    "nested lists": "\n".join(f"{' ' * depth}- a" for depth in range(300)),
    "brackets": "[" * 10_000,
    "images": "![" * 10_000,
    "links": "[a](" * 5_000,
    "stars": "*" * 10_000,
    "emphasis": "*a _b **c " * 2_000,
    "fences": "```\n" * 5_000,
    "code spans": " ".join("`" * n for n in range(190)),
    "dollars": "$a" * 10_000,
    "formulas": "\\(" * 10_000,
    "display formulas": "\\[\n" * 6_000,
    "nested braces": f"${'{' * 1_900}$",
    "wide table": "|a" * 5_000 + "\n" + "|-" * 5_000,
    "long table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 5_000,
    "addresses": "http://" * 3_000,
    "tags": "<a" * 10_000,
    "backslashes": "\\" * 20_000,
    "half characters": "\ud800" * 20_000,
    "one line": "word " * 200_000,
    "paragraphs": "Some words.\n\n" * 20_000,
    "code": "```python\n" + "x = 'a' + 1\n" * 80_000,
    "code of one line": "```json\n" + "[1," * 16_000,
    "headings": "# a\n" * 10_000,
}


def test_hopeless_texts_are_drawn_in_time(panel: Page, complaints: list[str]) -> None:
    for text in PATHOLOGICAL.values():
        panel.evaluate(MAKE_VIEW)
        panel.evaluate(GROW, [text, len(text) // 3 + 1])  # a text that hangs takes minutes
    assert complaints == []


PARTS = (
    "It is *so* that the `mean` of **all** values, see [here](https://a.b/c), is $x_{n}$.\n\n",
    "- one\n- two with `code`\n- three\n\n",
    "```python\nimport numpy as np\n\nfor i in range(10):\n    print(f'{i}')  # so\n```\n\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n",
    "$$\n\\int_0^1 x^{n} dx = \\frac{1}{n + 1}\n$$\n\n",
)
ANSWERS = {
    "mixed": "".join(part.replace("{n}", f"{{{n}}}") for n in range(28) for part in PARTS),
    "one list": "".join(f"- item {n} is **big**, not `small`\n" for n in range(230)),
    "one table": "|a|b|c|\n|-|-|-|\n" + "".join(f"|{n}|`x{n}`|words|\n" for n in range(440)),
    "one paragraph": "Some *words* and `code` that go on, and on. " * 180,
    "code": "```python\n" + "def f(x, y=1):  # some code\n    return x + 'abc'\n" * 160,
}


def test_a_growing_answer_changes_little_of_the_page_each_time(panel: Page) -> None:
    changes = {}
    for name, text in ANSWERS.items():
        assert len(text) > 7_800
        panel.evaluate(MAKE_VIEW)
        changes[name] = max(panel.evaluate(GROW, [text, 10]))
    assert {name: most for name, most in changes.items() if most >= MOST_CHANGES} == {}
