"""Answers in the chat panel: drawn well, drawn fast, and nothing but drawn."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from browser.lab import Traffic
from browser.plain_page import serving_modules
from test_markdown import FRAGMENTS, HARMLESS, HOSTILE, IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

NUM_HOSTILE_TEXTS = 3000
# What a page may take for one update of a hopeless text; a hang takes minutes.
PATIENCE_MS = 3000
# Thirty updates a second are 33 ms each, of which most belongs to the rest of the page.
UPDATE_MS = 5

# A view on the page; what it said of its code blocks is in `code_blocks`.
MAKE_VIEW = """() => {
    window.code_blocks = [];
    window.view = createMarkdownView({
        onCodeBlock({ toolbar, source, language }) {
            const button = document.createElement('button');
            button.textContent = 'Copy';
            toolbar.append(button);
            code_blocks.push({ source, language });
        },
    });
    document.querySelector('main').replaceChildren(view.element);
}"""

# Says what on the page is not one of the things that an answer may become.
FIND_FOREIGN = """
const HTML = new Set(('div p br hr h1 h2 h3 h4 h5 h6 blockquote ul ol li em strong s code pre a ' +
    'span table thead tbody tr th td button').split(' '));
const ATTRIBUTES = new Set(
    'class href target rel tabindex role aria-label start align'.split(' '));
const MATHML = 'http://www.w3.org/1998/Math/MathML';
const MATH_ATTRIBUTE = /^(?!on|href|src|style|id$|name$|class$|xlink|action)[a-z]+$/;
function foreign(root) {
    const found = [];
    for (const node of root.querySelectorAll('*')) {
        const isMath = node.namespaceURI === MATHML;
        let isFine = isMath || HTML.has(node.localName);
        for (const { name, value } of node.attributes) {
            isFine &&= isMath ? MATH_ATTRIBUTE.test(name) : ATTRIBUTES.has(name);
            if (name === 'class')
                isFine &&= value.split(' ').every(part => /^(jllm|hljs)-|^\\w+_$/.test(part));
            if (name === 'href') isFine &&= /^(https?:\\/\\/|mailto:)/i.test(value);
        }
        if (!isFine) found.push(node.outerHTML.slice(0, 200));
    }
    return found;
}
"""

# Draws texts, each once in pieces and once as a whole; returns what was wrong with which.
DRAW = f"""(texts) => {{
    {FIND_FOREIGN}
    const main = document.querySelector('main');
    const problems = [];
    for (const {{ text, cuts }} of texts) {{
        const grown = createMarkdownView({{ onCodeBlock() {{}} }});
        const whole = createMarkdownView({{ onCodeBlock() {{}} }});
        main.replaceChildren(grown.element, whole.element);
        for (const cut of cuts) {{
            grown.update(text.slice(0, cut), false);
            problems.push(...foreign(main).map(html => [text.slice(0, cut), html]));
        }}
        grown.update(text, true);
        whole.update(text, true);
        problems.push(...foreign(main).map(html => [text, html]));
        if (!grown.element.isEqualNode(whole.element))
            problems.push([text, grown.element.innerHTML, whole.element.innerHTML]);
    }}
    return problems;
}}"""

# Lets a text grow as a model writes it and returns how long each update took.
GROW = """([text, step]) => {
    const durations = [];
    for (let length = step; length < text.length + step; length += step) {
        const began = performance.now();
        view.update(text.slice(0, length), length >= text.length);
        durations.push(performance.now() - began);
    }
    return durations;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("modules")
    with serving_modules(folder, "markdown.js", "diff.js", "markdown.css") as url:
        yield url


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def panel(page: Page, address: str, complaints: list[str]) -> Page:
    """Return a page with an empty view; what goes wrong on it is in `complaints`."""
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a script ran"), dialog.dismiss()))
    page.goto(address)
    page.wait_for_function("() => window.isReady")
    page.evaluate(MAKE_VIEW)
    return page


def show(panel: Page, text: str, *, is_final: bool = True) -> None:
    panel.evaluate("([text, isFinal]) => view.update(text, isFinal)", [text, is_final])


def html(panel: Page) -> str:
    """Return what is drawn, without what every block has around it."""
    drawn: str = panel.evaluate(
        "() => Array.from(view.element.children, block => block.innerHTML.trim()).join('\\n')"
    )
    return drawn


def seen(panel: Page) -> str:
    return panel.locator(".jllm-markdown").inner_text()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a **b** *c* ~~d~~ `e`", "<p>a <strong>b</strong> <em>c</em> <s>d</s> <code>e</code></p>"),
        ("## T\n---\nx", "<h2>T</h2>\n<hr>\n<p>x</p>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>"),
        ("<b>x</b> &lt; main.py", "<p>&lt;b&gt;x&lt;/b&gt; &lt; main.py</p>"),
        ("a\r\nb\rc", "<p>a\nb\nc</p>"),
        ("- [x] done", "<ul><li>[x] done</li></ul>"),
    ],
)
def test_markdown_is_drawn(panel: Page, text: str, drawn: str) -> None:
    show(panel, text)
    assert html(panel) == drawn


