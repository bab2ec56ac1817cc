"""The record of how a text was made: whole, readable by any front end, told when it is edited."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.engines import ask, load, submit
from support.recorded import HASH, record

from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.resident import ResidentModel
from jupyter_llm.engine.options import MAX_SEED, SamplingParams
from jupyter_llm.engine.provenance import (
    METADATA_KEY,
    ContextSettings,
    ModelFacts,
    Provenance,
    text_sha256,
    token_sha256,
)
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.models.fingerprint import file_sha256

HELLO = (Message("user", "Hello there"),)

hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(0, 2**40)
numbers = st.floats(0, 1e30)
models = st.builds(ModelFacts, sha256=st.none() | hashes)
contexts = st.builds(
    ContextSettings,
    n_ctx=counts,
    n_batch=counts,
    n_gpu_layers=st.none() | st.integers(-1, 100),
)
params = st.builds(
    SamplingParams,
    temperature=numbers,
    top_k=st.integers(0, 2**31 - 1),
    top_p=st.floats(1e-6, 1),
    min_p=st.floats(0, 1),
    repeat_penalty=st.floats(1e-6, 1e30),
    seed=st.none() | st.integers(0, MAX_SEED),
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    stop=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    logit_bias=st.lists(
        st.tuples(st.integers(0, 2**31 - 1), st.floats(-1e30, 1e30) | st.just(-math.inf)),
        max_size=3,
    ).map(tuple),
    ignore_eos=...,
    lookup=...,
    may_repeat=...,
)


records = st.builds(
    Provenance,
    context=contexts,
    model=models,
    params=params,
    prompt_sha256=hashes,
    prompt_tokens=counts,
    cached_tokens=counts,
    completion_tokens=counts,
    text_sha256=hashes,
    time=st.just("2026-01-02T03:04:05Z"),
    kind=...,
    source_sha256=st.none() | hashes,
    is_constrained=...,
).map(lambda one: replace(one, params=replace(one.params, exact=one.context.lane == "exact")))


def as_a_front_end_saves(value: Any) -> Any:
    """What JavaScript makes of JSON: it knows no whole number that is written as a fraction."""
    if isinstance(value, dict):
        return {key: as_a_front_end_saves(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return [as_a_front_end_saves(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


@given(records)
@example(record(params=replace(record().params, temperature=-0.0, logit_bias=((1, -0.0),))))
def test_a_record_survives_json_and_front_ends(record: Provenance) -> None:
    text = json.dumps(record.to_json(), allow_nan=False)
    for data in (json.loads(text), as_a_front_end_saves(json.loads(text))):
        found = Provenance.from_json(data)
        assert found == record
        assert not found.is_altered
        assert found.digest == record.digest
        assert found.to_json() == record.to_json()


@given(records, records)
def test_different_records_have_different_digests(one: Provenance, other: Provenance) -> None:
    assert (one.digest == other.digest) is (one == other)


def leaves(data: dict[str, Any], *, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, value in data.items():
        here = (*path, name)
        found += leaves(value, path=here) if isinstance(value, dict) else [here]
    return found


RECORD = record()
EVERY_FIELD = pytest.mark.parametrize("path", leaves(RECORD.to_json()), ids=".".join)


def changed(path: tuple[str, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A record as JSON with another value in one field."""
    data = RECORD.to_json()
    place = reduce(getitem, path[:-1], data)
    place[path[-1]] = change(place[path[-1]])
    return data


@EVERY_FIELD
def test_whatever_is_edited_is_told(path: tuple[str, ...]) -> None:
    data = changed(path, lambda value: edited(value, path[-1]))
    found = read(data)
    if path == ("version",):
        assert found == "The record is not of version 1, which is what is read here."
        return
    assert isinstance(found, Provenance)
    assert found.is_altered
    # It goes by its old name: what refers to it finds it, and is told.
    assert found.record_id == data["digest"][:12]


