"""What in a notebook was written by a model, and whether the record of it holds.

Reads files with nbformat; no kernel and no model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.engine.provenance import Provenance
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.code.marks import read_mark
from jupyter_llm.notebook.files import add_cell_metadata, read_notebook
from jupyter_llm.records.answers import Answer, shown_text
from jupyter_llm.records.records import Record, place_of, records_in, source_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_llm.engine.provenance import RecordKind

State = Literal["recorded", "edited since", "altered", "damaged", "missing"]
"""Of an item's record; what was "edited since" is the text or the code, not the record."""

_SOUND = ("recorded", "edited since")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An answer in an output, a cell whose code was generated, or one that was completed in part.

    `model` is what the record says or else the comment in the cell. `cell` counts from 1.
    `is_labelled` tells that the record stands in the cell's own metadata.
    """

    cell: int
    place: str
    cell_id: str | None
    kind: RecordKind
    model: str | None
    record_id: str | None
    record: Provenance | None
    state: State
    is_labelled: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether there is a record and it was not altered."""
        return self.state in _SOUND

    def to_json(self) -> dict[str, Any]:
        """The item as JSON holds it."""
        return {
            "cell": self.cell,
            "cell_id": self.cell_id,
            "kind": self.kind,
            "state": self.state,
            "model": self.model,
            "record_id": self.record_id,
            "record": self.record.to_json() if self.record is not None else None,
        }


def audit(path: Path) -> list[Item]:
    """What a model wrote in a notebook file, in order; `NotebookFileError` if it cannot be read."""
    return list(_items(read_notebook(path)))


def label(path: Path) -> int:
    """Write records that are found into the metadata of the cells they are about.

    Return how many cells got one. Nothing else in the file changes, nor that where
    `NotebookFileError` is raised.
    """
    return add_cell_metadata(path, _labels)


def _labels(notebook: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The metadata that cells lack, by their index."""
    return {
        item.cell - 1: item.record.to_metadata()
        for item in _items(notebook)
        if item.kind == "code cell" and item.is_sound and not item.is_labelled and item.record
    }


def _items(notebook: Mapping[str, Any]) -> Iterator[Item]:
    answers: defaultdict[int, list[Item]] = defaultdict(list)
    own: defaultdict[int, list[Record]] = defaultdict(list)
    index: dict[str, Provenance] = {}
    for number, cell, record, output in records_in(notebook):
        if output is None:
            own[number].append(record)
        elif isinstance(record, ProvenanceError) or record.kind == "answer":
            answer = Answer("", record, shown_text(output, record))
            is_edited = not answer.is_as_recorded
            answers[number].append(_item(number, cell, "answer", record, is_edited=is_edited))
        if isinstance(record, Provenance):  # of two, the one that was not altered
            known = index.get(record.record_id)
            index[record.record_id] = record if known is None or known.is_altered else known
    for number, cell in enumerate(notebook["cells"], 1):
        whole, parts = _apart(own[number])
        yield from _generated(number, cell, whole, index)
        yield from (_of_source(number, cell, part, cell["source"]) for part in parts[:1])
        yield from answers[number]


def _generated(
    number: int, cell: Mapping[str, Any], own: list[Record], index: Mapping[str, Provenance]
) -> Iterator[Item]:
    """Yield what a cell says of its own source, if it says anything."""
    marker = read_mark(cell["source"]) if cell.get("cell_type") == "code" else None
    record: Record | None
    if marker is not None:
        # A sound record of another text proves nothing about this one.
        damaged = (one for one in own if isinstance(one, ProvenanceError))
        record = index.get(marker.record_id) or next(damaged, None)
    elif own:
        record = own[0]
    else:
        return
    body = marker.body if marker is not None else cell["source"]
    item = _of_source(number, cell, record, body)
    if marker is not None and item.record is None:
        item = replace(item, model=marker.model, record_id=marker.record_id)
    yield replace(item, is_labelled=bool(own))


def _apart(own: list[Record]) -> tuple[list[Record], list[Provenance]]:
    """A cell's own records of all its code, and those of parts, the latest first."""
    parts = [one for one in own if isinstance(one, Provenance) and one.kind == "completion"]
    return [one for one in own if one not in parts], parts


def _of_source(number: int, cell: Mapping[str, Any], record: Record | None, body: str) -> Item:
    """What a record of a cell's source says, if there is one."""
    found = record if isinstance(record, Provenance) else None
    then = found.source_sha256 if found is not None else None
    is_edited = then is not None and then != source_sha256(body)
    is_part = found is not None and found.kind == "completion"
    return _item(
        number, cell, "completion" if is_part else "code cell", record, is_edited=is_edited
    )


def _item(
    number: int,
    cell: Mapping[str, Any],
    kind: RecordKind,
    record: Record | None,
    *,
    is_edited: bool,
) -> Item:
    found = record if isinstance(record, Provenance) else None
    cell_id = cell.get("id")
    state: State = "edited since" if is_edited else "recorded"
    if record is None:
        state = "missing"
    elif found is None:
        state = "damaged"
    elif found.is_altered:
        state = "altered"
    return Item(
        cell=number,
        place=place_of(number, cell),
        cell_id=cell_id if isinstance(cell_id, str) else None,
        kind=kind,
        model=found.model.name if found is not None else None,
        record_id=found.record_id if found is not None else None,
        record=found,
        state=state,
    )