def test_a_table_is_drawn_with_its_alignment(panel: Page) -> None:
    show(panel, "| a | b |\n|:--|--:|\n| 1 | `x` |")
    table = panel.locator("table")
    assert table.locator("th").all_inner_texts() == ["a", "b"]
    aligned = "node => getComputedStyle(node).textAlign.replace('-webkit-', '')"
    assert [cell.evaluate(aligned) for cell in table.locator("td").all()] == ["left", "right"]


@pytest.mark.parametrize(
    ("text", "num_formulas", "num_display"),
    [
        (r"$x^2$ and \(y\)", 2, 0),
        ("$$\\frac{a}{b}$$", 1, 1),
        ("so\n\\[\n- x\n+ 1\n\\]\nand on", 1, 1),
        ("- in a list: $$\n  a\n  = b\n  $$", 1, 1),
        ("| $a$ |\n|--|\n| $b$ |", 2, 0),
        ("It costs $5 and $10, US$5, $5-$10 or 5$, 6$.", 0, 0),
        ("Set $HOME and `$x$`, \\$a$.", 0, 0),
        ("```\n$x$\n```", 0, 0),
    ],
)
def test_formulas_are_drawn_and_money_is_none(
    panel: Page, text: str, num_formulas: int, num_display: int
) -> None:
    show(panel, text)
    assert panel.locator("math").count() == num_formulas
    assert panel.locator(".jllm-math > math[display=block]").count() == num_display


@pytest.mark.parametrize("tex", [r"\foo{x}", r"\frac{a", "{" * 900, r"\def\a{\a\a}\a", "x_1_2"])
def test_what_is_no_formula_is_shown_as_it_was_written(panel: Page, tex: str) -> None:
    show(panel, f"So $${tex}$$ holds.")
    assert panel.locator("math").count() == 0
    assert panel.locator("p > code").inner_text() == tex


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\url{https://e.vil}",
        r"\includegraphics{https://e.vil/x.png}",
        r"\htmlClass{jp-Button}{x} \htmlId{a}{x} \htmlStyle{color: red}{x} \htmlData{a=b}{x}",
    ],
)
def test_a_formula_holds_no_link_and_no_image(panel: Page, tex: str) -> None:
    traffic = Traffic(panel)
    show(panel, f"$${tex}$$")
    assert panel.evaluate(f"() => {{ {FIND_FOREIGN} return foreign(view.element); }}") == []
    assert traffic.urls == []


def test_a_formula_cannot_cover_the_page(panel: Page) -> None:
    show(panel, r"$$\rule{9999em}{9999em} \kern-9999em \raisebox{9999em}{x}$$ and on")
    sizes = panel.evaluate(
        "() => [view.element.scrollWidth, view.element.scrollHeight, innerWidth, innerHeight]"
    )
    assert sizes[0] <= sizes[2]
    assert sizes[1] <= sizes[3]


def test_a_link_says_where_it_leads_and_opens_outside(panel: Page) -> None:
    show(panel, "[here](https://a.b/c) https://d.e <https://f.g> [m](mailto:a@b.c)")
    assert seen(panel) == ("here (https://a.b/c) https://d.e https://f.g m (mailto:a@b.c)")
    for link in panel.locator("a").all():
        assert link.get_attribute("target") == "_blank"
        assert link.get_attribute("rel") == "noopener noreferrer"


