"""The recorded answers of a notebook file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.log import RecordedAnswer
from jupyter_llm.engine.provenance import Provenance, text_sha256
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.records.records import GIVEN_BEGIN, TRANSCRIPT_BREAK, place_of, records_in

if TYPE_CHECKING:
    from jupyter_llm.records.records import Record

_THOUGHT = re.compile(r"\A\(thought for [\d,]+ tokens?\)\s*")  # the note in place of thoughts


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
