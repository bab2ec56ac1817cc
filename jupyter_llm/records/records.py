"""Records in a notebook's metadata, and the stored form of accepted ghost text.

An output's metadata has a record, or a list of them, under "jupyter_llm", each as one line of JSON;
older notebooks have objects. Code that was inserted into a cell has its own record with the hash of
its source. A page writes it into the cell's metadata, and the output that announced the cell has
only the record's id. Without a page, a kernel cannot write a cell's metadata. Then the output has
the record, and a mark in the source names it (see `marks`). Ghost text that a person accepted is
recorded in the cell's metadata under "jupyter_llm_completed": for each model the time and the
pieces. Pieces are fingerprints of the lines that a model wrote, which show whether these are still
in a cell. The page computes them, too, at every keystroke: `labextension/src/dom/pieces.ts` uses
the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jupyter_llm.ask.log import RecordedAnswer
from jupyter_llm.engine.provenance import METADATA_KEY, Provenance, text_sha256
from jupyter_llm.errors import ProvenanceError

COMPLETED_KEY = f"{METADATA_KEY}_completed"
"""The key of accepted ghost text in a cell's metadata."""

TRANSCRIPT_BREAK = "\n\n* * *\n\n"
"""The separator of prompts and answers in an output's plain text."""

GIVEN_BEGIN = "The error comes from"
"""The beginning of a model's text about an error; it and the text above are not the model's."""

Record = Provenance | ProvenanceError
"""A record of how a text was made, or the error of a damaged one."""

_ID = re.compile("[0-9a-f]{12}")
# A record has about 1 kB, and an output announces a handful of cells.
_MAX_RECORDS = 1000
_MAX_COMPLETIONS = 20  # most completions of a cell
_THOUGHT = re.compile(r"\A\(thought for [\d,]+ tokens?\)\s*")  # the note in place of thoughts
_MOST_PIECES = 24  # most fingerprints of a cell
_LEAST_CHARS = 12  # characters: shorter lines occur in any code
_AS_ONE = str.maketrans("'", '"', " \t\r")  # characters that a formatter changes
_PIECE = re.compile("([0-9]{1,6}):[0-9a-f]{1,8}")  # a length, and the hash of that many characters


def landed(answer: Provenance, body: str, before: str = "") -> Provenance:
    """Return the record of a cell with code from an answer, in place of the source `before`.

    `body` is the source without the mark.
    """
    return replace(
        answer,
        kind="code cell",
        source_sha256=source_sha256(body),
        pieces=pieces_of(body, before),
        stated_digest=None,
    )


def completions(metadata: object, source: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the models that completed a cell, the times, and whether a line is present."""
    entries = metadata.get(COMPLETED_KEY) if isinstance(metadata, Mapping) else None
    if isinstance(entries, list):
        for entry in entries[:_MAX_COMPLETIONS]:
            if isinstance(entry, Mapping):
                model, time, pieces = (str(entry.get(key)) for key in ("model", "time", "pieces"))
                yield model, time, are_in(pieces, source)


def source_sha256(body: str) -> str:
    """Return the SHA-256 of a cell's source, ignoring changes that editors make by themselves."""
    return text_sha256("\n".join(body.splitlines()).strip("\n"))


def to_metadata(records: Sequence[Provenance | str]) -> dict[str, Any]:
    """Return an output's metadata for its records, or for the ids of records in cells."""
    lines = [one if isinstance(one, str) else one.to_line() for one in records]
    return {METADATA_KEY: lines if len(lines) > 1 else lines[0]} if lines else {}


def read_metadata(metadata: object) -> list[Record]:
    """Return the records in the metadata of an output or a cell; an error for each damaged one."""
    if not isinstance(metadata, Mapping) or METADATA_KEY not in metadata:
        return []
    value = metadata[METADATA_KEY]
    items = value[:_MAX_RECORDS] if isinstance(value, list) else [value]
    return [_read(item) for item in items if not _is_id(item)]


def _is_id(item: object) -> bool:
    """Whether this is the id of a record in a cell."""
    return isinstance(item, str) and _ID.fullmatch(item) is not None


def _read(item: object) -> Record:
    try:
        return Provenance.from_json(item)
    except ProvenanceError as error:
        return error


def records_in(notebook: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any], Record, Any]]:
    """Yield a notebook's records as (number of the cell, cell, record, output or None).

    Cells count from 1.
    """
    for number, cell in enumerate(notebook["cells"], 1):
        for output in (*cell.get("outputs", ()), None):
            holder = cell if output is None else output
            for record in read_metadata(holder.get("metadata")):
                yield number, cell, record, output


