"""Many prompts answered together, on the tiny model and on an engine that answers from a script."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.interrupts import interrupt_main
from support.scripted import ScriptedEngine, messages_of
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.ask.many import answered, run_batch
from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.options import MAX_SEED, SamplingParams
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError, OptionError

SHORT = SamplingParams(max_tokens=6)


@pytest.fixture(autouse=True)
def tiny(tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1, checkpoints=False)
    llm.unload()


def test_answers_come_in_the_order_of_the_prompts() -> None:
    prompts = [f"Number {number}" for number in range(40)]
    answers = llm.batch(prompts, max_tokens=6, temperature=0)
    alone = [llm(prompt, max_tokens=6, temperature=0) for prompt in prompts]
    assert [answer.text for answer in answers] == [answer.text for answer in alone]
    assert all(answer.exact for answer in answers)


def test_rows_are_asked_in_bulk_with_their_system_text(engine: ScriptedEngine) -> None:
    llm.batch((str(number) for number in range(3)), system="Be brief.", max_tokens=9)
    assert [request.priority for request in engine.requests] == [Priority.BULK] * 3
    first = engine.requests[0].prompt
    assert [message.content for message in messages_of(first)] == ["Be brief.", "0"]
    assert all(request.params.max_tokens == 9 for request in engine.requests)


def test_raw_rows_get_no_template() -> None:
    (raw,) = llm.batch(["Hello"], raw=True, max_tokens=2)
    (chat,) = llm.batch(["Hello"], max_tokens=2)
    assert raw.usage.prompt_tokens < chat.usage.prompt_tokens


def test_no_prompts_give_no_answers_and_load_nothing() -> None:
    assert llm.batch([]) == []
    assert not llm.status().is_loaded


def test_with_a_seed_equal_prompts_get_different_answers_that_come_again() -> None:
    def texts() -> list[str]:
        answers = llm.batch(["Hello"] * 5, seed=3, temperature=1, max_tokens=12)
        assert [answer.seed for answer in answers] == [3, 4, 5, 6, 7]
        return [answer.text for answer in answers]

    first = texts()
    assert len(set(first)) == 5
    assert texts() == first
    assert llm("Hello", seed=5, temperature=1, max_tokens=12).text == first[2]


def test_seeds_count_on_past_the_largest_from_the_start(engine: ScriptedEngine) -> None:
    params = SamplingParams(seed=MAX_SEED - 1, max_tokens=2)
    run_batch(engine, [Request(prompt=text, params=params) for text in "abc"], lambda *_: True)
    assert [request.params.seed for request in engine.requests] == [MAX_SEED - 1, MAX_SEED, 0]


@pytest.mark.parametrize(
    ("prompts", "error"),
    [(["fine", ""], EmptyPromptError), (["fine", 7], OptionError), ("one text", OptionError)],
    ids=["empty", "number", "no list"],
)
def test_what_is_no_prompt_is_refused_before_anything_is_loaded(
    prompts: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        llm.batch(prompts)
    assert not llm.status().is_loaded


def test_a_row_that_fails_leaves_the_others_answered() -> None:
    prompts = ["first", "word " * 9000, "third", "word " * 9000]
    with pytest.raises(BatchError, match=r"^2 of 4 prompts failed.*index 1: .*window") as caught:
        llm.batch(prompts, max_tokens=4)
    assert sorted(caught.value.errors) == [1, 3]
    assert isinstance(caught.value.errors[1], ContextOverflowError)
    done = caught.value.completions
    assert [one is not None for one in done] == [True, False, True, False]
    assert "\n" not in str(caught.value)
    assert [answer.text for answer in llm.batch(["again"], max_tokens=4)] != [""]


class Interrupting(ScriptedEngine):
    """Interrupts whoever waits for the third of five rows, which holds still."""

    def __init__(self) -> None:
        super().__init__(["one", "two", *["word " * 100] * 3])
        self.streams: list[Stream] = []

    def submit(self, request: Request) -> Stream:
        self.holds = len(self.streams) >= 2
        self.streams.append(super().submit(request))
        if len(self.streams) == 5:
            threading.Thread(target=self._interrupt).start()
        return self.streams[-1]

    def _interrupt(self) -> None:
        for stream in self.streams[:2]:
            stream.future.result(timeout=30)
        interrupt_main()


def test_an_interrupt_keeps_what_is_finished_and_cancels_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Interrupting()
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    with pytest.raises(PromptInterrupted, match="stopped after 2 of 5 prompts") as caught:
        llm.batch(list("abcde"))
    texts = [one and one.text for one in caught.value.completions]
    assert texts == ["one", "two", None, None, None]
    for stream in engine.streams[2:]:
        assert stream.future.result(timeout=30).finish_reason == "cancelled"


def test_of_requests_without_end_only_some_are_with_the_engine(engine: ScriptedEngine) -> None:
    engine.info = replace(engine.info, num_at_once=3)
    numbers: list[int] = []

    def take(number: int, _outcome: object) -> None:
        numbers.append(number)
        if len(numbers) == 20:
            raise ZeroDivisionError

    requests = ((n, Request(prompt=str(n), params=SHORT)) for n in itertools.count())
    with pytest.raises(ZeroDivisionError):
        answered(engine, requests, take)
    assert sorted(numbers)[:17] == list(range(17))
    assert len(engine.requests) <= 20 + 3


def test_a_model_that_is_unloaded_meanwhile_fails_the_rows_that_were_left() -> None:
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(llm.batch, ["Hello"] * 40, max_tokens=None, ignore_eos=True)
        until(lambda: llm.status().is_loaded and llm.engine().status().num_running)
        llm.unload()
        error = rows.exception(timeout=30)
    assert isinstance(error, BatchError)
    assert "unloaded" in str(error)


def test_a_chat_goes_before_the_rows_and_they_lose_nothing() -> None:
    prompts = [f"Row {n}" for n in range(30)]
    alone = [answer.text for answer in llm.batch(prompts, max_tokens=30, seed=1)]
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(llm.batch, prompts, max_tokens=30, seed=1)
        until(lambda: llm.engine().status().num_running)
        chats = [llm(f"Chat {n}", max_tokens=5, temperature=0) for n in range(5)]
        assert not rows.done()
        texts = [answer.text for answer in rows.result(timeout=60)]
    assert all(chat.usage.completion_tokens for chat in chats)
    assert texts == alone
