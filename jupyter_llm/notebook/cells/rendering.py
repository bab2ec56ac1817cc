"""Runs of cells as text that a small model reads well: the source, and what it showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.code.marks import unmark

if TYPE_CHECKING:
    from jupyter_llm.notebook.cells.events import CellEvent


def render_cell(cell: CellEvent, *, source_chars: int, output_chars: int) -> str:
    """Return a run of a cell as text: at most so much of its source, and of its outputs together.

    Of what is longer the head and the tail stay, with a line between them that says how much is
    gone. The mark of a generated cell is for people.
    """
    number = cell.execution_count if cell.execution_count is not None else " "
    text = f"In [{number}]:\n{clip(unmark(cell.source).strip(), source_chars)}\n"
    if shown := _outputs(cell).strip("\n"):
        text += f"Out [{number}]:\n{clip(shown, output_chars)}\n"
    return text


def _outputs(cell: CellEvent) -> str:
    texts = []
    for output in cell.outputs:
        text = output.text if output.text.endswith("\n") else f"{output.text}\n"
        texts.append(f"stderr: {text}" if output.kind == "stderr" else text)
    return "".join(texts)
