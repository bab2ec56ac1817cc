"""One prompt for every row: in any container, interrupted, kept, with errors, and beside chats."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from unittest.mock import Mock, call

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import psutil
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pydantic import BaseModel, field_validator
from support.interrupts import interrupt_main
from support.processes import run_python, started
from support.row_engine import RowEngine, backwards
from support.scripted import messages_of
from support.stored import rows
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.columns import map as columns
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import ContextOverflowError, EngineClosedError, OptionError

T = TypeVar("T")

INDEX = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1), ("a", 1), ("c", 9)])
TEXTS = ["one 😀", None, "two", "one 😀", ""]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RowEngine:
    engine = RowEngine(tmp_path / "model.gguf")
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


@dataclass
class Person:
    name: str
    age: int


KINDS: dict[str, Callable[[], Any]] = {
    "list": lambda: TEXTS,
    "generator": lambda: (text for text in TEXTS),
    "pandas": lambda: pd.Series(TEXTS, index=INDEX),
    "frame": lambda: pd.DataFrame({"item": TEXTS}, index=INDEX),
    "polars": lambda: pl.Series(TEXTS),
    "polars frame": lambda: pl.DataFrame({"item": TEXTS}),
    "arrow": lambda: pa.table({"item": TEXTS}),
}


def plain(column: Any) -> list[Any]:
    """The values of any column, None where one is missing."""
    values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    return [None if one is pd.NA or one != one else one for one in values]  # noqa: PLR0124


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_gets_the_same_answers(engine: RowEngine, kind: str) -> None:
    column = llm.map(KINDS[kind](), "Turn: {{item}}")
    assert plain(column) == ["😀", None, "owt", "😀", ":nruT"]
    assert sorted(engine.answered) == ["Turn: ", "Turn: one 😀", "Turn: two"]
    if kind in ("pandas", "frame"):
        assert column.index.equals(INDEX)
    assert {request.priority for request in engine.requests} == {Priority.BULK}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "generator"])
def test_what_is_empty_comes_back_empty_and_loads_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: pytest.fail("loaded"))
    items = KINDS[kind]()
    column = llm.map(items[:0], "{{item}}")
    assert len(column) == 0
    frame = llm.map(items[:0], "{{item}}", choices=["a", "b"], confidence=True, on_error="null")
    assert len(frame) == 0


def test_prompts_that_begin_alike_are_asked_one_after_another(engine: RowEngine) -> None:
    rows = [{"text": f"Text {n % 3}", "n": n} for n in range(30)]
    random.Random(1).shuffle(rows)  # noqa: S311
    column = llm.map(rows, "{{text}} {{n}}")
    assert column == [str(row["n"])[::-1] for row in rows]
    beginnings = [prompt[:6] for prompt in engine.answered]
    assert len(list(itertools.groupby(beginnings))) == 3


def test_a_choice_has_values_and_confidence(engine: RowEngine) -> None:
    frame = llm.map(
        pd.Series(["aa", "b"], index=["x", "y"]), "{{item}}", choices=["no", "yes"], confidence=True
    )
    assert list(frame["value"]) == ["no", "yes"]
    assert frame["confidence"].tolist() == pytest.approx([0.948, 0.948], abs=0.001)
    assert list(frame.index) == ["x", "y"]
    listed = llm.map(["aa"], "{{item}}", choices=["no", "yes"], confidence=True)  # as kept
    assert len(engine.answered) == 2
    assert listed == [{"value": "no", "confidence": pytest.approx(0.948, abs=0.001)}]


@pytest.mark.parametrize("how", [{"exact": True}, {"seed": 1}], ids=["exact", "seed"])
def test_promised_labels_are_the_same_to_the_last_bit_after_chats_and_other_columns(
    tiny_gguf: Path, fresh_llm: None, how: dict[str, Any]
) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    rows = [f"row {number}" for number in range(24)]
    more = {"choices": ["good", "bad"], "confidence": True, "keep": False, **how}
    first = llm.map(rows, "Say how good this is: {{item}}", **more)
    llm("hello there", max_tokens=3)
    llm("hello there", max_tokens=3, seed=2)
    llm.map(rows[:7], "Say what this is: {{item}}", **more)
    again = llm.map(rows[::-1], "Say how good this is: {{item}}", **more)
    assert again[::-1] == first


def test_an_object_is_a_frame_of_its_fields_and_in_a_list_itself(engine: RowEngine) -> None:
    engine._reply = lambda prompt: (
        f'{{"name": "{backwards(prompt)}", "age": {len(prompt.split()[-1])}}}'
    )
    frame = llm.map(pd.Series(["Ada", None], index=["x", "y"]), "{{item}}", schema=Person)
    assert list(frame.columns) == ["name", "age"]
    assert frame["age"].tolist() == [3, pd.NA]
    assert frame["name"]["x"] == "adA"
    assert llm.map(["Ada"], "{{item}}", schema=Person) == [Person("adA", 3)]


def test_rows_that_fail_are_named_when_all_others_are_done(engine: RowEngine) -> None:
    texts = pd.Series(["fine", "word " * 1000, "too", "word " * 1000])
    with pytest.raises(BatchError, match=r"^2 of 4 rows failed, .* index 1: .*window") as caught:
        llm.map(texts, "{{item}}")
    assert plain(caught.value.best) == ["enif", None, "oot", None]
    assert list(caught.value.errors) == [1, 3]
    assert isinstance(caught.value.errors[1], ContextOverflowError)
    assert "\n" not in str(caught.value)
    frame = llm.map(texts, "{{item}}", on_error="null")
    assert plain(frame["value"]) == ["enif", None, "oot", None]
    assert [told is None or "window" in told for told in plain(frame["error"])] == [True] * 4
    assert plain(frame["error"])[0] is None
    assert sorted(engine.answered) == ["fine", "too"]


def test_an_answer_that_has_not_the_shape_is_an_error_and_asked_again(engine: RowEngine) -> None:
    engine._reply = lambda prompt: prompt.split()[-1].replace("7", "seven")
    for num_asked in (3, 4):
        frame = llm.map(pl.Series(["5", "7", "9"]), "{{item}}", schema=int, on_error="null")
        assert frame["value"].to_list() == [5, None, 9]
        assert [told is not None for told in frame["error"]] == [False, True, False]
        assert len(engine.answered) == num_asked


def test_a_model_that_has_gone_ends_it_at_once(engine: RowEngine) -> None:
    def reach(count: int) -> None:
        if count == 300:
            engine.close()

    engine._reach = reach
    with pytest.raises(EngineClosedError):
        llm.map([str(n) for n in range(2000)], "{{item}}")
    assert len(engine.answered) < 1000


def test_the_first_rows_are_tried_and_all_are_estimated(engine: RowEngine) -> None:
    steps: list[Step] = []
    texts = pd.Series([str(n) for n in range(5000)])
    column = llm.map(texts, "{{item}}", limit=20, show_progress=steps.append)
    assert len(column) == 20
    assert list(column.index) == list(range(20))
    assert len(engine.answered) == 20
    assert steps[-1].text.startswith("20 rows at ")
    assert steps[-1].text.endswith(" for all 5,000.")
    assert "of 20 rows" in steps[-2].text
    assert len(llm.map(iter(int, 1), "{{item}}", limit=3)) == 3
    assert llm.map(iter(["ab"]), "{{item}}", limit=3) == ["ba"]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"on_error": "ignore"}, 'must be "raise" or "null"'),
        ({"limit": 0}, "whole number from 1"),
        ({"confidence": True}, "choices="),
        ({"temprature": 1}, "Did you mean temperature"),
        ({"origin": "chat"}, "'origin' is not a sampling option"),
        ({"choices": ["a", "b"], "stop": ["x"]}, "stop= cannot be used with a shape"),
        ({"template": "{{itm}}"}, "Did you mean item"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_row(options: Any, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        llm.map(["a"], options.pop("template", "{{item}}"), **options)


def test_a_rows_seed_depends_on_nothing_but_its_prompt_and_the_seed_given(
    engine: RowEngine,
) -> None:
    def seeds(items: list[str], seed: int) -> dict[str, int | None]:
        engine.requests.clear()
        llm.map(items, "{{item}}", seed=seed, keep=False)
        return {messages_of(one.prompt)[-1].content: one.params.seed for one in engine.requests}

    first = seeds(["a", "b", "c"], 1)
    assert len(set(first.values())) == 3
    assert seeds(["c", "a", "a"], 1) == {"a": first["a"], "c": first["c"]}
    assert not set(seeds(["a", "b", "c"], 2).values()) & set(first.values())


def test_what_is_kept_is_not_written_again(engine: RowEngine) -> None:
    for _ in range(2):
        llm.map(["a", "b"], "{{item}}")
        numbers = rows("SELECT count(*), max(number) FROM kept")
    assert numbers[0][0] == 2
    llm.map(["a", "b"], "{{item}}")
    assert rows("SELECT count(*), max(number) FROM kept") == numbers
    assert len(engine.answered) == 2


class Even(BaseModel):
    value: int
    refused: ClassVar[set[int]] = set()

    @field_validator("value")
    @classmethod
    def is_accepted(cls, value: int) -> int:
        if value in cls.refused:
            raise ValueError("refused")
        return value


def test_a_row_whose_kept_answer_is_refused_now_is_asked_once(
    engine: RowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = {"a": 1, "b": 2}
    engine._reply = lambda prompt: f'{{"value": {replies[prompt[-1]]}}}'
    llm.map(["a", "b"], "{{item}}", schema=Even, retries=1)
    replies["a"] = 4
    monkeypatch.setattr(Even, "refused", {1})
    column = llm.map(["a", "b"], "{{item}}", schema=Even, retries=1)
    assert [one.value for one in column] == [4, 2]
    assert len(engine.requests) == 3


def test_an_answer_is_kept_for_any_number_of_retries(engine: RowEngine) -> None:
    engine._reply = lambda _prompt: '{"value": 2}'
    for retries in (0, 1, 3):
        llm.map(["a", "b"], "{{item}}", schema=Even, retries=retries)
    assert len(engine.answered) == 2


def test_what_is_not_to_be_kept_is_asked_anew(engine: RowEngine) -> None:
    for _ in range(2):
        llm.map(["a", "b"], "{{item}}", keep=False)
    assert len(engine.answered) == 4
    for _ in range(2):
        llm.map(["a", "b"], "{{item}}")
    assert len(engine.answered) == 6


def interrupting(engine: RowEngine, *counts: int) -> None:
    """Interrupt whoever waits when so many rows have been answered."""
    left = list(counts)

    def reach(count: int) -> None:
        if left and count >= left[0]:
            left.pop(0)
            thread = threading.Thread(target=interrupt_main)
            thread.start()
            thread.join()

    engine._reach = reach


def going_on(ask: Callable[[], T]) -> tuple[T, int]:
    """What comes of a call that is made until nobody interrupts it, and how often somebody did.

    Interrupts that come while one is being heard are one.
    """
    for num_interrupts in itertools.count():
        with suppress(KeyboardInterrupt):
            return ask(), num_interrupts
    raise AssertionError


def test_an_interrupt_says_how_to_go_on_and_the_same_call_does(engine: RowEngine) -> None:
    texts = pd.Series([f"row {n}" for n in range(1000)], index=range(1000, 2000))
    interrupting(engine, 400)
    with pytest.raises(PromptInterrupted) as caught:
        llm.map(texts, "{{item}}")
    assert "of 1,000 rows, which are kept: run the same again to go on" in str(caught.value)
    best = caught.value.best
    assert isinstance(best, pd.Series)
    assert best.index.equals(texts.index)
    assert str(caught.value).startswith(f"stopped after {best.notna().sum():,} of")
    assert 400 <= best.notna().sum() < 1000
    column = llm.map(texts, "{{item}}")
    assert list(column) == [str(n)[::-1] for n in range(1000)]
    assert len(engine.answered) <= 1000 + 1  # the running row
    assert len(set(engine.answered)) == 1000


@pytest.mark.parametrize("seed", range(2))
def test_interrupts_at_any_moment_lose_no_row_that_is_done(engine: RowEngine, seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311
    texts = [f"row {drawn.randrange(700)}" for _ in range(1000)]
    interrupting(engine, *sorted(drawn.sample(range(500), 5)))
    column, num_interrupts = going_on(lambda: llm.map(texts, "Turn {{item}}", max_tokens=5))
    assert num_interrupts
    assert column == [text.split()[-1][::-1] for text in texts]
    assert set(engine.answered) == {f"Turn {text}" for text in texts}
    assert len(engine.answered) <= len(set(texts)) + num_interrupts  # the running rows


KILLED = """
import sys
from pathlib import Path
from support.row_engine import RowEngine
from jupyter_llm import llm
model, log, num_rows, row_s = sys.argv[1:]
engine = RowEngine(Path(model), log=Path(log), row_s=float(row_s))
llm.current.get = lambda *_args, **_options: engine
print(sum(map(int, llm.map((f"row {n}" for n in range(int(num_rows))), "Turn {{item}}"))))
"""


def killed(tmp_path: Path, num_rows: int, row_s: float, kills: list[int]) -> tuple[int, int]:
    """What a process says that was killed at so many rows, and how often a row was computed."""
    model, log = tmp_path / "model.gguf", tmp_path / "log"
    log.touch()
    arguments = (model, log, num_rows, row_s)

    def has_reached(count: int) -> bool:
        return log.read_text().count("\n") >= count

    for count in kills:
        with started(KILLED, *arguments) as process:
            until(partial(has_reached, count))
            process.kill()
    said, _ = run_python(KILLED, *arguments, timeout=600)
    return int(said), log.read_text().count("\n")


@pytest.mark.slow
def test_after_kill_9_the_same_call_goes_on(tmp_path: Path) -> None:
    said, num_computed = killed(tmp_path, 600, 0.002, [150, 400])
    assert said == sum(int(str(n)[::-1]) for n in range(600))
    assert 600 <= num_computed <= 600 + 2 * 40  # what ended while the last was being written


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_10_000_rows_survive_ten_interrupts_and_two_kills(
    engine: RowEngine, tmp_path: Path
) -> None:
    texts = [f"row {n}" for n in range(10_000)]
    interrupting(engine, *sorted(random.Random(3).sample(range(9000), 10)))  # noqa: S311
    column, num_interrupts = going_on(lambda: llm.map(texts, "{{item}}"))
    assert column == [str(n)[::-1] for n in range(10_000)]
    assert num_interrupts
    assert len(engine.answered) <= 10_000 + num_interrupts  # the running rows
    said, num_computed = killed(tmp_path, 10_000, 0.005, [2000, 7000])
    assert said == sum(int(str(n)[::-1]) for n in range(10_000))
    assert num_computed <= 10_000 + 2 * 40


def test_memory_does_not_grow_with_the_rows(
    engine: RowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MOST_ROWS", 100)

    def peak(num_rows: int) -> int:
        def texts() -> Iterator[str]:
            for n in range(num_rows):
                yield f"{n} {'x' * 2000} good"

        engine.answered, engine.requests = Forgetful(), Forgetful()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        column = llm.map(texts(), "{{item}}", choices=["a", "b"])
        assert len(column) == num_rows
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        few, many = peak(400), peak(700)
    finally:
        tracemalloc.stop()
    assert many < few + 300 * 500  # of the 2,000 characters of a row nothing stays
    assert engine.most_waiting <= 256


class Forgetful(list[Any]):
    """A list that takes nothing in."""

    def append(self, _value: object) -> None:
        pass


def test_the_event_loop_goes_on_and_cancelling_stops_the_rows(engine: RowEngine) -> None:
    engine._row_s = 0.01

    async def ask() -> tuple[list[str], int]:
        column = await llm.amap(["ab", "cd"], "{{item}}")
        task = asyncio.create_task(llm.amap((str(n) for n in range(5000)), "{{item}}"))
        await asyncio.to_thread(until, lambda: len(engine.answered) > 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return column, len(engine.answered)

    column, num_answered = asyncio.run(ask())
    assert column == ["ba", "dc"]
    until(engine._queue.empty)
    assert len(engine.answered) <= num_answered + 2


def test_loading_is_shown_with_the_rows_and_cancelled_with_them(
    engine: RowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Step] = []
    stopped = threading.Event()

    def load(_model: str | None, *, show: Callable[[Step], None]) -> RowEngine:
        try:
            until(lambda: show(Step("Loading")))
        finally:
            stopped.set()
        return engine

    async def ask() -> None:
        task = asyncio.create_task(llm.amap(["a"], "{{item}}", show_progress=steps.append))
        await asyncio.to_thread(until, lambda: Step("Loading") in steps or task.done())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(llm.current, "get", load)
    asyncio.run(ask())
    until(stopped.is_set)
    shown = Mock(return_value=engine)
    monkeypatch.setattr(llm.current, "get", shown)
    llm.reduce(["a"], "Sum up", show_progress=steps.append)
    assert shown.mock_calls == [call(None, show=steps.append)] * 2


def test_an_interrupt_before_the_first_row_says_so(engine: RowEngine) -> None:
    def show(_step: Step) -> None:
        raise KeyboardInterrupt

    engine._row_s = 0.5
    with pytest.raises(PromptInterrupted, match="before the first row") as caught:
        llm.map(["a"], "{{item}}", show_progress=show)
    assert caught.value.best == [None]


def test_a_column_that_is_awaited_shows_how_far_it_is_and_what_came_of_a_limit(
    engine: RowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def show(step: Step) -> None:
        if threading.current_thread() is threading.main_thread():
            told.append(step.text)

    def is_told() -> bool:
        return any(text.startswith("50 of 60 rows") for text in told)

    monkeypatch.setattr(columns, "showing", lambda _show: nullcontext(show))

    def reach(count: int) -> None:
        if count >= 50:
            until(is_told)

    engine._reach = reach

    monkeypatch.setattr(columns, "note", lambda text, _show: show(Step(text)))

    async def ask() -> None:
        await llm.amap([str(n) for n in range(99)], "{{item}}", limit=60)

    asyncio.run(ask())
    assert is_told()
    assert told[-1].endswith("for all 99.")


@pytest.mark.usefixtures("fresh_llm")
def test_columns_of_two_threads_and_a_chat_beside_them(tiny_gguf: Path) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    texts = [f"Row {n}" for n in range(12)]
    options: Any = {"max_tokens": 8, "temperature": 0}
    alone = [llm(text, **options).text for text in texts]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(llm.map, some, "{{item}}", **options) for some in (texts, texts[::-1])]
        assert llm("A chat", max_tokens=3).usage.completion_tokens == 3
        first, second = (one.result(timeout=60) for one in both)
    assert first == second[::-1] == alone


@pytest.mark.usefixtures("fresh_llm")
def test_rows_choose_as_each_would_alone(tiny_gguf: Path) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    texts = [f"Row {n} of them" for n in range(100)]
    column = llm.map(texts, "{{item}}", choices=["good", "bad", "so so"])
    alone = [llm(text, choices=["good", "bad", "so so"]).value for text in texts[:20]]
    assert column[:20] == alone


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@dataclass
class Review:
    mood: Mood
    stars: int


def test_how_likely_the_fields_of_objects_were_is_kept_with_them(engine: RowEngine) -> None:
    engine._reply = lambda _prompt: '{"mood": "bad", "stars": 3}'
    for _ in range(2):
        frame = llm.map(pd.Series(["a", None, "b"]), "{{item}}", schema=Review, confidence=True)
        assert list(frame.columns) == ["mood", "stars", "mood_confidence", "stars_confidence"]
        assert plain(frame["mood"]) == ["bad", None, "bad"]
        assert all(0 <= p <= 1 for p in frame["mood_confidence"].dropna())
        assert frame["stars_confidence"].notna().tolist() == [True, False, True]
        assert len(engine.answered) == 2 * 3  # a row, and each of two fields


def test_an_interrupt_loses_no_object_that_is_judged(engine: RowEngine) -> None:
    engine._reply = lambda _prompt: '{"mood": "bad", "stars": 3}'
    texts = pd.Series([f"row {n}" for n in range(200)])
    interrupting(engine, 100, 300, 500)
    frame, num_interrupts = going_on(
        lambda: llm.map(texts, "{{item}}", schema=Review, confidence=True)
    )
    assert num_interrupts
    assert frame.notna().all(axis=None)
    # Fields that are being judged are judged again.
    assert len(engine.answered) <= 200 * 3 + num_interrupts * 2 * engine.info.num_at_once


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("fresh_llm")
def test_10_000_rows_of_a_model_take_no_more_memory_than_3_000(tiny_gguf: Path) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    process = psutil.Process()
    sizes: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(10_000):
            if number % 1000 == 0:
                sizes.append(process.memory_info().rss)
            yield f"Row {number}: " + "what stands in all of them, " * 8

    column = llm.map(texts(), "{{item}}", max_tokens=4)
    assert len(column) == 10_000
    assert sizes[-1] - sizes[3] < 10 << 20