def place_of(number: int, cell: Mapping[str, Any]) -> str:
    """Return the place of a cell in words: its number from the top, and its execution count."""
    count = cell.get("execution_count")
    return f"cell {number} [{count}]" if isinstance(count, int) else f"cell {number}"


def answers_in(notebook: Mapping[str, Any]) -> Iterator[RecordedAnswer]:
    """Yield the recorded answers of a notebook, as nbformat gives it, in order.

    Code that was inserted into cells counts as its answer, once.
    """
    seen: set[tuple[object, ...]] = set()
    for number, cell, record, output in records_in(notebook):
        if isinstance(record, Provenance):
            key = (record.prompt_sha256, record.params, record.text_sha256)
            if record.kind == "code cell" and key in seen:
                continue
            seen.add(key)
        yield RecordedAnswer(place_of(number, cell), record, shown_text(output, record))


def shown_text(output: Any, record: Record) -> str | None:
    """Return the answer that an output shows, without the note below it.

    None if the output shows no answer, or that is unclear.
    """
    if isinstance(record, ProvenanceError) or record.kind != "answer" or output is None:
        return None
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, Mapping) else None
    if not isinstance(plain, str):
        return None
    if record.reasoning_sha256 is not None:
        plain = _THOUGHT.sub("", plain)
    if TRANSCRIPT_BREAK in plain:
        pieces = plain.split(TRANSCRIPT_BREAK)
        return next((p for p in pieces if text_sha256(p) == record.text_sha256), plain)
    without_note = plain[: max(0, plain.rfind("\n\n("))]
    # The record's hash shows whether there is a note, and a beginning that the model did not write.
    for text in (
        without_note,
        plain.partition(GIVEN_BEGIN)[2],
        without_note.partition(GIVEN_BEGIN)[2],
    ):
        if text_sha256(text) == record.text_sha256:
            return text
    return plain


# -- fingerprints of lines


def pieces_of(body: str, before: str = "") -> str:
    """Return fingerprints of a cell's new lines; of many lines, a sample."""
    lines = {piece: line for line in _lines(body) for piece in _beginnings(line, {len(line)})}
    old = _present(lines, before)
    new = [piece for piece in lines if piece not in old]
    pieces = [piece for piece in new if len(lines[piece]) >= _LEAST_CHARS] or new
    count = min(len(pieces), _MOST_PIECES)
    return " ".join(pieces[((at + 1) * len(pieces) - 1) // count] for at in range(count))


def are_in(pieces: str, source: str) -> bool:
    """Whether a line of a source begins with one of the fingerprinted texts."""
    return bool(_present(pieces.split(None, _MOST_PIECES)[:_MOST_PIECES], source))


def _present(pieces: Iterable[str], source: str) -> set[str]:
    """Return the fingerprints with which lines begin."""
    lengths_by_piece = {
        piece: int(match[1]) for piece in pieces if (match := _PIECE.fullmatch(piece))
    }
    lengths = set(lengths_by_piece.values())
    lines = _lines(source) if lengths_by_piece else []
    return {
        piece for line in lines for piece in _beginnings(line, lengths) if piece in lengths_by_piece
    }


def _lines(text: str) -> list[str]:
    return [line for line in text.translate(_AS_ONE).split("\n") if line]


def _beginnings(line: str, lengths: set[int]) -> Iterator[str]:
    """Yield the fingerprints of a line's beginnings with these lengths."""
    value = 0x811C9DC5  # FNV-1a over characters
    for length, character in enumerate(line[: max(lengths)], 1):
        value = (value ^ ord(character)) * 0x01000193 % (1 << 32)
        if length in lengths:
            yield f"{length}:{value:x}"
