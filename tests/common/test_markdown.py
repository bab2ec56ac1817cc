r"""What a model writes shows as it is meant and does nothing else.

Most of the hostile texts below ran a script or set an attribute in JupyterLab 4.6 at some time.
"""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markdown_readers import problems_in_commonmark, problems_in_jupyterlab

from jupyter_llm.common.markdown import untrusted_markdown

IMAGE = "<img src=x onerror=alert(1)>"

HARMLESS = {
    "empty": "",
    "prose": "Hello! How *are* you, **really**? It's 5 < 6 and a > b & c; x <- y, 3<4.\n",
    "headings": "# One\n\nTwo\n===\n\n### Three ###\n\n---\n",
    "lists": "- a\n  - b\n* c\n\n1. one\n2. two\n   more\n\n- [ ] open\n- [x] done\n",
    "quote": "> So it is,\n> he said.\n\nNo.",
    "table": "| a | b |\n|:--|--:|\n| 1 | `x` |\n",
    "links": "[a](https://a.b/c?d=e&f=g#h) [b](http://x.y/~z) [c](mailto:a@b.c) [d](#e)",
    "parentheses": "[Foo](https://en.wikipedia.org/wiki/Foo_(bar)) is (as https://a.b/c) said.",
    "entities": "&lt;b&gt; &amp; &copy;",
    "spans": "Use `List<String>`, `<div>` or `#include <stdio.h>`, not `a && b`.",
    "dollar span": "Set `$HOME` and `x`.",
    "fence": "So:\n```html\n<div class='x'><!-- 5 -->&lt;\n```\nIs that all?",
    "tildes": "~~~\n<b>`x`</b>\n~~~\n",
    "fence in a fence": "````markdown\n```py\n<x>\n```\n````\n",
    "shell": '```bash\necho "$HOME" $(ls) <<EOF\n```',
    "two fences": "```\n<a>\n```\n\nor\n\n```c++\n<b>\n```",
    "formulas": "$a < b$, \\\\(x_1\\\\)\n\n$$\n\\frac{a}{b}\n$$\n\n\\begin{a} a &= b \\end{a}",
    "formula and fence": "$x$\n\n```py\nx = '<b>'\n```\n\n$y$",
    "breaks": "a  \nb\\\nc\n\n***\n",
    "paths": "Read C:\\data\\new.csv, C:\\style or \\\\host\\id\\require; no \\class, \\texttip.",
    "code in a list": "1. Write:\n\n   ```html\n   <div>\n   ```\n\n2. Done.",
    "code with a gap in a list": "- Write:\n\n  ```html\n  <div>\n\n  </div>\n  ```\n",
    "code in a list in a list": "- a\n  - b\n\n    ```rust\n    Vec<T>\n    ```\n",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_markdown_is_unchanged(text: str) -> None:
    assert untrusted_markdown(text) == text


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
def test_every_beginning_of_an_answer_can_be_shown_while_it_is_written(text: str) -> None:
    for length in range(len(text)):
        result = untrusted_markdown(text[:length])
        assert problems_in_commonmark(result) == []
        assert problems_in_jupyterlab(result) == []


HOSTILE = {
    "tag": f"Hi {IMAGE}</p><script>alert(1)</script>",
    "tags at line starts": f"{IMAGE}\n\n<div>\n<style>*{{}}</style>\n</div>",
    "comment": f"<!-- a --> {IMAGE} <!-- \n```\n{IMAGE}\n```\n-->",
    "declarations": "<!DOCTYPE x> <?php x ?> <![CDATA[ x ]]>",
    "autolink": "<javascript:alert(1)> <https://a.b> <a@b.c>",
    "broken tag": "<img\nsrc=x\nonerror=alert(1)\n>",
    "image": "![x](https://e.vil/i.png) \\![x](https://e.vil/i.png) !![x](https://e.vil/i.png)",
    "image by reference": "![x][a] ![a]\n\n[a]: https://e.vil/i.png",
    "targets": "[x](javascript:alert(1)) [x]( data:text/html,x) [x](<javascript:alert(1)>)",
    "targets on a new line": "[x](\njavascript:alert(1)) [x](vbscript:x 'y')",
    "targets in disguise": "[x](&#106;avascript:a) [x](JaVaScript:a) [x](java\\script:a)",
    "reference": "[x]\n\n[x]: javascript:alert(1)",
    "reference in a quote": "> [x]: javascript:alert(1)\n\n- [y]: data:text/html,x\n\n[x] [y]",
    "reference with a bracket": "[a\\]b]: javascript:alert(1)\n\n[a\\]b]",
    "reference on two lines": "[x]:\njavascript:alert(1)\n\n[a\nb]: javascript:x\n\n[x] [a b]",
    "title over code": f'[a]: https://x "t\n\n```\n"\n{IMAGE}\n```',
    "span in a target": f"[x](`a){IMAGE}`",
    "span in a web target": f"[x](https://a`){IMAGE}`",
    "span in a title": f'[x](https://a "`"){IMAGE}`',
    "span in a pointed target": f"[x](<`a>){IMAGE}`",
    "span in an address": f"https://a`b {IMAGE}`",
    "span after a tilde": f"~a `x~ {IMAGE}`",
    "span beside a tilde": f"~`{IMAGE}`",
    "span in emphasis": f"*a ``x`y`* {IMAGE}``",
    "span over cells": f"a | b\n--|--\n`x | {IMAGE}`",
    "escaped span": f"\\`{IMAGE}`",
    "uneven span": f"``a` {IMAGE}`",
    "info string": f'```x">{IMAGE}\ncode\n```',
    "info string with a quote": '```x" onmouseover="alert(1)\ncode\n```',
    "info string in a list": '- ```x" onclick=alert(1) y="\n  c\n  ```',
    "info string of tildes": '~~~x" onclick=alert(1) y="`\nc\n~~~',
    "table in an info string": f"~~~a|b\n-|-\n{IMAGE}`\n~~~",
    "formula in a target": '[x](https://a/$"onmouseover="alert(1)$)',
    "formula in an address": 'https://a/$"onmouseover="alert(1)$ www.a.b/\\\\("x="\\\\)',
    "formula in a title": '[x](https://a "$\' y="z$")',
    "formula by its number": '$"onmouseover="alert(1)$\n\n[x](https://a "@\\@0@@")',
    "formula by a joined number": '$"x="$\n\n[x](https://a/@@1$y$1@@ "@@1$z$1@@")',
    "formula over a fence's end": f"```\n\\begin{{a}}\n```\n\\end{{a}}\n\n```\n{IMAGE}\n```",
    "formula over a fence's start": f"$\n```\n$\n```\n\n```\n{IMAGE}\n```",
    "formula over tags": f"$a {IMAGE}\n\n$",
    "fence closed by a mixture": f"```\n```~~~\n{IMAGE}\n```",
    "fence closed by a tab": f"```\n```\t\n```\n{IMAGE}\n```",
    "fence closed by carriage returns": f"~~~\r~~~\r{IMAGE}",
    "fence closed within": f"````\n```\n{IMAGE}\n````",
    "fence indented": f" ```\nx\n```\n\n```\n{IMAGE}\n```",
    "fence in a list": f"- ```\n\n```\n{IMAGE}\n```",
    "fence in a quote": f"> ```\n\n```\n{IMAGE}\n```\n> ~~~\n{IMAGE}",
    "fence in a task": f"- [ ] ```\n  x\n  ```\n{IMAGE}\n```",
    "fence after tabs": f"text\n\t\n\t```\n\t{IMAGE}\n",
    "fence after text": f"text\n    ```\n    {IMAGE}\n    ```",
    "fence with an odd end": f"```\n```\u2028{IMAGE}\n```\x0b{IMAGE}\n```\x85{IMAGE}\x0c",
    "nothing": f"\x00<\x00{IMAGE} [x](java\x00script:a) `\x00`{IMAGE}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_markdown_is_only_text(text: str) -> None:
    result = untrusted_markdown(text)
    assert problems_in_commonmark(result) == []
    assert problems_in_jupyterlab(result) == []


def tags_that_marked_sees(text: str) -> list[str]:
    """Return the lines with a tag outside the fences that marked sees: its ends differ."""
    found: list[str] = []
    end: re.Pattern[str] | None = None
    for line in re.split(r"\r\n?|\n", text):
        if end is not None:
            end = None if end.fullmatch(line) else end
        elif opening := re.match(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})", line):
            end = re.compile(rf" {{0,3}}{opening[1]}[~`]* *")
        elif re.search(r"<[A-Za-z/!?]", line):
            found.append(line)
    return found


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("fence closed")])
def test_what_only_marked_takes_for_a_fences_end_is_none(name: str) -> None:
    assert tags_that_marked_sees(untrusted_markdown(HOSTILE[name])) == []


