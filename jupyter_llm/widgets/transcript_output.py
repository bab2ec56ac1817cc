"""The conversation as a plain output of the panel's cell, for whoever has no kernel and no widget.

A saved notebook holds it: on a code host, in nbconvert, in a browser without a kernel.
"""

from __future__ import annotations

import contextvars
import html
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.markdown import blocks
from jupyter_llm.notebook.records import TRANSCRIPT_BREAK, TRANSCRIPT_KEY, to_metadata
from jupyter_llm.transcript import chat_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.chat import Chat
    from jupyter_llm.notebook.context import Turn

ROOT_CLASS = "jupyter-llm-transcript"
_EMPTY = "An empty chat. What is said in the panel is kept here."
_ENDS = {"cancelled": "(interrupted)", "length": "(cut off)", "error": "(failed)"}
_INLINE = re.compile(r"(`+)(.+?)(?<!`)\1(?!`)|\*\*(?=\S)(.+?)(?<=\S)\*\*", re.DOTALL)
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t#]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(.*)$")


class TranscriptOutput:
    """The output below a panel that holds the conversation; its updates go to all of its copies.

    An update comes from the cell that showed the output, on whatever thread. What runs a notebook
    without a page (nbclient, papermill) only hears what the running cell says, so each cell is to
    `catch_up` at its end as well.
    """

    def __init__(self, panel_id: str, chat: Chat) -> None:
        self._panel_id = panel_id
        self._chat = chat
        self._context: contextvars.Context | None = None
        self._told_by_cells: list[Turn] = []
        self.is_written_by_view = False

    @property
    def bundle(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The output as it is now: its data and its metadata."""
        turns = self._chat.turns
        return transcript_data(self._chat), transcript_metadata(self._panel_id, turns)

    def show(self) -> None:
        """Show it below the cell that runs."""
        self._context = contextvars.copy_context()
        self._told_by_cells = self._chat.turns
        self._publish(is_update=False)

    def update(self) -> None:
        """Show it as it is now, wherever it was shown; from any thread."""
        if self._context is not None:
            self._context.copy().run(partial(self._publish, is_update=True))

    def catch_up(self) -> None:
        """Let the cell that ends tell of the turns that have come or gone."""
        if self._context is None or self.is_written_by_view:
            return
        turns = self._chat.turns
        if turns != self._told_by_cells:
            self._told_by_cells = turns
            self._publish(is_update=True)

    def _publish(self, *, is_update: bool) -> None:
        from IPython.display import display

        data, metadata = self.bundle
        display(
            data,
            raw=True,
            metadata=metadata,
            display_id=f"jupyter-llm-transcript-{self._panel_id}",
            update=is_update,
        )


def transcript_data(chat: Chat) -> dict[str, str]:
    """Return the active branch of a chat in every form that a saved notebook is read in."""
    turns = chat.turns
    if not turns:
        return {
            "text/html": f'<div class="{ROOT_CLASS}"><p>{_EMPTY}</p></div>',
            "text/markdown": f"*{_EMPTY}*",
            "text/plain": _EMPTY,
        }
    return {
        "text/html": conversation_html(turns),
        "text/markdown": chat_markdown(chat.saved()),
        "text/plain": _plain(turns),
    }


def conversation_html(turns: Sequence[Turn]) -> str:
    """Return turns as HTML that does nothing, whatever was said."""
    return f'<div class="{ROOT_CLASS}">\n{"".join(map(_turn_html, turns))}</div>'


def transcript_metadata(panel_id: str, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return the metadata of that output: whose it is, and the records of the answers."""
    made = (turn.completion.provenance for turn in turns)
    records = [record for record in made if record is not None]
    return {TRANSCRIPT_KEY: panel_id, **to_metadata(records)}


def _plain(turns: Sequence[Turn]) -> str:
    """Return prompts and answers, each answer as it was written, so that its record holds."""
    pieces = []
    for turn in turns:
        quoted = "\n".join(f"> {line}" for line in turn.prompt.splitlines())
        pieces += [quoted, turn.completion.text]
    return TRANSCRIPT_BREAK.join(pieces)


def _turn_html(turn: Turn) -> str:
    end = _ENDS.get(turn.completion.finish_reason, "")
    note = f"<p><em>{end}</em></p>\n" if end else ""
    prompt = html.escape(turn.prompt).replace("\n", "<br>\n")
    model = html.escape(turn.completion.model)
    return (
        f"<blockquote><p>{prompt}</p></blockquote>\n"
        f"{to_html(turn.completion.text)}{note}<p><small>{model}</small></p>\n<hr>\n"
    )


def to_html(text: str) -> str:
    """Return Markdown as HTML that shows what it says and does nothing, whatever the text.

    It has paragraphs, lists, code and bold, and no links, images, attributes or anything that
    loads; all else stays as it was written.
    """
    return "".join(_html(text))


def _html(text: str) -> Iterator[str]:
    for is_code, lines in blocks(text):
        if is_code:
            yield f"<pre><code>{html.escape(chr(10).join(lines[1:-1]))}</code></pre>\n"
        else:
            for paragraph in re.split(r"\n{2,}", "\n".join(lines).strip("\n")):
                if paragraph.strip():
                    yield _paragraph(paragraph)


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    if all(line.lstrip().startswith("|") for line in lines):  # a table
        return f"<pre>{html.escape(text)}</pre>\n"
    if len(lines) == 1 and (heading := _HEADING.match(text)) is not None:
        return f"<p><strong>{_inline(heading[1])}</strong></p>\n"
    items = [_ITEM.match(line) for line in lines]
    if all(item is not None for item in items):
        listed = "".join(f"<li>{_inline(item[1])}</li>\n" for item in items if item is not None)
        return f"<ul>\n{listed}</ul>\n"
    return f"<p>{_inline(text)}</p>\n"


def _inline(text: str) -> str:
    parts = []
    end = 0
    for found in _INLINE.finditer(text):
        parts.append(html.escape(text[end : found.start()]))
        tag, inner = ("code", found[2]) if found[1] else ("strong", found[3])
        parts.append(f"<{tag}>{html.escape(inner)}</{tag}>")
        end = found.end()
    parts.append(html.escape(text[end:]))
    return "".join(parts).replace("\n", "<br>\n")
