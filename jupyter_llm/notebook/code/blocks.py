"""The code in an answer: its fenced blocks, as sources of cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_llm.notebook.code.layout import Scanner
from jupyter_llm.notebook.code.syntax import has_code, syntax_error
from jupyter_llm.notebook.code.typography import without_prompts

# What a fence may say, and the magic that lets a cell hold it. A block in another language is no
# cell, and so is one that says nothing beside others that say Python: what a program prints, most
# likely.
_PYTHON = frozenset({"python", "python3", "py", "py3", "ipython", "ipython3", "pycon", "jupyter"})
_MAGICS = {
    **dict.fromkeys(("bash", "sh", "shell", "zsh", "console"), "%%bash"),
    "html": "%%html",
    **dict.fromkeys(("javascript", "js"), "%%javascript"),
    **dict.fromkeys(("latex", "tex"), "%%latex"),
}
_OPENING = re.compile(
    r"(?P<lead>[ \t]*(?:>[ \t]?|[-*+][ \t]+|\d{1,9}[.)][ \t]+)*)(?P<marks>`{3,}(?=[^`]*$)|~{3,})"
    r"[ \t]*(?P<info>.*)"
)
_SHELL_PROMPT = re.compile(r"[ \t]*[$%] ")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A piece of code from an answer, as a cell could hold it; it need not be valid.

    `language` is python, or the name of the `%%magic` that the source begins with. A block whose
    fence is missing at the end was perhaps cut off, and its last line torn if no other one follows.
    """

    source: str
    language: str = "python"
    is_closed: bool = True
    is_torn: bool = False


def code_blocks(answer: str) -> tuple[CodeBlock, ...]:
    """The code in an answer, in order.

    That is what stands in fences and can be a cell, or else the whole answer if it is code.
    """
    blocks = list(_fenced(answer.replace("\r\n", "\n").split("\n")))
    if not blocks:
        return _unfenced(answer)
    says_python = any(_language(info) == "python" for info, _, _ in blocks)
    cells = []
    for info, lines, is_closed in blocks:
        language = _language(info)
        if not language and not info and not says_python:
            language = "python"
        source = _source("\n".join(lines).strip("\n").rstrip(), language)
        if language and source:
            is_torn = not is_closed and bool(lines[-1].strip())
            cells.append(CodeBlock(source, language, is_closed, is_torn))
    return tuple(cells)


def _unfenced(answer: str) -> tuple[CodeBlock, ...]:
    source = without_prompts(answer.strip("\n").rstrip())
    is_code = bool(source) and syntax_error(source) is None and has_code(source)
    is_torn = not answer.endswith("\n")
    return (CodeBlock(source, is_closed=False, is_torn=is_torn),) if is_code else ()


def _language(info: str) -> str:
    if info in _PYTHON:
        return "python"
    return _MAGICS.get(info, "").lstrip("%")


def _source(source: str, language: str) -> str:
    if language == "python":
        return without_prompts(source)
    lines = source.split("\n")
    if language == "bash":
        typed = [line for line in lines if _SHELL_PROMPT.match(line)] or lines
        lines = [_SHELL_PROMPT.sub("", line) for line in typed]
        if all(re.match(r"(?:pip3?|conda) install ", line) for line in lines):
            return "\n".join(f"%{line}" for line in lines)
    return "\n".join([f"%%{language}", *lines]) if source else ""


def _fenced(lines: list[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Yield each fenced block: what the fence says it is, its lines, and whether it was closed."""
    index = 0
    while index < len(lines):
        opening = _OPENING.match(lines[index])
        index += 1
        if opening is None:
            continue
        word = re.search(r"[\w+#-]+", opening["info"])
        info = word[0].lower() if word is not None else ""
        inner, end, is_closed = _inside(lines, index, opening, is_python=info in {"", *_PYTHON})
        yield info, inner, is_closed
        index = end


def _inside(
    lines: list[str], start: int, opening: re.Match[str], *, is_python: bool
) -> tuple[list[str], int, bool]:
    """A block's lines, where the text goes on, and whether the block was closed.

    Fences in a text of triple quotes are part of it. Where the next fence of Python opens before
    this one is closed, the end was forgotten.
    """
    marks = opening["marks"]
    closing = re.compile(rf"[ \t]*{marks[0]}{{{len(marks)},}}[ \t]*")
    late = re.compile(rf"(.*[^\s{marks[0]}])[ \t]*{marks}[ \t]*")
    inner: list[str] = []
    scanner = Scanner()
    for index in range(start, len(lines)):
        text = _without_lead(lines[index], opening["lead"])
        is_end = closing.fullmatch(text) is not None
        is_next = is_python and not is_end and _OPENING.match(text) is not None
        ends_late = late.fullmatch(text) if is_python and not is_next else None
        if (is_end or is_next or ends_late) and not (is_python and scanner.string):
            last = [ends_late[1]] if ends_late is not None else []
            return [*inner, *last], index if is_next else index + 1, True
        inner.append(text)
        scanner.feed(text)
    return inner, len(lines), False


def _without_lead(line: str, lead: str) -> str:
    """Take off a line what stood before its fence: indentation, or the mark of a quotation."""
    if ">" in lead:
        return re.sub(r"^[ \t]*(?:>[ \t]?)+", "", line)
    width = len(line) - len(line.lstrip(" \t"))
    return line[min(width, len(lead)) :]
