r"""Makes the model's Markdown safe to show in a notebook.

A notebook trusts the outputs of its own cells: JupyterLab inserts their HTML and attributes into
the page unchanged, and loads their images. The model's text deserves no such trust.

`untrusted_markdown` removes raw HTML, images, links with side effects, active commands in formulas
and invisible characters. Code stays unchanged wherever it is certainly code. Only this module makes
`Markdown`.

Renderers disagree about where code begins. JupyterLab also cuts out formulas before it looks for
code, and puts them back into the finished HTML, attributes included. So fences are rewritten in a
form that all renderers read alike, and no formula may start inside an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from typing import NewType

from jupyter_llm.common.controls import visible
from jupyter_llm.common.html_text import Html

Markdown = NewType("Markdown", str)
"""Harmless Markdown that only shows its text."""

_LINE_END = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")  # any renderer's line end
_FENCE = re.compile(
    r"((?:[ \t]*(?:[-*+]|\d{1,9}[.)])(?=[ \t])(?:[ \t]+\[[ xX]\](?=[ \t]))?)*)"
    r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})(.*)$"
)
# JupyterLab inserts the info string into an attribute, unescaped.
_NOT_INFO = re.compile(r"[^\w+#.,:;/=(){} \-]")
_FORMULA = re.compile(r"\$|\\\\[\[\]()]|\\(?:begin|end)")
# Formulas as MathJax finds them in a page: it also reads `\ref{…}` without signs around it.
_SEEN_FORMULA = re.compile(r"\$|\\[\[\]()]|\\(?:begin|end|(?:eq)?ref\s*\{)")
_DISPLAY = re.compile(r"\\?\$\$|\\\\[\[\]]|\\(?:begin|end)\{[a-z]*\*?\}", re.IGNORECASE)
# The commands of MathJax and KaTeX that take an address, a style, an attribute or a file.
_ACTING = (
    r"\\(?=(?:href|url|includegraphics|require|style|class|cssId|id|data|html[A-Za-z]+|bbox"
    r"|mmlToken|setOptions|texttip)(?![A-Za-z]))"
)
_DANGER = re.compile(rf"(?<=<)(?=[A-Za-z/!?])|(?<=\])(?=[(:])|(?<=!)(?=\[)|(?<={_ACTING})")
_SPAN = r"(?<!\\)`[^`\n|]+`"  # a pipe would end it at a table cell's border
_ADDRESS = r"(?:https?://|mailto:|#)(?:[^\s()<>\[\]{}\\`$\"'|@]|@(?!@)|\([\w.,%~-]*\))*"
_TOKEN = (
    rf"(?P<target>\]\((?P<address>{_ADDRESS}\))?)"
    r"|(?P<bare>(?:://|www\.)(?![^\s`$\\]{0,999}+(?!\S)))"
    r"|(?P<tag><(?=[A-Za-z/!?]))"
    r"|(?P<image>!(?=\[))|(?P<definition>\](?=:))|(?P<marker>@(?=\\?@))"
    rf"|(?P<command>{_ACTING})|(?P<entity>&(?=(?P<named>#?\w+;)))"
    r"|(?P<fence>^[ \t>*+\-\d.)\[\]xX]*(?:`{3,}|~{3,}))"
)
_FLAGS = re.IGNORECASE | re.MULTILINE
_PROSE = re.compile(_TOKEN, _FLAGS)
_PROSE_AND_SPANS = re.compile(rf"(?P<span>{_SPAN})|{_TOKEN}", _FLAGS)


def untrusted_markdown(text: str) -> Markdown:
    """Return Markdown that shows the text and does nothing else."""
    parsed = [(is_code, [*map(visible, lines)]) for is_code, lines in blocks(text)]
    has_formula, may_act = _FORMULA.search(text) is not None, _may_act(text)
    # In nbconvert, a formula may begin in one block and end in another, across blank lines.
    is_moot = any(_leaves_formula_open("\n".join(lines)) for _, lines in parsed)
    parts: list[str] = []
    needs_gap = False
    for is_code, lines in parsed:
        # A formula ends at a blank line, so a gap keeps formulas from crossing into code or out of
        # it. Indented code also needs a blank line before it.
        if is_code:
            needs_gap = has_formula or lines[0].startswith(" ")
        if needs_gap and parts and parts[-1].strip(" \t") and lines[0].strip(" \t"):
            parts.append("")
        if is_code:
            parts += [_DANGER.sub(" ", line) for line in lines] if is_moot else lines
        else:
            prose = "\n".join(line if line.strip() else "" for line in lines)
            parts += _safe_prose(prose, may_act=may_act).split("\n")
    return Markdown("\n".join(parts))


def joined_markdown(texts: Iterable[str]) -> Markdown:
    """Join texts as safe Markdown; a fence that a text opens ends with that text.

    Joining safe pieces is not enough: a formula might begin in one and end in another.
    """
    pieces = [untrusted_markdown(text) for text in texts]
    text = "\n\n".join(pieces)
    is_safe = len(pieces) == 1 or not _may_act(text)
    return Markdown(text) if is_safe else untrusted_markdown(text)


def enclosed(before: Html, inside: Markdown, after: Html | None = None) -> Markdown:
    """Return Markdown between lines of HTML."""
    return Markdown("\n\n".join(filter(None, (before, inside, after))))


def blocks(text: str) -> list[tuple[bool, list[str]]]:
    """Return the lines of each block of a text, and whether it is code with its fences."""
    text = _LINE_END.sub("\n", text).replace("\x00", "\ufffd")
    return list(_blocks(text.split("\n")))


def _may_act(text: str) -> bool:
    r"""Whether a text may contain a formula; without one, `\data` is a part of a path."""
    return _SEEN_FORMULA.search(unescape(text)) is not None


def _leaves_formula_open(text: str) -> bool:
    closer: str | None = None
    for mark in _DISPLAY.findall(text):
        if closer is not None:
            closer = None if mark == closer else closer
        elif mark in ("$$", r"\\[") or mark.startswith(r"\begin"):
            closer = {"$$": "$$", r"\\[": r"\\]"}.get(mark, mark.replace("begin", "end"))
        else:
            return True
    return closer is not None


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield the blocks: prose unchanged, fences in the form that all renderers read alike."""
    prose: list[str] = []
    rest = iter(lines)
    for line in rest:
        opening = _FENCE.match(line)
        if opening is None:
            prose.append(line)
            continue
        bullets, space, marks, info = opening.groups()
        prose += [bullets, ""] if bullets else []
        if prose:
            yield False, prose
            prose = []
        indent = 0 if bullets else len(space.expandtabs(4))
        yield True, _fence(marks, info, indent, _code(rest, marks, indent))
    if prose:
        yield False, prose


