"""What in a notebook was written by a model, and whether the record of it holds.

Reads files with nbformat; no kernel and no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.engine.provenance import Provenance, text_sha256
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.code.marks import read_mark
from jupyter_llm.notebook.files import add_cell_metadata, read_notebook
from jupyter_llm.records.answers import place_of, shown_text
from jupyter_llm.records.records import read_metadata, source_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_llm.engine.provenance import RecordKind
    from jupyter_llm.notebook.code.marks import Mark

State = Literal["recorded", "edited since", "altered", "damaged", "missing"]
"""Of an item's record; what was "edited since" is the text or the code, not the record."""

_SOUND = ("recorded", "edited since")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An answer in an output, or a cell whose code was generated.

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
        """Return the item as JSON holds it."""
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
    """Return what a model wrote in a notebook file, in order.

    Raises
    ------
    NotebookFileError
        It is no notebook, or cannot be read.
    """
    return list(_items(read_notebook(path)))


def label(path: Path) -> int:
    """Write records that are found into the metadata of the cells they are about.

    Return how many cells got one. Nothing else in the file changes.

    Raises
    ------
    NotebookFileError
        It cannot be read or written, or is not valid.
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
    index = _index(notebook["cells"])
    for number, cell in enumerate(notebook["cells"], 1):
        generated = _generated(number, cell, index)
        if generated is not None:
            yield generated
        yield from _answers(number, cell)


def _index(cells: list[Mapping[str, Any]]) -> dict[str, Provenance]:
    """Return all records of a notebook by their ids; of two, the one that was not altered."""
    index: dict[str, Provenance] = {}
    for cell in cells:
        for holder in (cell, *cell.get("outputs", ())):
            for record in read_metadata(holder.get("metadata")):
                if isinstance(record, Provenance):
                    known = index.setdefault(record.record_id, record)
                    if known.is_altered:
                        index[record.record_id] = record
    return index


def _answers(number: int, cell: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the answers in a cell's outputs; what announces other cells is none."""
    for output in cell.get("outputs", ()):
        for record in read_metadata(output.get("metadata")):
            if isinstance(record, Provenance) and record.kind != "answer":
                continue
            text = shown_text(output, record)
            is_edited = (
                isinstance(record, Provenance)
                and text is not None
                and text_sha256(text) != record.text_sha256
            )
            yield _item(number, cell, "answer", record, is_edited=is_edited)


def _generated(
    number: int, cell: Mapping[str, Any], index: Mapping[str, Provenance]
) -> Item | None:
    """Return what a cell says of its own source, or None if it says nothing."""
    source = cell["source"]
    marker = read_mark(source) if cell.get("cell_type") == "code" else None
    own = read_metadata(cell.get("metadata"))
    if marker is None and not own:
        return None
    record = _record_of(marker, own, index)
    body = marker.body if marker is not None else source
    is_edited = (
        isinstance(record, Provenance)
        and record.source_sha256 is not None
        and record.source_sha256 != source_sha256(body)
    )
    return _item(
        number,
        cell,
        "code cell",
        record,
        is_edited=is_edited,
        marker=marker,
        is_labelled=bool(own),
    )


def _record_of(
    marker: Mark | None,
    own: list[Provenance | ProvenanceError],
    index: Mapping[str, Provenance],
) -> Provenance | ProvenanceError | None:
    """Return the record that a cell's comment names, or else the first of its own."""
    if marker is not None and marker.record_id in index:
        return index[marker.record_id]
    if marker is not None:
        # A sound record of another text proves nothing about this one.
        return next((record for record in own if isinstance(record, ProvenanceError)), None)
    return own[0]


def _item(
    number: int,
    cell: Mapping[str, Any],
    kind: RecordKind,
    record: Provenance | ProvenanceError | None,
    *,
    is_edited: bool,
    marker: Mark | None = None,
    is_labelled: bool = False,
) -> Item:
    found = record if isinstance(record, Provenance) else None
    cell_id = cell.get("id")
    marked_id = marker.record_id if marker is not None else None
    marked_model = marker.model if marker is not None else None
    return Item(
        cell=number,
        place=place_of(number, cell),
        cell_id=cell_id if isinstance(cell_id, str) else None,
        kind=kind,
        model=found.model.name if found is not None else marked_model,
        record_id=found.record_id if found is not None else marked_id,
        record=found,
        state=_state(record, is_edited=is_edited),
        is_labelled=is_labelled,
    )


def _state(record: Provenance | ProvenanceError | None, *, is_edited: bool) -> State:
    if record is None:
        return "missing"
    if isinstance(record, ProvenanceError):
        return "damaged"
    if record.is_altered:
        return "altered"
    return "edited since" if is_edited else "recorded"
