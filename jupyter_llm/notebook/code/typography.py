"""What surrounds or disguises code in an answer: prompts, fences, typographic characters.

Each function takes code that Python cannot read and returns it without one such thing. What stands
in strings and comments stays, as far as anybody can tell what is one.
"""

# ruff: noqa: RUF001  the ambiguous characters are the point

from __future__ import annotations

import re
import textwrap

from jupyter_llm.notebook.code.layout import Line, layout

_LINE_END = re.compile("\r\n?")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufeff\ud800-\udfff]")
_SEPARATORS = re.compile("[\x0b\x0c\x85\u2028\u2029]")
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[\w+#.{} -]*$")
_FENCE_END = re.compile(r"`{3,}[ \t]*$")
_PROMPT = re.compile(r"(?:[ \t]*(?:>>>|In \[[\d ]*\]:|\.{3,}:)(?: |$))+")
_HEADER = re.compile(r"(?m)^[ \t]*In ?\[[\d ]*\]:[ \t]*(?:\n|\Z)")  # alone, as in our prompts
_OUTPUT = re.compile(r"(?ms)^[ \t]*Out ?\[[\d ]*\]:[ \t]*$.*?(?=^[ \t]*In ?\[|\Z)")
_HEAD = re.compile(r"[ \t]*(?:In|Out) ?\[[\d ]*\]:")
_CONTINUATION = re.compile(r"(?:[ \t]*\.{3,}:?(?: |$))+")
_INSTALL = re.compile(r"([ \t]*)(?:[$!][ \t]*)?((?:pip3?|conda|mamba)[ \t]+install[ \t]+\S.*)")
_STRING_OR_COMMENT = (
    r"\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}"
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|\#[^\n]*'
)
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»＂″", '"'),
        **dict.fromkeys("‘’‚‛＇′´", "'"),
        **dict.fromkeys("‐‑‒–—−", "-"),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\u00ad", ""),
        **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000", " "),
        **dict.fromkeys(map(chr, range(0x2000, 0x200B)), " "),
        "×": "*",
        "·": "*",
        "÷": "/",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "→": "->",
        "…": "...",
        # Full width, as Chinese and Japanese are typed.
        **{chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum()},
    }
)
_DISGUISED = re.compile(
    f"({_STRING_OR_COMMENT})|[{''.join(map(re.escape, map(chr, _PLAIN)))}]", re.DOTALL
)


def readable_characters(source: str) -> str:
    """Leave out characters that Python never reads, and end lines as it does."""
    source = _CONTROLS.sub("", _LINE_END.sub("\n", source))
    return _SEPARATORS.sub(" ", source)


def dedented(source: str) -> str:
    """Take off what all lines are indented."""
    return textwrap.dedent(source) if source.lstrip("\n")[:1] in (" ", "\t") else source


def without_prompts(source: str) -> str:
    r"""What was typed at the prompts `>>>` or `In [1]:`; what was printed goes.

    >>> without_prompts(">>> 6 * 7\n42")
    '6 * 7'
    """
    heads = (line for line in layout(source) if not line.is_in_string)
    if any(map(_HEAD.match, (line.text for line in heads))):  # and none only in a text
        source = _HEADER.sub("", _OUTPUT.sub("", source))
    lines = layout(source)
    if not any(_is_prompt(line) for line in lines):
        return source
    typed = []
    has_begun = is_typing = False
    for line in lines:
        goes_on = is_typing and _CONTINUATION.match(line.text) is not None
        is_typing = _is_prompt(line) or goes_on
        has_begun = has_begun or is_typing
        if is_typing:
            text = _PROMPT.sub("", line.text, count=1)
            typed.append(_CONTINUATION.sub("", text, count=1))
        elif not has_begun:  # what stands before the first prompt was not printed
            typed.append(line.text)
    return textwrap.dedent("\n".join(typed))


def _is_prompt(line: Line) -> bool:
    return not line.is_in_string and _PROMPT.match(line.text) is not None


def without_fences(source: str) -> str:
    """Leave out lines of fences, and a fence behind the last word of a line."""
    lines = []
    for line in layout(source):
        if line.is_in_string:
            lines.append(line.text)
        elif not _FENCE.match(line.text):
            lines.append(_FENCE_END.sub("", line.text))
    return "\n".join(lines)


def with_install_magics(source: str) -> str:
    """Put the `%` before `pip install`, as a cell needs it."""
    return "\n".join(
        line.text if line.is_in_string else _INSTALL.sub(r"\1%\2", line.text, count=1)
        for line in layout(source)
    )


def with_plain_characters(source: str) -> str:
    """Replace typographic quotes, dashes, spaces and signs by those of Python."""
    return _DISGUISED.sub(lambda found: found[1] or found[0].translate(_PLAIN), source)
