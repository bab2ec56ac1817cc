"""A chat's document reaches its views as merge patches, as RFC 7396 says."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import to_builtins
from support.front_end import merged

from jupyter_llm.frontends.comm.documents import merge_patch
from jupyter_llm.frontends.comm.messages import ProposalData, StatusData


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2, "b": {"c": [1, {"d": None}]}}),
        ({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}}),
        ({"a": [1, 2]}, {"a": {"b": 1}}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {}}}),
        ({"a": {"b": 1}}, {"a": "text"}),
    ],
)
def test_a_patch_makes_one_document_of_the_other(before: Any, after: Any) -> None:
    assert merged(before, merge_patch(before, after)) == after


def test_a_patch_names_only_what_has_changed() -> None:
    before = {"status": StatusData(model="tiny", used=7), "path": [1]}
    after = {"status": StatusData(model="tiny", used=8), "path": [1]}
    assert merge_patch(before, after) == {"status": {"used": 8}}
    assert merge_patch(after, dict(after)) == {}


def test_a_field_that_is_none_is_absent_from_the_document() -> None:
    offer = ProposalData(cell=None, before=None, source="x = 1", unknown_names=[], runs=[])
    shown = merged({}, to_builtins(merge_patch({}, {"proposal": offer})))
    assert shown == {"proposal": {"source": "x = 1", "unknown_names": [], "runs": []}}
    placed = ProposalData(cell="a", before=None, source="x = 1", unknown_names=[], runs=[])
    shown = merged(shown, merge_patch({"proposal": offer}, {"proposal": placed}))
    assert shown["proposal"]["cell"] == "a"
