"""Runs of cells as text that a small model reads well: the source, and what it showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.code.marks import unmark

if TYPE_CHECKING:
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.sources import CellSource


def cell_name(cell: CellEvent | CellSource) -> str:
    """What a cell is called in a sentence, by the number the notebook shows beside it."""
    count = cell.execution_count
    return "the cell" if count is None else f"cell [{count}]"


def cell_text(cell: CellEvent) -> str:
    """The source of a cell and what it showed, as Markdown."""
    from jupyter_llm.common.markdown import code_block  # its patterns take a while to compile

    shown = "".join(f"\n\nIt showed:\n{output.text}" for output in cell.outputs if output.text)
    return f"{code_block(cell.source)}{shown}"


def render_cell(cell: CellEvent, *, source_chars: int, output_chars: int) -> str:
    """A run of a cell as prompts tell it: at most so much of its source, and of its outputs.

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
