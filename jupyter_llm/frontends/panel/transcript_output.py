"""The conversation as a plain output of the panel's cell, for whoever has no kernel and no widget.

A saved notebook holds it: on a code host, in nbconvert, in a browser without a kernel.
"""

from __future__ import annotations

import contextvars
import html
import re
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.chat.transcript import ENDS, other_branches, turn_markdown
from jupyter_llm.common.clipping import clip
from jupyter_llm.common.html_text import folded
from jupyter_llm.common.markdown import joined_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.frontends.comm.outbox import well_formed
from jupyter_llm.notebook.cells.outputs import TRANSCRIPT_KEY
from jupyter_llm.records.records import TRANSCRIPT_BREAK, to_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.draft import Turn
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.provenance import Provenance

_ROOT_CLASS = "jupyter-llm-transcript"
_EMPTY = "An empty chat. What is said in the panel is kept here."
# A page that was opened again has no panel, and would show an error where that was. What it does
# not trust it shows without styles, and without widgets too.
_ALONE = (
    "<style>.jp-OutputArea-child:has(> .lm-Panel.jp-OutputArea-output):not(:has(.jllm-panel))"
    f":has(+ .jp-OutputArea-child .{_ROOT_CLASS}) {{ display: none }}</style>"
)
_MOST_TURNS = 200
_MOST_CHARS = 200_000  # of prompts and answers: a notebook is read, sent and compared as a whole
_DEEPEST = 40  # nested blocks
_LINE_END = re.compile("\r\n?")
_BLANK = re.compile(r"\n[ \t]*\n")
_FORMULA = re.compile(
    r"\$\$[^$]+\$\$|\$(?=\S)[^$\n]+(?<=\S)\$(?!\d)"  # no prices
    r"|\\\((?:(?!\\\().)+?\\\)|\\\[(?:(?!\\\[).)+?\\\]",
    re.DOTALL,
)


