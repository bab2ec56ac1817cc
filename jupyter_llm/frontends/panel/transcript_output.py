"""The conversation as a plain output of the panel's cell, for whoever has no kernel and no widget.

A saved notebook holds it: on a code host, in nbconvert, in a browser without a kernel.
"""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from functools import partial
from typing import Any

from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import asked_in
from jupyter_llm.chat.transcript import other_branches, turn_markdown
from jupyter_llm.common.bundle import Bundle, bundle
from jupyter_llm.common.html_text import filled
from jupyter_llm.common.markdown import enclosed, joined_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.frontends.comm.outbox import well_formed
from jupyter_llm.notebook.cells.outputs import TRANSCRIPT_KEY
from jupyter_llm.records.records import TRANSCRIPT_BREAK, to_metadata

_EMPTY = "An empty chat. The panel's prompts and answers are kept here."
# A page that was opened again has no panel, and would show an error where that was. What it does
# not trust it shows without styles, and without widgets too.
_BEFORE = filled("""\
<div class="jupyter-llm-transcript"><style>\
.jp-OutputArea-child:has(> .lm-Panel.jp-OutputArea-output):not(:has(.jllm-panel))\
:has(+ .jp-OutputArea-child .jupyter-llm-transcript) {{ display: none }}</style>""")
_AFTER = filled("</div>\n")
MOST_TURNS = 200
_MOST_CHARS = 200_000  # of prompts and answers: a notebook is read, sent and compared as a whole


class TranscriptOutput:
    """The output below a panel that holds the conversation; its updates go to all of its copies.

    It holds the last turns of the active branch as Markdown, as many as there is room for, and none
    that was not to be saved. An update comes from the cell that showed it, on whatever thread.
    """

    def __init__(self, panel_id: str, chat: Chat) -> None:
        self._panel_id = panel_id
        self._chat = chat
        self._context: contextvars.Context | None = None

    @property
    def bundle(self) -> tuple[Bundle, dict[str, Any]]:
        """The output as it is now: its data and its metadata."""
        turns = self._chat.kept_turns
        num_older = len(turns) - _num_with_room(turns)
        shown = turns[num_older:]
        older = [f"({count_of(num_older, 'older turn')} not shown here)"] if num_older else []
        num_others = self._chat.num_other_branches if shown else 0
        others = [f"({other_branches(num_others)} of this chat not shown)"] if num_others else []
        empty = [] if shown else [_EMPTY]
        rich = [
            turn_markdown(n, turn.prompt, turn.completion, turn.by)
            for n, turn in enumerate(shown, num_older + 1)
        ]
        plain = [f"{_quoted(turn)}{TRANSCRIPT_BREAK}{turn.completion.text}" for turn in shown]
        inside = joined_markdown([*older, *rich, *others, *empty])
        text = TRANSCRIPT_BREAK.join([*older, *plain, *others, *empty])
        data = bundle(text, enclosed(_BEFORE, inside, _AFTER))
        made = [turn.completion.provenance for turn in shown]
        records = [record for record in made if record is not None]
        return well_formed(data), {TRANSCRIPT_KEY: self._panel_id, **to_metadata(records)}

    def show(self) -> None:
        """Show it below the cell that runs."""
        self._context = contextvars.copy_context()
        self._publish(is_update=False)

    def update(self) -> None:
        """Show it as it is now, wherever it was shown; from any thread."""
        if self._context is not None:
            self._context.copy().run(partial(self._publish, is_update=True))

    def _publish(self, *, is_update: bool) -> None:
        from IPython.display import display

        data, metadata = self.bundle
        name = f"jupyter-llm-transcript-{self._panel_id}"
        display(data, raw=True, metadata=metadata, display_id=name, update=is_update)


def _quoted(turn: Turn) -> str:
    return "\n".join(f"> {line}" for line in asked_in(turn.prompt).splitlines())


def _num_with_room(turns: Sequence[Turn]) -> int:
    """Return the count of the latest turns that fit, at least one."""
    num_chars = 0
    for num_turns, turn in enumerate(reversed(turns)):
        num_chars += len(turn.prompt) + len(turn.completion.text)
        if num_turns and (num_turns >= MOST_TURNS or num_chars > _MOST_CHARS):
            return num_turns
    return len(turns)
