"""Code of a model's that is put into cells, marked with whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.provenance import Provenance
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import shown_name
from jupyter_llm.notebook.code.landing import CellWriter, Insertion
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.records.records import landed


def land(
    writer: CellWriter, sources: Sequence[str], completion: Completion | None, *, in_place: bool
) -> tuple[Insertion, list[Provenance | str]]:
    """Put code into cells, marked if a model wrote it; return where they are and their records.

    Of a record that a page has written into its cell, the id is returned.
    """
    cells = [marked(source, completion) for source in sources]
    records = [record for _, record in cells if record is not None]
    metadata = [record.to_metadata() for record in records]  # of all, or there are none
    place = writer.write([source for source, _ in cells], replace=in_place, metadata=metadata)
    return place, _announced(place, records)


def change(
    writer: CellWriter, cell: CellEvent, source: str, completion: Completion | None
) -> tuple[Insertion, list[Provenance | str]]:
    """Put code in the place of a cell that ran, or below where that cannot be; see `land`."""
    text, record = marked(source, completion, cell.source)
    metadata = record.to_metadata() if record is not None else {}
    name = shown_name(cell)
    why = writer.change(cell.cell_id, cell.source, text, metadata)
    if not why:
        place = Insertion(f"{name} is changed; run it again", has_metadata=True)
    else:
        below = writer.write([text], metadata=[metadata])
        words = f"{name} {why}, so {below.words}" if below.is_landed else below.words
        place = replace(below, words=words)
    return place, _announced(place, [record] if record is not None else [])


def _announced(place: Insertion, records: Sequence[Provenance]) -> list[Provenance | str]:
    return [record.record_id if place.has_metadata else record for record in records]


def marked(
    source: str, completion: Completion | None, before: str = ""
) -> tuple[str, Provenance | None]:
    """Code out of an answer as a cell holds it, with the line that says whose it is.

    Without a record of the answer there is no such line, and no record of the code; nor where no
    model wrote it.
    """
    made = completion.provenance if completion is not None else None
    if made is None:
        return source, None
    record = landed(made, source, before)
    return mark(source, record.model.name, record.record_id), record
