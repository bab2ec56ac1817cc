"""Removes prompts and typographic characters from code in an answer.

Each function takes code with a syntax error and removes one kind of disturbance.
"""

# ruff: noqa: RUF001  the ambiguous characters are the point

from __future__ import annotations

import re
import textwrap

from jupyter_llm.notebook.code.layout import SourceLine, layout

_LINE_END = re.compile("\r\n?")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufeff\ud800-\udfff]")
_SEPARATORS = re.compile("[\x0b\x0c\x85\u2028\u2029]")
_PROMPT = re.compile(r"(?:[ \t]*(?:>>>|In \[[\d ]*\]:|\.{3,}:)(?: |$))+")
_HEADER = re.compile(r"(?m)^[ \t]*In ?\[[\d ]*\]:[ \t]*(?:\n|\Z)")  # alone, as in our prompts
_OUTPUT = re.compile(r"(?ms)^[ \t]*Out ?\[[\d ]*\]:[ \t]*$.*?(?=^[ \t]*In ?\[|\Z)")
_HEAD = re.compile(r"[ \t]*(?:In|Out) ?\[[\d ]*\]:")
_CONTINUATION = re.compile(r"(?:[ \t]*\.{3,}:?(?: |$))+")
PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("‘’‚′", "'"),
        **dict.fromkeys("‐‑‒–—−", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\u3000", " "),
        "×": "*",
        "…": "...",
    }
)
"""Python's characters for typographic quotes, dashes, spaces and signs."""


def readable_characters(source: str) -> str:
    """Remove characters that Python cannot read, and use its line ends."""
    source = _CONTROLS.sub("", _LINE_END.sub("\n", source))
    return _SEPARATORS.sub(" ", source)


def dedented(source: str) -> str:
    """Remove indentation that all lines share."""
    return textwrap.dedent(source) if source.lstrip("\n")[:1] in (" ", "\t") else source


def without_prompts(source: str) -> str:
    r"""Return the input at the prompts `>>>` or `In [1]:` without the output.

    >>> without_prompts(">>> 6 * 7\n42")
    '6 * 7'
    """
    heads = (line for line in layout(source) if not line.is_in_string)
    if any(map(_HEAD.match, (line.text for line in heads))):  # heads inside strings do not count
        source = _HEADER.sub("", _OUTPUT.sub("", source))
    lines = layout(source)
    if not any(_is_prompt(line) for line in lines):
        return source
    typed = []
    has_begun = is_typing = False
    for line in lines:
        is_continued = is_typing and _CONTINUATION.match(line.text) is not None
        is_typing = _is_prompt(line) or is_continued
        has_begun = has_begun or is_typing
        if is_typing:
            text = _PROMPT.sub("", line.text, count=1)
            typed.append(_CONTINUATION.sub("", text, count=1))
        elif not has_begun:  # text before the first prompt is no output
            typed.append(line.text)
    return textwrap.dedent("\n".join(typed))


def _is_prompt(line: SourceLine) -> bool:
    return not line.is_in_string and _PROMPT.match(line.text) is not None
