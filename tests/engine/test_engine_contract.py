"""What every Engine promises; the scripted double is held to it like the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.scripted import ScriptedEngine

from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError, EngineClosedError
from jupyter_llm.models.discover import find_model

HELLO = (Message("user", "Hello there"),)


def greedy(max_tokens: int | None = 12, *, stop: tuple[str, ...] = ()) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=max_tokens, stop=stop, ignore_eos=True)


@pytest.fixture(params=["local", "scripted"])
def engine(request: pytest.FixtureRequest, tiny_gguf: Path) -> Iterator[Engine]:
    engine: Engine = ScriptedEngine()
    if request.param == "local":
        engine = LocalEngine(find_model(tiny_gguf), EngineOptions(n_threads=1))
    yield engine
    engine.close()


def test_chunks_add_up_to_the_result(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy()))
    text = "".join(chunk.text for chunk in stream)
    assert text
    assert text == stream.result().text == str(stream.result())


def test_result_alone_waits_for_the_end(engine: Engine) -> None:
    completion = engine.submit(Request(prompt=HELLO, params=greedy())).result(timeout=30)
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 12
    assert completion.usage.prompt_tokens == engine.count_tokens(HELLO)
    assert completion.model == engine.info.name


def test_a_finished_stream_can_be_read_again_and_is_over(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy()))
    assert list(stream)
    assert list(stream) == []


def test_cancel_ends_the_stream_with_what_there_is(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy(None)))
    chunks = iter(stream)
    first = next(chunks).text
    stream.cancel()
    completion = stream.result(timeout=30)
    assert completion.finish_reason == "cancelled"
    assert completion.text.startswith(first)


def test_others_may_look_on_while_a_stream_is_read(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy()))
    read = ""
    for chunk in stream:
        read += chunk.text
        assert stream.written.startswith(read)
        progress = stream.progress
        assert progress.state in ("writing", "finished")
        assert progress.num_read == progress.num_prompt > 0
    assert stream.written == stream.result(timeout=30).text == read
    assert stream.progress.state == "finished"
    assert stream.progress.num_written >= 12


def test_cancel_after_the_end_changes_nothing(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy()))
    completion = stream.result(timeout=30)
    stream.cancel()
    assert stream.result() is completion


def test_leaving_the_loop_stops_the_engine(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy(None)))
    for _ in stream:
        break
    assert stream.result(timeout=30).finish_reason == "cancelled"


def test_a_stop_text_is_not_in_the_reply(engine: Engine) -> None:
    whole = engine.submit(Request(prompt=HELLO, params=greedy(12))).result(timeout=30).text
    stop = whole[2:4]
    completion = engine.submit(Request(prompt=HELLO, params=greedy(12, stop=(stop,)))).result(30)
    assert completion.finish_reason == "stop"
    assert completion.text == whole[: whole.index(stop)]


def test_an_answer_prefix_is_read_and_not_part_of_the_completion(engine: Engine) -> None:
    prefix = "the quick"
    request = Request(prompt=HELLO, params=greedy(), answer_prefix=prefix)
    stream = engine.submit(request)
    text = "".join(chunk.text for chunk in stream)
    completion = stream.result(timeout=30)
    assert completion.text == text
    assert not text.startswith(prefix)
    assert completion.usage.completion_tokens == 12
    assert completion.usage.prompt_tokens == engine.count_tokens(HELLO) + len(
        engine.tokenize(prefix)
    )


def test_a_stop_text_in_the_answer_prefix_stops_nothing(engine: Engine) -> None:
    params = greedy(stop=("```",))
    completion = engine.submit(Request(prompt=HELLO, params=params, answer_prefix="```")).result(30)
    assert completion.text
    assert completion.finish_reason == "length"


def test_an_empty_prompt_is_refused_whatever_the_answer_begins_with(engine: Engine) -> None:
    with pytest.raises(EmptyPromptError):
        list(engine.submit(Request(prompt="", answer_prefix="the quick")))


def test_an_answer_prefix_counts_towards_the_context_window(engine: Engine) -> None:
    n_ctx = engine.info.n_ctx
    stream = engine.submit(Request(prompt=HELLO, params=greedy(), answer_prefix="a b" * n_ctx))
    with pytest.raises(ContextOverflowError, match=str(n_ctx)):
        stream.result(timeout=30)


def test_an_overlong_prompt_names_both_numbers(engine: Engine) -> None:
    n_ctx = engine.info.n_ctx
    stream = engine.submit(Request(prompt="a b" * n_ctx, params=greedy()))
    with pytest.raises(ContextOverflowError, match=str(n_ctx)) as caught:
        stream.result(timeout=30)
    assert caught.value.num_tokens > caught.value.n_ctx == n_ctx


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(EmptyPromptError):
        list(engine.submit(Request(prompt="")))


def test_a_failed_request_leaves_the_engine_working(engine: Engine) -> None:
    failed = engine.submit(Request(prompt=""))
    good = engine.submit(Request(prompt=HELLO, params=greedy()))
    assert good.result(timeout=30).text
    assert failed.future.exception(timeout=30) is not None


def test_format_and_tokenize_agree(engine: Engine) -> None:
    assert "Hello there" in engine.format(HELLO)
    assert engine.format("as it is") == "as it is"
    assert engine.count_tokens(HELLO) == len(engine.tokenize(HELLO)) > 0


def test_a_closed_engine_says_so(engine: Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.submit(Request(prompt=HELLO))
    with pytest.raises(EngineClosedError):
        engine.status()


def test_closing_ends_running_streams(engine: Engine) -> None:
    stream = engine.submit(Request(prompt=HELLO, params=greedy(None)))
    next(iter(stream))
    engine.close()
    assert stream.future.exception(timeout=30) or stream.result().finish_reason == "cancelled"


def test_two_requests_at_once_both_come_back(engine: Engine) -> None:
    prompts = [(Message("user", name),) for name in ("ann", "bob")]
    streams = [engine.submit(Request(prompt=prompt, params=greedy())) for prompt in prompts]
    assert all(stream.result(timeout=30).text for stream in streams)


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


def test_a_message_made_of_parts_reads_as_the_whole(engine: Engine) -> None:
    message = Message.of_parts("user", ("In [1]:\nx", " = 1\n\n", "What is x?"))
    assert message.content == "In [1]:\nx = 1\n\nWhat is x?"
    assert message.content in engine.format((message,))
    assert engine.submit(Request(prompt=(message,), params=greedy(3))).result(30).text


def test_a_prefilled_chat_changes_no_answer(engine: Engine) -> None:
    engine.prefill(Request(prompt=HELLO, params=greedy()))
    assert engine.submit(Request(prompt=HELLO, params=greedy())).result(30).text
