"""What goes along with a prompt: the cells and variables that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.values.variables import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.chat.asked import Describe
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.values.summaries import Summary

_ASK_S = 0.4  # that the user's own `repr`s may take when a prompt is sent
_NUM_RECENT_CELLS = 2  # whose variables go along unasked
_MAX_VARIABLE_CHARS = 1600  # of all summaries that go along with a prompt: about 500 tokens
_MAX_CELL_CHARS = 8000  # of a cell that is attached, its outputs included
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")


def describer(prompt: str, choice: str = "auto", *, deadline_s: float = _ASK_S) -> Describe:
    """What summarises the variables that go along with a prompt, when it is sent.

    The prompt is as it was typed: an `@` in a value that is put in means nothing.
    """

    def summaries(_sent: str, cells: Sequence[CellEvent]) -> Sequence[Summary]:
        return describe(
            prompt,
            [cell.source for cell in cells[-_NUM_RECENT_CELLS:]],
            own_variables(current_shell()),
            choice=choice,
            max_chars=_MAX_VARIABLE_CHARS,
            deadline_s=deadline_s,
        )

    return summaries


def attach_cells(
    prompt: str, cells: Sequence[CellEvent]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A prompt whose `@In[3]` have become names, and what they attach: cells with what they showed.

    Raises `MagicUsageError` if no such cell has run.
    """
    attachments = tuple(
        (f"In [{number}]", clip(cell_text(find_cell(number, cells)), _MAX_CELL_CHARS))
        for number in dict.fromkeys(_CELL.findall(prompt))
    )
    return _CELL.sub(r"In [\1]", prompt), attachments