def test_a_link_cannot_pretend_to_lead_elsewhere(panel: Page) -> None:
    show(panel, "[https://good.org](https://e.vil) https://\u0430pple.com [a](https://good@e.vil)")
    text = seen(panel)
    assert "https://good.org (https://e.vil)" in text
    assert "(https://xn--pple-43d.com)" in text
    assert "(https://good@e.vil)" in text


def test_an_image_is_its_description_and_address(panel: Page) -> None:
    traffic = Traffic(panel)
    show(panel, "![a *plot*](https://e.vil/p.png) ![](https://e.vil/q.png)")
    assert html(panel) == (
        "<p>[image: a *plot* \u2013 https://e.vil/p.png] [image: https://e.vil/q.png]</p>"
    )
    assert traffic.urls == []


def test_what_turns_the_reading_direction_is_shown_as_what_it_is(panel: Page) -> None:
    show(panel, "a\u202eb `c\u2066d`\n\n```python\ne = 'f\u202e'\n```")
    assert "a[U+202E]b c[U+2066]d" in seen(panel)
    assert "e = 'f[U+202E]'" in seen(panel)
    assert panel.evaluate("() => code_blocks")[0]["source"] == "e = 'f\u202e'"


def test_code_has_colours_and_its_language(panel: Page) -> None:
    show(panel, "```Python\ndef f(x):\n    return '<b>&amp;'\n```")
    assert panel.locator(".jllm-code-language").inner_text() == "python"
    assert panel.locator(".hljs-keyword").all_inner_texts() == ["def", "return"]
    assert panel.locator("pre").inner_text() == "def f(x):\n    return '<b>&amp;'"


@pytest.mark.parametrize(
    "language", ["bash", "json", "sql", "r", "yaml", "js", "html", "css", "c++", "diff", "md"]
)
def test_the_languages_of_notebooks_are_known(panel: Page, language: str) -> None:
    sources = {"diff": "+ x", "md": "# x", "html": "<p>x</p>", "css": "a { top: 1px }"}
    source = sources.get(language, 'x = 1 + "a"')
    show(panel, f"```{language}\n{source}\n```")
    assert panel.locator("pre code > span > span").count() > 0


def test_code_is_announced_once_and_not_before_it_is_complete(panel: Page) -> None:
    text = "So:\n\n```py\nx = 1\n\ny = 2\n```\n\n1. a\n\n   ~~~\n   <b>\n   ~~~\n2. b\n\n```\nopen"
    said = []
    for length in range(1, len(text) + 1):
        show(panel, text[:length], is_final=False)
        said.append(panel.evaluate("() => code_blocks.length"))
    assert said[text.index("```\n\n1") + 2] == 0  # might become four
    assert said[-1] == 2
    show(panel, text)
    assert panel.evaluate("() => code_blocks") == [
        {"source": "x = 1\n\ny = 2", "language": "py"},
        {"source": "<b>", "language": ""},
        {"source": "open", "language": ""},
    ]
    assert panel.locator(".jllm-code-toolbar button").count() == 3


def test_what_was_drawn_stays_the_same_elements(panel: Page) -> None:
    text = "# One\n\nTwo **words**\n\n```py\nx\n```\n\n- a\n\n  ```py\n  y\n  ```\n- b\n"
    show(panel, text, is_final=False)
    panel.evaluate("""() => { window.before = Array.from(view.element.querySelectorAll('*')); }""")
    for more in ("- c", " and *so* on\n", "\nThe end"):
        text += more
        show(panel, text, is_final=False)
    show(panel, text)
    lost = panel.evaluate("() => before.filter(n => !n.isConnected).map(n => n.outerHTML)")
    assert lost == []


