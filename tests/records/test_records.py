"""Where records stand in a notebook, and how a generated cell is marked."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from support.recorded import record

from jupyter_llm.engine.provenance import METADATA_KEY
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.records.records import (
    landed,
    read_metadata,
    source_sha256,
    to_metadata,
)

BODY = "total = 1 + 1\ntotal"


def test_a_landed_cell_has_a_record_of_its_own() -> None:
    made = landed(record(), BODY)
    assert made.kind == "code cell"
    assert made.source_sha256 == source_sha256(BODY)
    assert not made.is_altered


@pytest.mark.parametrize("body", [BODY + "\n", BODY.replace("\n", "\r\n"), "\n" + BODY + "\n\n"])
def test_what_editors_change_by_themselves_is_no_edit(body: str) -> None:
    assert source_sha256(body) == source_sha256(BODY)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_output_may_hold_several_records(count: int) -> None:
    records = [record(str(number)) for number in range(count)]
    assert read_metadata(to_metadata(records)) == records


def test_a_record_takes_one_line_of_a_notebook_file() -> None:
    def num_lines(metadata: dict[str, Any]) -> int:
        output = new_output("display_data", {"text/plain": "2"}, metadata=metadata)
        cell = new_code_cell("1 + 1", outputs=[output])
        return len(nbformat.writes(new_notebook(cells=[cell])).splitlines())

    # The metadata's closing bracket is on a line of its own then.
    assert num_lines(to_metadata([record()])) == num_lines({}) + 2


def test_a_record_of_an_older_notebook_is_read_as_before() -> None:
    assert read_metadata({METADATA_KEY: record().to_json()}) == [record()]


def test_an_output_that_holds_the_id_of_a_record_holds_no_other() -> None:
    assert read_metadata(to_metadata([record().record_id, record()])) == [record()]


def test_a_damaged_record_does_not_hide_a_sound_one() -> None:
    damaged, sound = read_metadata({METADATA_KEY: [{"version": 1}, record().to_json()]})
    assert isinstance(damaged, ProvenanceError)
    assert sound == record()