class TranscriptOutput:
    """The output below a panel that holds the conversation; its updates go to all of its copies.

    It holds the last turns of the active branch, as many as there is room for, and none that was
    not to be saved.

    An update comes from the cell that showed the output, on whatever thread. What runs a notebook
    without a page (nbclient, papermill) only hears what the running cell says, so each cell is to
    `catch_up` at its end as well.
    """

    def __init__(self, panel_id: str, chat: Chat) -> None:
        self._panel_id = panel_id
        self._chat = chat
        self._context: contextvars.Context | None = None
        self._told_by_cells: list[Turn] = []
        self._known: dict[int, tuple[Turn, _Piece]] = {}  # by their places

    @property
    def bundle(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The output as it is now: its data and its metadata."""
        turns = self._chat.kept_turns
        num_older = len(turns) - _num_with_room(turns)
        pieces = self._pieces(turns[num_older:], num_older + 1)
        if num_older:
            pieces.insert(0, _note(f"({count_of(num_older, 'older turn')} not shown here)"))
        if (num_others := self._chat.num_other_branches) and pieces:
            pieces.append(_note(f"({other_branches(num_others)} of this chat not shown)"))
        records = [piece.record for piece in pieces if piece.record is not None]
        metadata = {TRANSCRIPT_KEY: self._panel_id, **to_metadata(records)}
        return well_formed(_data(pieces or [_note(_EMPTY)])), metadata

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
        if self._context is None:
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

    def _pieces(self, turns: Sequence[Turn], start: int) -> list[_Piece]:
        """Turns in every form, the first of them being the chat's `start`th."""
        pieces: dict[int, tuple[Turn, _Piece]] = {}
        for place, turn in enumerate(turns, start):
            old = self._known.get(place)
            is_known = old is not None and old[0] is turn
            pieces[place] = old if old is not None and is_known else (turn, _piece(turn, place))
        self._known = pieces
        return [piece for _, piece in pieces.values()]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A turn or a note in every form, and the record of an answer that is there as written."""

    html: str
    markdown: str
    plain: str
    record: Provenance | None = None


def _num_with_room(turns: Sequence[Turn]) -> int:
    """How many of the last turns there is room for; of those there are, one at least."""
    num_chars = 0
    for num_turns, turn in enumerate(reversed(turns)):
        answer = turn.completion
        num_chars += len(turn.prompt) + len(answer.reasoning) + len(answer.text)
        if num_turns and (num_turns >= _MOST_TURNS or num_chars > _MOST_CHARS):
            return num_turns
    return len(turns)


def _piece(turn: Turn, place: int) -> _Piece:
    prompt, answer = turn.prompt, turn.completion
    record = answer.provenance
    if len(prompt) + len(answer.reasoning) + len(answer.text) > _MOST_CHARS:
        prompt, text = clip(prompt, _MOST_CHARS // 4), clip(answer.text, _MOST_CHARS // 2)
        reasoning = clip(answer.reasoning, _MOST_CHARS // 4)
        answer, record = replace(answer, text=text, reasoning=reasoning), None
    quoted = "\n".join(f"> {line}" for line in prompt.splitlines())
    return _Piece(
        html=turn_html(prompt, answer),
        markdown=turn_markdown(place, prompt, answer),
        plain=TRANSCRIPT_BREAK.join([quoted, answer.text]),
        record=record,
    )


def _note(text: str) -> _Piece:
    return _Piece(html=f"<p><em>{text}</em></p>\n", markdown=f"*{text}*", plain=text)


def _data(pieces: Sequence[_Piece]) -> dict[str, str]:
    shown = "".join(piece.html for piece in pieces)
    return {
        "text/html": f'<div class="{_ROOT_CLASS}">{_ALONE}{shown.strip()}</div>',
        "text/markdown": joined_markdown(piece.markdown for piece in pieces),
        "text/plain": TRANSCRIPT_BREAK.join(piece.plain for piece in pieces),
    }


def turn_html(prompt: str, answer: Completion) -> str:
    """A turn as HTML that does nothing, whatever was said."""
    end = ENDS.get(answer.finish_reason)
    note = _note(end).html if end is not None else ""
    thought = (
        f"{folded(answer.thought.capitalize(), answer.reasoning)}\n" if answer.reasoning else ""
    )
    asked = html.escape(prompt).replace("\n", "<br>\n")
    return (
        f"<blockquote><p>{asked}</p></blockquote>\n"
        f"{thought}{to_html(answer.text)}{note}<p><small>{html.escape(answer.model)}</small></p>\n<hr>\n"
    )


def to_html(text: str) -> str:
    """Markdown as HTML that shows what it says and does nothing, whatever the text.

    It has no links, images or attributes, nor anything that loads: what would be that stays as it
    was written. So do quotes, which would look like prompts.
    """
    text = _LINE_END.sub("\n", text)
    reader = _reader(has_tables=2 * _num_cells(text) <= len(text))
    tokens = reader.parse(text)
    if any(token.level > _DEEPEST for token in tokens):  # what is still deeper would be left out
        return f"<pre>{html.escape(text)}</pre>\n"
    for token in tokens:
        token.info = ""  # a fence's language
        token.attrs = {name: value for name, value in token.attrs.items() if name == "start"}
    return str(reader.renderer.render(tokens, reader.options, {}))


def _num_cells(text: str) -> int:
    """How many cells there may be in tables; rows are filled up, so a hostile one may be huge."""
    parts = [part.split("\n") for part in _BLANK.split(text)]
    return sum(len(lines) * max(line.count("|") for line in lines) for lines in parts)


@cache
def _reader(*, has_tables: bool) -> MarkdownIt:
    """A reader of Markdown that knows what is enabled here and nothing else."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("zero", {"breaks": True, "maxNesting": _DEEPEST + 4})
    reader.enable(["fence", "list", "heading", "hr", "backticks", "emphasis", "newline", "entity"])
    reader.enable("table" if has_tables else [])
    reader.inline.ruler.before("backticks", "formula", _formula)
    # Real headings would come into the notebook's table of contents.
    reader.add_render_rule("heading_open", lambda *_: "<p><strong>")
    reader.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
    return reader


def _formula(state: StateInline, _silent: bool) -> bool:  # noqa: FBT001
    """A rule: stars and underscores in a formula are its own."""
    found = _FORMULA.match(state.src, state.pos)
    if found is not None:
        state.pending += found[0]
        state.pos = found.end()
    return found is not None