def test_a_selection_survives_what_is_written_after_it(panel: Page) -> None:
    show(panel, "Some words that grow", is_final=False)
    panel.evaluate(
        """() => {
            const text = view.element.querySelector('p').firstChild;
            getSelection().setBaseAndExtent(text, 5, text, 10);
        }"""
    )
    show(panel, "Some words that grow and grow, **boldly**", is_final=False)
    assert panel.evaluate("() => getSelection().toString()") == "words"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **bol", "a bol"),
        ("a [link](https://a.b", "a link"),
        ("run `pip inst", "run pip inst"),
        ("text\n-", "text"),
        ("text\n```py", "text"),
        ("so \\[ \\frac{1}", "so \\frac{1}"),
        ("- a\n- **b", "a\nb"),
        ("| a | b |\n|-", "| a | b |"),
    ],
)
def test_half_written_markdown_looks_like_what_it_becomes(
    panel: Page, text: str, shown: str
) -> None:
    show(panel, text, is_final=False)
    assert seen(panel).strip() == shown


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_text_that_grew_looks_as_if_it_had_come_at_once(panel: Page, text: str) -> None:
    assert panel.evaluate(DRAW, [{"text": text, "cuts": list(range(len(text)))}]) == []


def test_another_text_takes_the_place_of_the_first(panel: Page) -> None:
    show(panel, "# One\n\nTwo\n\nThree\n\n", is_final=False)
    show(panel, "Four")
    assert html(panel) == "<p>Four</p>"
    show(panel, "")
    assert html(panel) == ""


MORE_FRAGMENTS = (
    *("$\\href{javascript:alert(1)}{x}$", "\\(\\htmlStyle{a}{b}\\)", "$$\\def\\a{\\a\\a}\\a$$"),
    *("</annotation></semantics></math>", "<math><mtext>", "<svg onload=alert(1)>", "</span>"),
    *('<a href="javascript:alert(1)">', "<style>*{}</style>", "<template>", "<iframe src=x>"),
    *("\u202e", "\ud800", "\udfff", "\u2028", "\x0b", "```python\nx = '", "\n```\n", "\u0301" * 9),
    *("https://e.vil/x.png", "![x](https://e.vil/x.png)", "[x](data:text/html,y)", "mailto:a@b.c"),
    *("| a | b |\n|---|:-:|\n| $x$ | ", "\n\n", "\n\n", "**", "1. a\n\n   ", "> - ", "\t"),
)


def hostile_texts() -> list[dict[str, Any]]:
    """Return texts with the places at which they are drawn while they grow; always the same."""
    chance = random.Random(5)  # noqa: S311 - texts for a test
    fragments = [*FRAGMENTS, *MORE_FRAGMENTS, *HOSTILE.values(), IMAGE]
    texts = list(HOSTILE.values())
    while len(texts) < NUM_HOSTILE_TEXTS:
        texts.append("".join(chance.choices(fragments, k=chance.randint(1, 16))))
    return [
        {"text": text, "cuts": sorted(chance.sample(range(len(text)), min(len(text), 4)))}
        for text in texts
    ]


def test_thousands_of_hostile_texts_run_nothing_and_ask_nobody(
    panel: Page, complaints: list[str]
) -> None:
    traffic = Traffic(panel)
    texts = hostile_texts()
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


@pytest.mark.parametrize("text", PATHOLOGICAL.values(), ids=PATHOLOGICAL.keys())
def test_hopeless_texts_are_drawn_in_time(panel: Page, text: str, complaints: list[str]) -> None:
    durations = panel.evaluate(GROW, [text, len(text) // 3 + 1])
    assert max(durations) < PATIENCE_MS
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


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_growing_answer_costs_little_each_time(panel: Page, text: str) -> None:
    assert len(text) > 7_800
    durations = sorted(panel.evaluate(GROW, [text, 10]))
    assert durations[len(durations) // 2] < UPDATE_MS


def test_a_diff_has_signs_and_says_how_much_changes(panel: Page) -> None:
    before = "a\nb\n" + "same\n" * 20 + "<b>c</b>"
    after = "a\nB\nx\n" + "same\n" * 20 + "<b>c</b>"
    panel.evaluate(
        "([before, after]) => view.element.replaceChildren(diffView(before, after))",
        [before, after],
    )
    diff = panel.locator(".jllm-diff")
    assert diff.get_attribute("aria-label") == "2 lines added, 1 removed"
    assert diff.inner_text().splitlines() == [
        *(" a", "-b", "+B", "+x", " same", " same", " same"),
        "18 unchanged lines",
    ]
    assert diff.locator("ins").all_inner_texts() == ["+B", "+x"]
    assert diff.locator("del").all_inner_texts() == ["-b"]
