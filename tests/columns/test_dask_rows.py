"""Dask's frames, columns and bags: asked a partition at a time, and back as the same kind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import dask.bag
import dask.dataframe as dd
import pandas as pd  # type: ignore[import-untyped]
import pytest
from dask.delayed import delayed
from support.clusters import started
from support.row_engine import RowEngine
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.columns import map as columns
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import OptionError

TEXTS = [f"text {n}" for n in range(10)]
INDEX = list(range(100, 110))


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RowEngine:
    engine = RowEngine(tmp_path / "model.gguf")
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "other": range(10)}, index=INDEX)


KINDS: dict[str, Callable[[], Any]] = {
    "frame": lambda: dd.from_pandas(frame(), npartitions=3),
    "column": lambda: dd.from_pandas(frame(), npartitions=3).text,
    "bag": lambda: dask.bag.from_sequence([{"text": text} for text in TEXTS], npartitions=3),
    "bag of texts": lambda: dask.bag.from_sequence(TEXTS, npartitions=3).filter(bool),
}


def plain(told: Any) -> list[Any]:
    return list(told.compute())


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_comes_back_as_what_it_was_with_its_index_and_partitions(kind: str) -> None:
    items = KINDS[kind]()
    template = "Turn {{item}}" if kind == "bag of texts" else "Turn {{text}}"
    told = llm.map(items, template)
    assert type(told).__name__ == ("Bag" if "bag" in kind else "Series")
    assert plain(told) == [str(n) for n in range(10)]
    assert told.npartitions == 3
    if "bag" not in kind:
        assert told.divisions == items.divisions
        assert list(told.compute().index) == INDEX
    sure = llm.map(items, template, choices=["no", "yes"], confidence=True).compute()
    values = [one["value"] for one in sure] if "bag" in kind else list(sure["value"])
    assert set(values) <= {"no", "yes"}
    assert len(values) == 10


def test_one_partition_is_here_at_a_time(engine: RowEngine) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def read(number: int) -> pd.DataFrame:
        nonlocal most
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
        made = frame().iloc[number : number + 1]
        alive.append(weakref.ref(made))
        return made

    items = dd.from_map(read, range(10), meta=frame().iloc[:0])
    assert plain(llm.map(items, "{{text}}")) == [str(n) for n in range(10)]
    assert len(alive) == 10
    assert most <= 2
    assert list(llm.map(items, "Turn {{text}}", limit=2).compute()) == ["0", "1"]
    assert len(alive) <= 13
    assert len(engine.answered) == 12


def test_what_partitions_share_is_computed_once_on_a_cluster(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def make(part: pd.DataFrame) -> pd.DataFrame:
        with made.open("a") as log:
            log.write("made " * len(part))
        return part

    items = dd.from_pandas(frame(), npartitions=3).map_partitions(make, meta=frame().iloc[:0])
    with started(tmp_path, n_workers=1, processes=False) as client:
        told = llm.map(items.shuffle("other"), "{{text}}")
        assert sorted(plain(told)) == sorted(str(n) for n in range(10))
        assert made.read_text() == "made " * 10
        until(lambda: not client.futures)  # nothing stays on the cluster


def test_a_filter_keeps_rows_where_they_are(engine: RowEngine) -> None:
    texts = ["a" * (1 + n % 3) for n in range(9)]
    whole = pd.DataFrame({"text": texts, "n": range(9)}, index=range(50, 59))
    items = dd.from_pandas(whole, npartitions=4)
    kept = llm.filter(items, "{{text}} is long", threshold=0.5)
    expected = llm.filter(whole, "{{text}} is long", threshold=0.5)
    assert 0 < len(expected) < 9
    assert kept.npartitions > 1
    pd.testing.assert_frame_equal(kept.compute(), expected, check_dtype=False)
    chances = llm.filter(items, "{{text}} is long", probabilities=True).compute()
    assert list(chances.index) == list(range(50, 59))
    bag = llm.filter(dask.bag.from_sequence(texts, npartitions=2), "{{item}} is long")
    assert plain(bag) == llm.filter(texts, "{{item}} is long")


def test_the_best_rows_come_best_first() -> None:
    whole = frame()
    best = llm.top_k(dd.from_pandas(whole, npartitions=3).text, "urgent", 3).compute()
    assert list(best) == list(llm.top_k(whole.text, "urgent", 3))
    assert list(best.index) == list(llm.top_k(whole.text, "urgent", 3).index)
    bag = dask.bag.from_sequence(TEXTS, npartitions=3)
    assert plain(llm.top_k(bag, "urgent", 3)) == llm.top_k(TEXTS, "urgent", 3)
    assert llm.reduce(bag, "Sum up") == llm.reduce(TEXTS, "Sum up")


def test_what_was_read_by_an_interrupt_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_ROWS", 2)

    def stop(step: Step) -> None:
        if "rows" in step.text:
            raise KeyboardInterrupt

    with pytest.raises(PromptInterrupted) as caught:
        llm.map(KINDS["column"](), "{{item}}", show_progress=stop)
    told: Any = caught.value.best
    best = told.compute()
    assert list(best.index) == INDEX[: len(best)]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: llm.map(dask.array.zeros(3), "{{item}}"), "a frame, a column or a bag"),
        (lambda: llm.map(delayed([1]), "{{item}}"), "a frame, a column or a bag"),
        (lambda: llm.join(KINDS["bag"](), TEXTS, "same"), r"Call \.compute\(\)"),
        (lambda: llm.map(KINDS["frame"](), "{{txt}}"), "Did you mean text"),
    ],
)
def test_what_cannot_be_read_so_is_refused(ask: Callable[[], Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        ask()
