"""How renderers read Markdown, as far as it matters to what a hostile text can do.

`problems_in_commonmark` asks markdown-it-py, raw HTML allowed. `problems_in_jupyterlab` does what
JupyterLab does around its renderer: it cuts formulas out before, puts them back into the finished
HTML, attributes included, and writes the info string of a fence into an attribute as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

SCHEMES = ("http", "https", "mailto")
_BLOCKS = ("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul")
_TABLE = ("table", "tbody", "td", "th", "thead", "tr")
TAGS = frozenset((*_BLOCKS, *_TABLE, "a", "br", "code", "del", "em", "s", "strong"))
ATTRIBUTES = frozenset(
    {("a", "href"), ("code", "class"), ("ol", "start"), ("td", "style"), ("th", "style")}
)

_MATH = re.compile(
    r"(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|@@\d+@@|\\\\[()\[\]])",
    re.IGNORECASE,
)
_CLOSER = {"$": "$", "$$": "$$", r"\\(": r"\\)", r"\\[": r"\\]"}
_BARE = re.compile(r"(?:https?://|www\.)[^\s<]*", re.IGNORECASE)


def commonmark() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def problems_in_commonmark(text: str) -> list[str]:
    """Return what a CommonMark renderer would find beside text, code and plain links."""
    return [problem for token in _tokens(commonmark().parse(text)) for problem in _problems(token)]


def _tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


def _problems(token: Token) -> Iterator[str]:
    if token.type in ("html_inline", "html_block", "image"):
        yield f"{token.type}: {token.content}"
    if token.type == "link_open" and not _is_plain(str(token.attrs["href"])):
        yield f"link to {token.attrs['href']}"


def _is_plain(address: str) -> bool:
    scheme, colon, _ = re.sub(r"[\x00-\x20]", "", address).partition(":")
    return not colon or scheme.startswith("#") or scheme.lower() in SCHEMES


def problems_in_jupyterlab(text: str) -> list[str]:
    """Return tags and attributes in JupyterLab's HTML that Markdown itself would not make."""
    text, formulas = _cut_formulas(re.sub(r"\r\n?", "\n", text))
    renderer = commonmark()
    tokens = renderer.parse(text)
    problems = [
        f"formula in {address}"
        for token in _tokens(tokens)
        for address in (_BARE.findall(token.content) if token.type == "text" else ())
        for mark in re.findall(r"@@\d+@@", address)
        if not formulas[int(mark[2:-2])].startswith("@@")
    ]
    html = "".join(
        f'<pre><code class="language-{token.info}">{escape(token.content)}</code></pre>'
        if token.type == "fence"
        else renderer.renderer.render([token], renderer.options, {})
        for token in tokens
    )
    html = re.sub(
        r"@@(\d+)@@",
        lambda mark: formulas[int(mark[1])] if int(mark[1]) < len(formulas) else mark[0],
        html,
    )
    reader = _TagReader()
    reader.feed(html)
    return problems + reader.problems


def _cut_formulas(text: str) -> tuple[str, list[str]]:
    """Replace each formula by a mark; a formula ends at a blank line, and its braces balance."""
    formulas: list[str] = []
    done = ""
    parts = _MATH.split(text)  # text and delimiter in turn
    index = 0
    while index < len(parts):
        part = parts[index]
        end = None
        if index % 2 and part.startswith("@@"):
            end = index
        elif index % 2:
            end = _formula_end(parts, index)
        if end is None:
            done += part
            index += 1
            continue
        done += f"@@{len(formulas)}@@"
        formula = "".join(parts[index : end + 1])
        formulas.append(escape(formula, quote=False) if end > index else formula)
        index = end + 1
    return done, formulas


def _formula_end(parts: list[str], start: int) -> int | None:
    begin = parts[start]
    closer = _CLOSER.get(begin)
    if begin[1:6].lower() == "begin":
        closer = "\\end" + begin[6:]
    braces = 0
    last = None
    for index in range(start + 2, len(parts), 2) if closer else ():
        part = parts[index]
        if part == closer and not braces:
            return index
        if part == closer:
            last = index
        elif part.count("\n") > 1:
            break
        else:
            braces = max(0, braces + (part == "{") - (part == "}"))
    return last


class _TagReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.problems.append(f"<{tag}>")
        self.problems += [
            f"{name} of <{tag}>" for name, _ in attrs if (tag, name) not in ATTRIBUTES
        ]

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"<!--{data}")