# What marked, JupyterLab's renderer, reads before it looks for code spans, and then those.
_BEFORE_SPANS = re.compile(
    r"(?:https?://|www\.)\w[^\s<]*"
    r"|(~~?)(?=[^\s~]).*?[^\s~]\1(?!~)|[`~]*~[`~]*"
    r"|\*[^*]*\*"
    r"|(?<!\\)(`+)[^`]+\2(?!`)"
)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("span")])
def test_what_marked_takes_for_no_span_holds_no_tag(name: str) -> None:
    rest = _BEFORE_SPANS.sub("", untrusted_markdown(HOSTILE[name]))
    assert not re.search(r"<[A-Za-z/!?]", rest)


@pytest.mark.parametrize("info", ["mermaid", "mermaid ", "Mermaid"])
def test_a_diagram_is_shown_as_code_since_it_may_load_images(info: str) -> None:
    text = f'```{info}\nflowchart LR\n A@{{ img: "https://e.vil/i.png" }}\n```'
    assert "mermaid" not in untrusted_markdown(text).lower()


FRAGMENTS = (
    *(IMAGE, "<b>", "</b>", "<!--", "-->", "<?x", "<![CDATA[", "<script>", "<", ">", "</", "<x\n"),
    *("`", "`", "``", "```", "````", "\n```\n", "```py\n", "~", "~~", "~~~", "\n~~~\n", "```~~~\n"),
    *("\n", "\n", "\n\n", " ", "    ", "\t", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\0"),
    *("- ", "* ", "1. ", "> ", "- [ ] ", "\n  - ", "\n   ```\n", "\n- a\n\n  ", "\n1. ```x\n"),
    *("$", "$$", "\\\\(", "\\\\)", "\\\\[", "\\begin{a}", "\\end{a}", "{", "}", "\\", "\\\\"),
    *("@@0@@", "@@1", "1@@", "@\\@0@@", '"', "'", '"onmouseover="alert(1)', ' "t"'),
    *("[", "]", "(", ")", "![", "](", "[x](", "[x]: https://a ", "[x]", "[x](https://a", "!"),
    *("](javascript:alert(1))", "javascript:alert(1)", "data:text/html,x"),
    *("https://a/", "www.a.b/"),
    *("|", "|a|b|\n|-|-|\n|", "*", "**", "_", "a", "b ", "#", "===\n", "&lt;", "&#60;", "<a@b.c>"),
)
HOSTILE_TEXTS = st.builds(
    str.__add__,
    st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join),
    st.sampled_from(("", IMAGE, f"{IMAGE}`", f"{IMAGE}\n```\n", f"{IMAGE}\n~~~")),
)


