"""Where records of how a text was made stand in a notebook, and how a generated cell is marked.

An output's metadata holds a record, or a list of them, under "jupyter_llm", each as one line of
JSON; older notebooks hold objects. Code that was inserted into a cell has a record of its own, with
the hash of its source. A page writes that record into the cell's metadata, and the output that
announced the cell holds the record's id only. Without a page a kernel cannot write a cell's
metadata, so the output holds the record, which a mark in the source names (see `marks`). What a
person accepted while writing a cell stands in that cell's metadata, under "jupyter_llm_completed":
for each model the time and the pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jupyter_llm.engine.provenance import METADATA_KEY, Provenance, text_sha256
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.records.pieces import pieces_of, stands_in

COMPLETED_KEY = f"{METADATA_KEY}_completed"
"""Where in a cell's metadata stands what was accepted of ghost text."""

TRANSCRIPT_BREAK = "\n\n* * *\n\n"
"""What stands between the prompts and answers of such an output, in plain text."""

GIVEN_BEGIN = "The error comes from"
"""What the model's words about an error go on from; this and what is above it is not its own."""

Record = Provenance | ProvenanceError
"""A record of how a text was made, or what is wrong with one."""

_ID = re.compile("[0-9a-f]{12}")
# A record is about 1 kB, and an output announces a handful of cells.
_MAX_RECORDS = 1000
_MAX_COMPLETIONS = 20  # of a cell


def landed(answer: Provenance, body: str, before: str = "") -> Provenance:
    """The record of a cell that holds code out of an answer, in the place of what was there before.

    `body` is without mark.
    """
    return replace(
        answer,
        kind="code cell",
        source_sha256=source_sha256(body),
        pieces=pieces_of(body, before),
        stated_digest=None,
    )


def completions(metadata: object, source: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the models that completed a cell, the times, and whether a line of theirs is there."""
    found = metadata.get(COMPLETED_KEY) if isinstance(metadata, Mapping) else None
    if isinstance(found, list):
        for one in found[:_MAX_COMPLETIONS]:
            if isinstance(one, Mapping):
                model, time, pieces = (str(one.get(key)) for key in ("model", "time", "pieces"))
                yield model, time, stands_in(pieces, source)


def source_sha256(body: str) -> str:
    """The SHA-256 of a cell's source; what editors change by themselves does not count."""
    return text_sha256("\n".join(body.splitlines()).strip("\n"))


def to_metadata(records: Sequence[Provenance | str]) -> dict[str, Any]:
    """Return the metadata of an output with its records, or the ids of those that cells hold."""
    lines = [one if isinstance(one, str) else one.to_line() for one in records]
    return {METADATA_KEY: lines if len(lines) > 1 else lines[0]} if lines else {}


def read_metadata(metadata: object) -> list[Record]:
    """The records in the metadata of an output or a cell; of damaged ones, the error."""
    if not isinstance(metadata, Mapping) or METADATA_KEY not in metadata:
        return []
    found = metadata[METADATA_KEY]
    items = found[:_MAX_RECORDS] if isinstance(found, list) else [found]
    return [_read(item) for item in items if not _is_id(item)]


def _is_id(item: object) -> bool:
    """Whether this is the id of a record that a cell holds."""
    return isinstance(item, str) and _ID.fullmatch(item) is not None


def _read(item: object) -> Record:
    try:
        return Provenance.from_json(item)
    except ProvenanceError as error:
        return error


def records_in(notebook: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any], Record, Any]]:
    """Yield the records of a notebook, as nbformat gives it, with the cells they stand in.

    Cells count from 1. Beside the record is the output it belongs to, or None.
    """
    for number, cell in enumerate(notebook["cells"], 1):
        for output in (*cell.get("outputs", ()), None):
            holder = cell if output is None else output
            for record in read_metadata(holder.get("metadata")):
                yield number, cell, record, output


def place_of(number: int, cell: Mapping[str, Any]) -> str:
    """How people find a cell: its place from the top, and what stands before it."""
    count = cell.get("execution_count")
    return f"cell {number} [{count}]" if isinstance(count, int) else f"cell {number}"
