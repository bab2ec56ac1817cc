r"""Makes the model's Markdown safe to show in a notebook.

A notebook trusts the outputs of its own cells: JupyterLab runs their scripts and loads their
images. What a model writes deserves no such trust. `untrusted_markdown` leaves no raw HTML, no
image and no link that is more than a link, whatever the text; code stays as it was written
wherever that is certain.

Renderers differ in what they take for code, and JupyterLab cuts out formulas before it looks for
code. So code is only left alone where nobody can see it otherwise: in fences that start at the
margin, and in code spans of paragraphs that have no formula in them.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_INDENTED_FENCE = re.compile(r"[\s>*+\-\d.)\[\]xX]+(```|~~~)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!(?=\[)")
_LINK_TARGET = re.compile(
    r"(\]\(\s*<?\s*|^[\s>*+\-\d.)]*\[[^\]]*\]:\s*<?\s*)(?!https?:|mailto:|#)(?=\S)", re.MULTILINE
)
# No span with a pipe: in a table it would end at the cell's border.
_SPAN = re.compile(r"(?<![\\`])(`+)(?!`)([^\n|]*?[^`\n|])\1(?!`)")
_FORMULA = re.compile(r"\$|\\[\[(]|\\begin")


def untrusted_markdown(text: str) -> str:
    """Return Markdown that shows what the text says and does nothing else."""
    lines = text.split("\n")
    trusts_fences = not any(_INDENTED_FENCE.match(line) for line in lines)
    parts: list[str | None] = []
    prose: list[str] = []
    fence = ""
    for line in lines:
        found = _FENCE.match(line) if trusts_fences else None
        marks, info = (found[1] or found[3], found[2] or found[4] or "") if found else ("", "")
        if fence:
            parts.append(line)
            if marks.startswith(fence) and not info.strip():
                fence = ""
        elif marks:
            parts += [_safe_prose(prose), line]
            prose = []
            fence = marks
        else:
            prose.append(line)
    # A fence still open is an answer in the making, or one cut short.
    parts += [fence] if fence else [_safe_prose(prose)]
    return "\n".join(part for part in parts if part is not None)


def _safe_prose(lines: list[str]) -> str | None:
    if not lines:
        return None
    paragraphs = re.split(r"(\n\s*\n)", "\n".join(lines))
    return "".join(_safe_paragraph(paragraph) for paragraph in paragraphs)


def _safe_paragraph(text: str) -> str:
    if _FORMULA.search(text) or "`" in _SPAN.sub("", text):
        # What is code here is moot. An entity would show as one in a formula or in code, a space
        # does no harm in either.
        return _without_images_and_targets(_TAG.sub("< ", text))
    parts: list[str] = []
    end = 0
    for span in _SPAN.finditer(text):
        parts += [_safe_text(text[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*parts, _safe_text(text[end:])])


def _safe_text(text: str) -> str:
    return _without_images_and_targets(_TAG.sub("&lt;", text))


def _without_images_and_targets(text: str) -> str:
    """Part `![` into text and a link, and turn targets that are no web address into anchors."""
    return _LINK_TARGET.sub(r"\1#", _IMAGE.sub("! ", text))