@settings(max_examples=1000, deadline=None)
@given(HOSTILE_TEXTS)
def test_no_text_becomes_more_than_text(text: str) -> None:
    result = untrusted_markdown(text)
    assert problems_in_commonmark(result) == []
    assert problems_in_jupyterlab(result) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit",
    ["\n", "\n ", "](", "`", "`a|", "www.", "https://(", "- ", "- [ ] ", "```\n", "$`", "<a"],
)
def test_long_hostile_texts_are_read_in_time(unit: str) -> None:
    # A few hundredths of a second each; what grows with the square of the length takes minutes.
    untrusted_markdown(unit * (100_000 // len(unit)))


ACTING = {
    "an address": r"$\href{javascript:alert(1)}{x}$ \\(\url{https://e.vil}\\)",
    "a style": r"$$\style{background:url(https://e.vil)}{x}\bbox[background:url(x)]{y}$$",
    "an attribute": r"\\[\mmlToken{mi}[href=\"x\"]{y}\htmlData{a=b}{c}\cssId{a}{b}\\]",
    "a file": "$\\includegraphics{https://e.vil/x.png}\\require{html}$",
    "entities": "&#36;\\s&#116;yle{a}{b}&dollar; &bsol;href{a}{b} &#92;class{a}{b}",
    "delimiters in entities": r"\&#40;\href{a}{b}\) &#92;&lbrack;\style{a}{b}",
    "a reference": r"\ref{a}\href{a}{b}",
    "an environment": r"\begin{a}\url{b}\end{a}",
    "a formula elsewhere": "Read C:\\style{a}{b}.\n\n```\n$x$\n```\n\nSo.",
    "a formula over a fence": "$$\n```\n$$ \\style{a}{b}\n```",
}
# Any command right before an argument that could be an address, a style or a name, once read.
COMMAND = re.compile(
    r"\\(?:href|url|style|class|cssId|bbox|mmlToken|html\w+|include\w+|require)\s*[\[{]"
)


@pytest.mark.parametrize("text", ACTING.values(), ids=ACTING.keys())
def test_no_formula_does_more_than_show_signs(text: str) -> None:
    assert not COMMAND.search(unescape(untrusted_markdown(text)))


def test_formulas_and_code_that_only_show_signs_are_unchanged() -> None:
    text = r"$\frac{a}{b} \mathcal{S}$" "\n\n`\\href{a}{b}`\n\n```tex\n\\style{a}{b}\n```"
    assert untrusted_markdown(text) == text


def test_hidden_characters_are_shown_as_their_numbers() -> None:
    assert untrusted_markdown("a\u202eb `\u2066` 👩‍🔬") == "a[U+202E]b `[U+2066]` 👩‍🔬"
