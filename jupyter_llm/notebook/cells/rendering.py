"""Renders runs of cells for prompts: the source and its outputs.

Secrets are masked wherever a cell is included or stored. A cell that is run or changed is complete.
"""

from __future__ import annotations

import re
from dataclasses import replace

from jupyter_llm.common.clipping import clip
from jupyter_llm.common.markdown import code_block
from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.cells.sources import CellSource
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.values.redaction import redact_source, redact_text, scrub
from jupyter_llm.notebook.values.secrets import concealed_in, is_shown

SETUP_MAGICS = ("llm", "load_ext", "reload_ext", "unload_ext", "config", "matplotlib", "autoreload")
"""Line magics without information on the notebook's subject, our own included."""

_SETUP = re.compile(rf"(?m)^%(?:{'|'.join(SETUP_MAGICS)})\b.*(?:\n|\Z)")


def without_setup(source: str) -> str:
    """Return a source without lines of `SETUP_MAGICS`."""
    return _SETUP.sub("", source).strip()


def cell_name(cell: CellEvent | CellSource) -> str:
    """Return a cell's name for the model, by the number of its first run, which never changes."""
    return "the cell" if cell.execution_count is None else f"cell [{cell.execution_count}]"


def shown_name(cell: CellEvent) -> str:
    """Return a cell's name for the user, by the number that the notebook shows."""
    return cell_name(replace(cell, execution_count=cell.counts[-1]))


def source_block(source: str) -> str:
    """Return a cell's source as a code block, without the line that names its model."""
    return code_block(unmark(source))


def cell_text(cell: CellEvent) -> str:
    """Return a cell's source and outputs as Markdown."""
    texts = (scrub(output.text) for output in _shown(cell))
    shown = "".join(f"\n\nIt showed:\n{text}" for text in texts if text)
    return f"{source_block(redact_source(cell.source).text)}{shown}"


def render_cell(cell: CellEvent, *, source_chars: int, output_chars: int) -> str:
    """Return a run of a cell for prompts, with clipped source and outputs.

    Omitted are the line that names a generated cell's model, and lines of `SETUP_MAGICS`.
    """
    number = cell.execution_count if cell.execution_count is not None else " "
    text = f"In [{number}]:\n{prompt_source(cell, source_chars=source_chars)}\n"
    if shown := scrub(_outputs(cell)).strip("\n"):
        text += f"Out [{number}]:\n{clip(shown, output_chars)}\n"
    return text


def prompt_source(cell: CellEvent, *, source_chars: int) -> str:
    """Return the source of a run for prompts, clipped as by `render_cell`."""
    typed = unmark(cell.source).strip()
    return clip(redact_source(without_setup(typed) or typed).text, source_chars)


def without_secrets(cell: CellEvent) -> CellEvent:
    """Return a run of a cell with its secrets masked, for the disk."""
    outputs = tuple(replace(output, text=scrub(output.text)) for output in _shown(cell))
    return replace(cell, source=redact_source(cell.source).text, outputs=outputs)


def secrets_in(cell: CellEvent) -> tuple[str, ...]:
    """Return the names of the secrets that are masked in a cell, once for each mask."""
    source = redact_source(unmark(cell.source).strip())
    return (*source.names, *redact_text(_outputs(cell)).names)


def conceals(cell: CellEvent) -> list[str]:
    """Return the hidden variables whose values a cell may have shown."""
    return [*concealed_in(cell.source), *(one for one in cell.conceals if not is_shown(one))]


def _shown(cell: CellEvent) -> tuple[Output, ...]:
    """Return a cell's outputs without those that may show a hidden variable.

    Errors are included.
    """
    names = conceals(cell)
    included = tuple(one for one in cell.outputs if not names or one.kind == "error")
    if len(included) == len(cell.outputs):
        return included
    return Output("display", f"(left out: it may show `{names[0]}`, which is hidden)"), *included


def _outputs(cell: CellEvent) -> str:
    texts = []
    for output in _shown(cell):
        text = output.text if output.text.endswith("\n") else f"{output.text}\n"
        texts.append(f"stderr: {text}" if output.kind == "stderr" else text)
    return "".join(texts)
