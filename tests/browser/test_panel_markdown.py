"""Answers in the chat panel: drawn well, and the same whether they grew or came at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.answers import DRAW, FIND_FOREIGN, seen, show
from browser.lab import Traffic
from common.test_markdown import HARMLESS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def page(bare_page: Page) -> Page:
    """The page that the tests of this file share, each of which loads it anew."""
    return bare_page


def test_a_formula_holds_no_link_and_no_image(panel: Page) -> None:
    traffic = Traffic(panel)
    for tex in (
        r"\href{javascript:alert(1)}{x}",
        r"\url{https://e.vil}",
        r"\includegraphics{https://e.vil/x.png}",
        r"\htmlClass{jp-Button}{x} \htmlId{a}{x} \htmlStyle{color: red}{x} \htmlData{a=b}{x}",
    ):
        show(panel, f"$${tex}$$")
        assert panel.evaluate(f"() => {{ {FIND_FOREIGN} return foreign(view.element); }}") == []
    assert traffic.urls == []


LARGE = (r"\rule{9999em}{9999em}", r"\raisebox{9999em}{x}", r"\kern-9999em x", r"x\\[9999em]y")


def test_a_formula_covers_neither_the_page_nor_code(panel: Page) -> None:
    fits = """() => {
        const { left, top, right, bottom } = view.element.getBoundingClientRect();
        return Array.from(view.element.querySelectorAll('math')).every(math => {
            const box = math.getBoundingClientRect();
            return box.bottom < innerHeight && box.left >= left && box.top >= top;
        }) && right <= innerWidth && bottom < innerHeight;
    }"""
    for tex in LARGE:
        show(panel, f"so $${tex}$$ and $y$")
        assert panel.locator("math").count() == 2
        assert panel.locator(".jllm-math > math[display=block]").count() == 1
        assert panel.evaluate(fits), tex
    code = "```\none\ntwo\nthree\n```\n\nso "
    covered = """() => {
        const box = view.element.querySelector('.jllm-code').getBoundingClientRect();
        const steps = [...Array(40).keys()].map(step => (step + 0.5) / 40);
        return steps.some(x => steps.some(y => !document
            .elementFromPoint(box.left + x * box.width, box.top + y * box.height)
            .closest('.jllm-code')));
    }"""
    for raised in (r"\raisebox{4em}", r"\smash"):
        show(panel, f"{code}${raised}{{\\Huge █████}}$")
        assert panel.locator("math").count() == 1
        assert not panel.evaluate(covered), raised


def test_a_link_says_where_it_really_leads_and_opens_outside(panel: Page) -> None:
    show(panel, "[here](https://a.b/c) https://d.e <https://f.g> [m](mailto:a@b.c)")
    assert seen(panel) == ("here (https://a.b/c) https://d.e https://f.g m (mailto:a@b.c)")
    show(panel, "[https://good.org](https://e.vil) https://\u0430pple.com [a](https://good@e.vil)")
    for told in (
        "https://good.org (https://e.vil)",
        "(https://xn--pple-43d.com)",
        "(https://good@",
    ):
        assert told in seen(panel)
    for link in panel.locator("a").all():
        assert link.get_attribute("target") == "_blank"
        assert link.get_attribute("rel") == "noopener noreferrer"


def test_code_has_colours_and_its_language_and_shows_what_hides_or_turns_text(panel: Page) -> None:
    show(panel, "```Python\ndef f(x):\n    return '<b>&amp;'\n```")
    assert panel.locator(".jllm-code-language").inner_text() == "python"
    assert panel.locator(".hljs-keyword").all_inner_texts() == ["def", "return"]
    assert panel.locator("pre").inner_text() == "def f(x):\n    return '<b>&amp;'"
    show(panel, "```python\nx = '\u202e\U000e0041'\n```\n\n```\ny\u200b")
    for told in ("x = '[U+202E][U+E0041]'", "y[U+200B]"):
        assert told in seen(panel)


def test_texts_that_grew_look_as_if_they_had_come_at_once(panel: Page) -> None:
    texts = [{"text": text, "cuts": list(range(len(text)))} for text in HARMLESS.values()]
    assert panel.evaluate(DRAW, texts) == []
