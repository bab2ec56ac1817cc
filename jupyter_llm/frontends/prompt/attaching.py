"""What goes along with a prompt: the cells that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.timeline import find_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.notebook.cells.events import CellEvent

_MAX_CELL_CHARS = 8000  # of a cell that is attached, its outputs included
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")


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