def _code(rest: Iterator[str], marks: str, indent: int) -> list[str]:
    """Consume the lines of a fence up to its end; a streaming answer may have no end yet."""
    end = re.compile(rf"[ \t]*{marks}{marks[0]}*[ \t]*")
    code: list[str] = []
    for line in rest:
        width = len(line) - len(line.lstrip(" "))
        if width < indent + 4 and end.fullmatch(line):
            break
        code.append(line[min(width, indent) :])
    return code


def code_block(source: str, language: str = "python") -> str:
    """Return source in a fence that it cannot close."""
    marks = _longer("```", source)
    end = "" if source.endswith("\n") else "\n"
    return f"{marks}{language}\n{source}{end}{marks}"


def _longer(marks: str, code: str) -> str:
    """Return a fence's marks, long enough that no line of the code closes it."""
    runs: list[str] = re.findall(rf"{marks[0]}{{3,}}", code)
    return max([marks, *(run + marks[0] for run in runs)], key=len)


def _fence(marks: str, info: str, indent: int, code: list[str]) -> list[str]:
    marks = _longer(marks, "\n".join(code))
    info = _NOT_INFO.sub("", info)
    if info.strip().lower().startswith("mermaid"):
        info = "text"  # a diagram may load images
    return [" " * indent + line if line else line for line in (marks + info, *code, marks)]


def _safe_prose(text: str, *, may_act: bool) -> str:
    paragraphs = re.split(r"(\n{2,})", text)
    return "".join(_safe_paragraph(paragraph, may_act=may_act) for paragraph in paragraphs)


def _safe_paragraph(text: str, *, may_act: bool) -> str:
    spans = re.findall(_SPAN, text)
    others = re.sub(_SPAN, "", text)
    is_moot = _FORMULA.search(text) is not None or "`" in others or ("~" in others and bool(spans))
    if is_moot:
        # It is unclear which part is code. An entity would be visible in code or in a formula; a
        # space harms neither.
        return _PROSE.sub(lambda token: _safe(token, "< ", may_act=may_act), text)
    return _PROSE_AND_SPANS.sub(lambda token: _safe(token, "&lt;", may_act=may_act), text)


def _safe(token: re.Match[str], less_than: str, *, may_act: bool) -> str:
    text = token[0]
    match token.lastgroup:
        case "tag":
            return less_than
        case "target":
            return text if token["address"] else "] ("
        case "entity" if not re.search(r"[A-Za-z\\]", unescape(f"&{token['named']}")):
            return text
        case "command" if not may_act:
            return text
        case "bare" | "image" | "definition" | "marker" | "command" | "entity":
            return text + " "
        case "fence":
            return re.sub(r"([`~])", r"\\\1", text)
    return text  # a code span
