"""Whatever a model or a tried draft says, in whatever place: it is shown, and does nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hostile_outputs import outputs_with
from support.hostile_texts import texts_that_call
from support.html_reader import HtmlReader
from support.markdown_readers import problems_in_commonmark, problems_in_jupyterlab

import jupyter_llm

ADDRESS = "http://e.vil"
PLACES = [*outputs_with("a")]
INERT = {
    *("b", "code", "details", "div", "em", "p", "pre", "small", "span", "summary"),
    *("table", "tr", "td", "th"),
}
# What the transcript and folded thoughts are wrapped in, which are our own.
OURS = re.compile(r'<(?:div class="jupyter-llm-transcript"|details class="tex2jax).*|</div>\n')
MAKERS = {"Markdown": "markdown.py", "Html": "html_text.py", "Bundle": "bundle.py"}
# What IPython asks a value for, but for text and the panel, which is a widget.
MARKUP = re.compile(r"(?:text/(?!plain)|image/|application/)\w")
RICH = re.compile(r"_repr_(?!pretty_)\w+_$|_ipython_display_$")


@pytest.mark.parametrize("place", PLACES)
def test_no_place_shows_more_of_a_hostile_text_than_text(place: str) -> None:
    for text in texts_that_call(ADDRESS)[PLACES.index(place) % 5 :: 5]:
        data = outputs_with(text)[place]
        if html := data.get("text/html"):
            page = HtmlReader(html)
            assert page.tags <= INERT
            assert page.names <= {"style", "title", "dir", "class", "open"}
            assert page.is_plain
            assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">')
        else:
            markdown = OURS.sub("", data["text/markdown"])
            assert problems_in_commonmark(markdown) == []
            assert problems_in_jupyterlab(markdown) == []


def other_ways(path: Path) -> Iterator[str]:
    """The places in a file that make a bundle, or say that markup is harmless, by themselves."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Dict(keys=keys) if path.name != "bundle.py":
                yield from (where for key in keys if MARKUP.match(value_of(key)))
            case ast.Assign(targets=[ast.Subscript(slice=key)]) if path.name != "bundle.py":
                yield from [where] * bool(MARKUP.match(value_of(key)))
            case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in MAKERS:
                yield from [where] * (path.name != MAKERS[name])
            case ast.Call(func=ast.Name(id="filled"), args=[template, *_]):
                yield from [where] * (value_of(template) == "" and path.name != "html_text.py")
            case ast.FunctionDef(name=name, returns=returns) if RICH.fullmatch(name):
                typed = ast.unparse(returns) if returns else ""
                yield from [where] * (typed != "tuple[Bundle, dict[str, Any]]")


def value_of(node: ast.expr | None) -> str:
    """A text that stands in the source, there or in a constant of the module; else nothing."""
    if isinstance(node, ast.Name) and re.fullmatch("_[A-Z_]+", node.id):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_there_is_no_other_way_into_an_output() -> None:
    package = Path(jupyter_llm.__file__).parent
    found = [way for path in sorted(package.rglob("*.py")) for way in other_ways(path)]
    (panel,) = found  # the panel itself, which is a widget and shows no text
    assert panel.startswith("panel.py:")
