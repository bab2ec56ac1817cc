"""Extracts the code of an answer: its fenced blocks, as sources of cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_llm.notebook.code.syntax import has_code, syntax_error
from jupyter_llm.notebook.code.typography import without_prompts

# Languages of fences, and the cell magics for them. A block in another language becomes no cell.
# Nor does a block without a language beside blocks of Python: it is probably a program's output.
_PYTHON = frozenset({"python", "python3", "py", "py3", "ipython", "ipython3", "pycon", "jupyter"})
_MAGICS = {
    **dict.fromkeys(("bash", "sh", "shell", "zsh", "console"), "%%bash"),
    "html": "%%html",
    **dict.fromkeys(("javascript", "js"), "%%javascript"),
    **dict.fromkeys(("latex", "tex"), "%%latex"),
}
FENCE = re.compile(
    r"""(?mx)
    ^(?P<lead>[ \t]*(?:>[ \t]?|[-*+][ \t]+|\d{1,9}[.)][ \t]+)*+)
    (?P<marks>`{3,}(?=[^`\n]*$)|~{3,}(?![~^]))[ \t]*(?P<info>[^\n]*)(?:\n|\Z)
    (?P<code>(?s:(?>\"{3}.*?\"{3}|'{3}.*?'{3}|.))*?)
    (?P<end>^[ \t>]*(?P=marks)[`~]*[ \t\r]*$|(?<=[^\s`~])[ \t]*(?P=marks)[ \t\r]*$
      |(?=^[ \t>]*(?P=marks)\w)|\Z)
    """
)
"""A fenced block in Markdown.

Fences inside a triple-quoted string do not count, nor do the marks that Python draws below an
error. A fence may close at the end of a line of code. Without a closing fence, the block ends at
the next opening fence or at the end of the text.
"""
_SHELL_PROMPT = re.compile(r"[ \t]*[$%] ")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A piece of code from an answer, as the source of a cell; it need not be valid.

    `language` is python, or the name of the `%%magic` at the start of the source. If the closing
    fence is missing, the answer may be cut off; `is_torn` says that its last line may be
    incomplete.
    """

    source: str
    language: str = "python"
    is_closed: bool = True
    is_torn: bool = False


def code_blocks(answer: str) -> tuple[CodeBlock, ...]:
    """Return the code in an answer, in order.

    The code is in fences; without any fence, the whole answer counts if it is code.
    """
    blocks = list(_fenced(answer.replace("\r\n", "\n")))
    if not blocks:
        return _unfenced(answer)
    has_python = any(_language(info) == "python" for info, _, _ in blocks)
    cells = []
    for info, code, is_closed in blocks:
        language = _language(info)
        if not language and not info and not has_python:
            language = "python"
        source = _source(code.strip("\n").rstrip(), language)
        if language and source:
            is_torn = not is_closed and bool(code.rpartition("\n")[2].strip())
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


def _fenced(answer: str) -> Iterator[tuple[str, str, bool]]:
    """Yield each fenced block: its language, its code, and whether it was closed."""
    for block in FENCE.finditer(answer):
        word = re.search(r"[\w+#-]+", block["info"])
        # The text before the fence: indentation, or the mark of a quotation.
        width = len(block["lead"])
        lead = r"[ \t]*(?:>[ \t]?)+" if ">" in block["lead"] else rf"[ \t]{{0,{width}}}"
        code = re.sub(rf"(?m)^{lead}", "", block["code"])
        is_closed = bool(block["end"]) or block.end() < len(answer)
        yield word[0].lower() if word is not None else "", code, is_closed