def edited(value: Any, name: str) -> Any:
    """Another value that a careful forger would write there."""
    choices = {
        "kind": "code cell",
        "finish_reason": "length",
        "lane": "fast",
        "kv_type": "q8_0",
        "time": "2020-01-01T00:00:00Z",
        "stop": ["!"],
        "logit_bias": [[5, -1.0]],
        "n_gpu_layers": 3,
        "repack": True,
        "top_p": 0.5,
        "min_p": 0.5,
        "source_sha256": HASH,
    }
    if name in choices:
        return choices[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return value[::-1] if len(value) == 64 else value + "x"


@pytest.mark.parametrize(
    "junk",
    [{}, [[[]]], "\x1b[31m" * 3, -1, 1e400, float("nan"), True, "../../etc/passwd", 2**70],
    ids=repr,
)
def test_junk_in_a_field_is_refused_or_told_and_never_crashes(junk: Any) -> None:
    for path in leaves(RECORD.to_json()):
        found = read(changed(path, lambda _value: junk))
        if isinstance(found, str):
            assert found.isprintable(), path
        else:
            assert found.is_altered or found == RECORD, path
            json.dumps(found.to_json(), allow_nan=False)


def read(data: Any) -> Provenance | str:
    try:
        return Provenance.from_json(data)
    except ProvenanceError as error:
        return str(error)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.pop("seed"), "is damaged: its fields"),
        (lambda data: data.update(version=2), "version 1"),
        (lambda data: data.update(comment="hi"), "is damaged: its fields"),
        (lambda data: data["sampling"].update(grammar="x"), "is damaged: its fields"),
        (lambda data: data["sampling"].pop("lookup"), "is damaged: its fields"),
        (lambda data: data["model"].update(sha256="../x"), "is damaged: its fields"),
        (lambda data: data.update(time="today"), "is damaged: its fields"),
        (lambda data: data["sampling"].update(temperature=-1), "out of range"),
        (lambda data: data["sampling"].update(stop=[5]), "is damaged: its fields"),
        (lambda data: data.update(seed=2**32), "out of range"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(change: Any, says: str) -> None:
    data = record().to_json()
    change(data)
    with pytest.raises(ProvenanceError, match=says):
        Provenance.from_json(data)


class TestLocalEngine:
    @pytest.fixture
    def engine(self, tiny_gguf: Path) -> LocalEngine:
        file_sha256(tiny_gguf)
        return load(tiny_gguf)

    def test_a_completion_carries_how_it_was_made(self, engine: LocalEngine) -> None:
        params = SamplingParams(temperature=1, max_tokens=9, seed=3, ignore_eos=True)
        completion = engine.submit(Request(prompt=HELLO, params=params)).result()
        made = completion.provenance
        assert made is not None
        assert made.model.name == "tiny"
        assert made.model.file == "tiny.gguf"
        assert made.model.quantization == "F32"
        assert made.params == replace(params.filled(engine.info.sampling.params), exact=True)
        assert made.exact is completion.exact is True
        assert made.context.lane == "exact"
        assert made.context.flash_attention is False
        assert made.prompt_sha256 == token_sha256(engine.tokenize(HELLO))
        assert made.text_sha256 == text_sha256(completion.text)
        assert made.completion_tokens == 9
        assert made.prompt_tokens == completion.usage.prompt_tokens
        assert made.finish_reason == "length"
        assert made.build == engine.info.build
        assert not made.is_altered

    def test_a_drawn_seed_is_recorded_and_nothing_is_promised(self, engine: LocalEngine) -> None:
        completion = ask(engine, HELLO, 3, temperature=1)
        assert completion.provenance is not None
        assert completion.provenance.params.seed == completion.seed is not None
        assert completion.provenance.exact is False
        assert completion.provenance.context.lane == "fast"
        assert completion.provenance.context.flash_attention is True

    def test_an_interrupted_answer_has_a_record_too(self, engine: LocalEngine) -> None:
        stream = submit(engine, HELLO, None)
        next(iter(stream))
        completion = stream.result()
        assert completion.provenance is not None
        assert completion.provenance.finish_reason == "cancelled"
        assert completion.provenance.text_sha256 == text_sha256(completion.text)

    def test_the_hash_of_the_file_is_recorded_once_it_is_known(
        self, engine: LocalEngine, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = ask(engine, HELLO, 3).provenance
        assert made is not None
        assert made.model.sha256 == file_sha256(tiny_gguf)
        monkeypatch.setattr("jupyter_llm.engine.local.resident.stored_sha256", lambda _path: None)
        monkeypatch.setattr(ResidentModel, "_hash_file", lambda _self, _lane: None)
        made = ask(load(tiny_gguf), HELLO, 3).provenance
        assert made is not None
        assert made.model.sha256 is None


def test_an_output_that_shows_a_completion_carries_the_record() -> None:
    from IPython.core.formatters import DisplayFormatter

    made = record()
    completion = Completion(
        text="Yes", finish_reason="stop", usage=Usage(), model="tiny", provenance=made
    )
    formatter: Any = DisplayFormatter()
    data, metadata = formatter.format(completion)
    assert data["text/plain"] == "Yes"
    assert data["text/markdown"] == "Yes"
    assert metadata == {METADATA_KEY: made.to_line()}
