"""What every Engine promises; the scripted double is held to it like the real ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from support.engines import load
from support.scripted import ScriptedEngine
from support.scripted_server import serving
from support.serving import LLAMA_SERVER, llama_server, served_here
from support.waiting import until

from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import BeginsWith, Constraint, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Prompt, RawPrompt, Request, Special
from jupyter_llm.errors import (
    ContextOverflowError,
    EmptyPromptError,
    EngineClosedError,
    OptionError,
)

HELLO = (Message("user", "Hello there"),)


FAR = pytest.param(
    "llama-server",
    marks=[
        *(pytest.mark.slow, pytest.mark.soak),
        pytest.mark.skipif(not LLAMA_SERVER.exists(), reason="benchmarks/build_peers.py makes it"),
    ],
)


@pytest.fixture(params=["local", "scripted", "remote", "served", FAR])
def engine(request: pytest.FixtureRequest, tiny_gguf: Path) -> Iterator[Engine]:
    if request.param == "remote":
        with serving() as server:
            yield server.connect()
    elif request.param == "served":
        request.getfixturevalue("fresh_llm")
        with served_here(load(tiny_gguf)) as remote:
            yield remote
    elif request.param == "llama-server":
        with llama_server(tiny_gguf) as remote:
            yield remote
    else:
        yield load(tiny_gguf) if request.param == "local" else ScriptedEngine()


@pytest.fixture(params=["local", "scripted"])
def engine_here(request: pytest.FixtureRequest, tiny_gguf: Path) -> Engine:
    """One that tells the tokens of a text, as servers do not."""
    return load(tiny_gguf) if request.param == "local" else ScriptedEngine()


def submit(
    engine: Engine,
    max_tokens: int | None = 12,
    *,
    prompt: Prompt = HELLO,
    stop: tuple[str, ...] = (),
    answer_prefix: str = "",
    constraint: Constraint | None = None,
) -> Stream:
    params = SamplingParams(temperature=0, max_tokens=max_tokens, stop=stop, ignore_eos=True)
    return engine.submit(
        Request(prompt=prompt, params=params, answer_prefix=answer_prefix, constraint=constraint)
    )


def ask(engine: Engine, max_tokens: int | None = 12, **more: Any) -> Completion:
    return submit(engine, max_tokens, **more).result(timeout=30)


def test_a_finished_stream_can_be_read_again_and_is_over(engine: Engine) -> None:
    stream = submit(engine)
    assert list(stream)
    assert list(stream) == []


def test_cancel_ends_the_stream_with_what_there_is(engine: Engine) -> None:
    stream = submit(engine, None)
    chunks = iter(stream)  # which would cancel it too, were it gone
    first = next(chunks).text
    stream.cancel()
    completion = stream.result(timeout=30)
    assert completion.finish_reason == "cancelled"
    assert completion.text.startswith(first)


def test_chunks_add_up_to_the_result_and_others_may_look_on(engine: Engine) -> None:
    stream = submit(engine)
    read = ""
    for chunk in stream:
        read += chunk.text
        assert stream.written.startswith(read)
        progress = stream.progress
        assert progress.state in ("writing", "finished")
        assert progress.num_read == progress.num_prompt > 0
    completion = stream.result(timeout=30)
    assert stream.written == completion.text == str(completion) == read
    assert stream.progress.state == "finished"
    assert stream.progress.num_written >= 12


def test_leaving_the_loop_stops_the_engine(engine: Engine) -> None:
    stream = submit(engine, None)
    for _ in stream:
        break
    assert stream.result(timeout=30).finish_reason == "cancelled"


def test_what_an_engine_does_is_known_at_once_and_told(engine: Engine) -> None:
    told: list[str] = []
    is_idle = threading.Event()

    def look() -> None:
        told.append(engine.work)
        if engine.work == "idle":
            is_idle.set()

    end = engine.watch(look)
    assert engine.work == "idle"
    stream = submit(engine, None)
    until(lambda: engine.work == "writing")
    stream.cancel()
    assert is_idle.wait(30)
    assert [work for work, _ in groupby(told)] == ["reading", "writing", "idle"]
    end()
    told.clear()
    ask(engine)
    assert told == []


def test_a_stop_text_is_not_in_the_reply(engine: Engine) -> None:
    whole = ask(engine).text
    completion = ask(engine, stop=(whole[2:4],))
    assert completion.finish_reason == "stop"
    assert completion.text == whole[: whole.index(whole[2:4])]


def test_an_answer_prefix_is_read_and_not_part_of_the_completion(engine: Engine) -> None:
    prefix = "the quick"
    stream = submit(engine, answer_prefix=prefix)
    text = "".join(chunk.text for chunk in stream)
    completion = stream.result(timeout=30)
    assert completion.text == text
    assert not text.startswith(prefix)
    assert completion.usage.completion_tokens == 12
    if engine.info.host:
        assert completion.usage.prompt_tokens > ask(engine).usage.prompt_tokens
    else:
        num_tokens = len(engine.tokenize(HELLO)) + len(engine.tokenize(prefix))
        assert completion.usage.prompt_tokens == num_tokens


@pytest.mark.parametrize(
    ("texts", "answer_prefix"),
    [(("kilometres",), ""), (("yes", "no", "żółw 🐢"), "the quick"), (("word", "w"), "")],
)
def test_an_answer_begins_with_one_of_the_texts_and_says_so_in_its_record(
    engine: Engine, texts: tuple[str, ...], answer_prefix: str
) -> None:
    constraint = BeginsWith(texts)
    completion = ask(engine, 40, constraint=constraint, answer_prefix=answer_prefix)
    assert completion.text.startswith(texts)
    assert completion.usage.completion_tokens == 40
    assert completion.provenance is not None
    assert completion.provenance.is_constrained
    free = ask(engine, 3, answer_prefix=answer_prefix).provenance
    assert free is not None
    assert not free.is_constrained


@pytest.mark.parametrize("texts", [("yes", "no", "never"), ("yes", "no", "not at all")])
def test_an_answer_that_is_one_of_some_texts_is_whole_and_says_how_likely_each_was(
    engine: Engine, texts: tuple[str, ...]
) -> None:
    stream = submit(engine, 1, constraint=OneOf(texts), stop=("o",))
    completion = stream.result(timeout=30)
    assert completion.text in texts
    assert "".join(chunk.text for chunk in stream) == completion.text
    assert completion.finish_reason == "stop"
    if engine.info.host and "not at all" in texts:  # few servers tell how likely the end of "no" is
        assert completion.choice is None
        return
    assert completion.choice is not None
    probabilities = completion.choice.probabilities
    assert tuple(probabilities) == texts
    assert max(probabilities, key=lambda text: probabilities[text]) == completion.text
    assert sum(probabilities.values()) == pytest.approx(1)
    assert 0 <= completion.choice.elsewhere <= 1
    assert completion.provenance is not None
    assert completion.provenance.is_constrained


@pytest.mark.parametrize("more", [{"prompt": "a b"}, {"answer_prefix": "a b"}], ids=str)
def test_an_overlong_prompt_names_both_numbers(engine: Engine, more: dict[str, str]) -> None:
    n_ctx = engine.info.n_ctx
    stream = submit(engine, **{name: text * n_ctx for name, text in more.items()})  # type: ignore[arg-type]
    with pytest.raises(ContextOverflowError, match=str(n_ctx)) as caught:
        stream.result(timeout=30)
    assert caught.value.num_tokens > caught.value.n_ctx == n_ctx


@pytest.mark.parametrize("answer_prefix", ["", "the quick"])
def test_an_empty_prompt_is_refused_and_leaves_the_engine_working(
    engine: Engine, answer_prefix: str
) -> None:
    failed = submit(engine, prompt="", answer_prefix=answer_prefix)
    assert ask(engine).text
    with pytest.raises(EmptyPromptError):
        list(failed)


def test_a_closed_engine_says_so(engine: Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineClosedError):
        submit(engine)
    with pytest.raises(EngineClosedError):
        engine.status()


def test_closing_ends_running_streams(engine: Engine) -> None:
    stream = submit(engine, None)
    next(iter(stream))
    engine.close()
    assert stream.future.exception(timeout=30) or stream.result().finish_reason == "cancelled"


def test_plain_texts_are_tokenized_one_by_one_and_control_texts_mean_nothing(
    engine: Engine,
) -> None:
    texts = ["Hello there", "", "<|im_end|>", "Hello there"]
    hello, nothing, control, again = engine.tokenize_texts(texts)
    assert hello == again
    assert nothing == ()
    assert len(hello) >= 1
    assert len(control) > 1
    assert engine.tokenize_texts([]) == []


def test_a_raw_prompt_of_parts_reads_as_its_text(engine: Engine) -> None:
    prompt = RawPrompt((Special("<|im_start|>"), "user\n", "", "Hello"))
    assert engine.format(prompt) == prompt.text == "<|im_start|>user\nHello"
    assert ask(engine, 3, prompt=prompt).text


def test_a_special_part_is_one_token_and_the_same_text_elsewhere_is_plain(
    engine_here: Engine,
) -> None:
    engine = engine_here
    assert engine.tokenize(RawPrompt(("Hello",))) == engine.tokenize("Hello")
    (control,) = engine.tokenize(RawPrompt((Special("<|im_end|>"),)))
    plain = engine.tokenize(RawPrompt(("<|im_end|>",)))
    assert engine.tokenize_texts(["<|im_end|>"]) == [plain]
    assert len(plain) > 1
    assert control not in plain
    assert engine.tokenize("<|im_end|>") == plain
    parts = ("<|im_end|>", Special("<|im_end|>"), "<|im_", "end|>")
    token_ids = engine.tokenize(RawPrompt(parts))
    assert token_ids[: len(plain) + 1] == (*plain, control)
    assert token_ids.count(control) == 1


@pytest.mark.parametrize("text", ["<|im_emd|>", "the", "<|im_end|> "])
def test_a_special_part_that_is_no_control_token_is_refused(engine_here: Engine, text: str) -> None:
    engine = engine_here
    prompt = RawPrompt(("Hello", Special(text)))
    failed = submit(engine, prompt=prompt)
    assert ask(engine).text
    with pytest.raises(OptionError, match="no control token") as caught:
        list(failed)
    assert repr(text) in str(caught.value)
    with pytest.raises(OptionError, match="no control token"):
        engine.tokenize(prompt)


def test_a_prefilled_chat_changes_no_answer(engine: Engine) -> None:
    answer = ask(engine).text
    engine.prefill(Request(prompt=HELLO))
    assert ask(engine).text == answer
