"""Runs of cells as text that a small model reads well: the source, and what it showed.

Secrets are left out wherever a cell is told or kept; where it is run or changed, it is whole.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.common.markdown import code_block
from jupyter_llm.notebook.cells.events import Output
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.values.redaction import redact_source, redact_text, scrub
from jupyter_llm.notebook.values.secrets import concealed_in, is_shown

if TYPE_CHECKING:
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.sources import CellSource


SETUP_MAGICS = ("llm", "load_ext", "reload_ext", "unload_ext", "config", "matplotlib", "autoreload")
"""Line magics that say nothing of what a notebook is about, our own among them."""

_SETUP = re.compile(rf"(?m)^%(?:{'|'.join(SETUP_MAGICS)})\b.*(?:\n|\Z)")


def without_setup(source: str) -> str:
    """A source without the lines that say nothing of what a notebook is about."""
    return _SETUP.sub("", source).strip()


def cell_name(cell: CellEvent | CellSource) -> str:
    """What a cell is called to a model, by the number of its first run: it stays the same."""
    return "the cell" if cell.execution_count is None else f"cell [{cell.execution_count}]"


def shown_name(cell: CellEvent) -> str:
    """What a cell is called to a person, by the number the notebook shows beside it."""
    return cell_name(replace(cell, execution_count=cell.counts[-1]))


def source_block(source: str) -> str:
    """The source of a cell as prompts include it: as Markdown, without the mark for people."""
    return code_block(unmark(source))


def cell_text(cell: CellEvent) -> str:
    """The source of a cell and what it showed, as Markdown."""
    texts = (scrub(output.text) for output in _shown(cell))
    shown = "".join(f"\n\nIt showed:\n{text}" for text in texts if text)
    return f"{source_block(redact_source(cell.source).text)}{shown}"


def render_cell(cell: CellEvent, *, source_chars: int, output_chars: int) -> str:
    """A run of a cell as prompts tell it: at most so much of its source, and of its outputs.

    Of what is longer the head and the tail stay, with a line between them that says how much is
    gone. The mark of a generated cell is for people, and lines of `SETUP_MAGICS` are left out.
    """
    number = cell.execution_count if cell.execution_count is not None else " "
    text = f"In [{number}]:\n{told_source(cell, source_chars=source_chars)}\n"
    if shown := scrub(_outputs(cell)).strip("\n"):
        text += f"Out [{number}]:\n{clip(shown, output_chars)}\n"
    return text


def told_source(cell: CellEvent, *, source_chars: int) -> str:
    """The source of a run as prompts tell it, clipped as by `render_cell`."""
    typed = unmark(cell.source).strip()
    return clip(redact_source(without_setup(typed) or typed).text, source_chars)


def without_secrets(cell: CellEvent) -> CellEvent:
    """A run of a cell as it may be written to a disk."""
    outputs = tuple(replace(output, text=scrub(output.text)) for output in _shown(cell))
    return replace(cell, source=redact_source(cell.source).text, outputs=outputs)


def secrets_in(cell: CellEvent) -> tuple[str, ...]:
    """The names of the secrets that are left out of a cell, each as often as it is."""
    source = redact_source(unmark(cell.source).strip())
    return (*source.names, *redact_text(_outputs(cell)).names)


def conceals(cell: CellEvent) -> list[str]:
    """The names of hidden variables that a cell may have shown."""
    return [*concealed_in(cell.source), *(one for one in cell.conceals if not is_shown(one))]


def _shown(cell: CellEvent) -> tuple[Output, ...]:
    """What a cell showed, but what its code names may be hidden; errors are told in any case."""
    names = conceals(cell)
    told = tuple(one for one in cell.outputs if not names or one.kind == "error")
    if len(told) == len(cell.outputs):
        return told
    return Output("display", f"(not told: it may show `{names[0]}`, which is hidden)"), *told


def _outputs(cell: CellEvent) -> str:
    texts = []
    for output in _shown(cell):
        text = output.text if output.text.endswith("\n") else f"{output.text}\n"
        texts.append(f"stderr: {text}" if output.kind == "stderr" else text)
    return "".join(texts)
