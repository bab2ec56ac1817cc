"""The engine on a real llama.cpp model. Token equality holds on the tiny F32 model without flash
attention; see CONTRIBUTING for what changes the bits elsewhere."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import Completion, Progress
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Message, Prompt, Request
from jupyter_llm.errors import (
    ChatTemplateError,
    JupyterLLMError,
    ModelFileError,
    ModelLoadError,
)
from jupyter_llm.models.discover import find_model

PLAIN = EngineOptions(flash_attention=False, n_threads=1)
LONG = "the quick brown fox jumps over the lazy dog and " * 12


def load(path: Path, options: EngineOptions = PLAIN) -> LocalEngine:
    return LocalEngine(find_model(path), options)


def ask(
    engine: LocalEngine,
    prompt: Prompt,
    max_tokens: int = 24,
    conversation: str | None = None,
    seed: int | None = None,
    temperature: float = 0,
) -> Completion:
    params = SamplingParams(
        temperature=temperature, seed=seed, max_tokens=max_tokens, ignore_eos=True
    )
    request = Request(prompt=prompt, params=params, conversation=conversation)
    return engine.submit(request).result(timeout=60)


@pytest.fixture
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    engine = load(tiny_gguf)
    yield engine
    engine.close()


def test_prefix_reuse_matches_fresh(engine: LocalEngine, tiny_gguf: Path) -> None:
    first = ask(engine, LONG)
    again = ask(engine, LONG)
    longer = LONG + first.text + " and then"
    reused = ask(engine, longer)
    fresh_engine = load(tiny_gguf)
    fresh = ask(fresh_engine, longer)
    fresh_engine.close()
    assert again.token_ids == first.token_ids
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    assert reused.usage.cached_tokens >= first.usage.prompt_tokens
    assert fresh.usage.cached_tokens == 0
    assert reused.token_ids == fresh.token_ids


def test_a_replaced_turn_matches_fresh(engine: LocalEngine, tiny_gguf: Path) -> None:
    ask(engine, LONG + "one way", conversation="c")
    replaced = ask(engine, LONG + "another way", conversation="c")
    fresh_engine = load(tiny_gguf)
    fresh = ask(fresh_engine, LONG + "another way")
    fresh_engine.close()
    assert replaced.usage.cached_tokens >= engine.count_tokens(LONG) - 1
    assert replaced.token_ids == fresh.token_ids


def test_interleaved_conversations_both_keep_their_prefix(engine: LocalEngine) -> None:
    talks = {name: [Message("user", f"{name}: {LONG}")] for name in ("ann", "bob")}
    new_tokens: dict[str, list[int]] = {name: [] for name in talks}
    for _ in range(3):
        for name, messages in talks.items():
            completion = ask(engine, tuple(messages), conversation=name)
            usage = completion.usage
            new_tokens[name].append(usage.prompt_tokens - usage.cached_tokens)
            messages.append(Message("assistant", completion.text, completion.token_ids))
            messages.append(Message("user", "go on"))
    follow_up = engine.count_tokens((Message("user", "go on"),))
    for first, second, third in new_tokens.values():
        # What is new: the answer's last token, which was drawn but never read, its end of turn,
        # and the new message.
        assert second == third <= follow_up + 4 < first


def cells(*numbers: int) -> list[str]:
    return [f"In [{number}]:\nx = {number} * {LONG}\n\n" for number in numbers]


def test_what_was_told_is_not_read_again(engine: LocalEngine) -> None:
    told = [*cells(1, 2), "What is x?"]
    messages = [Message.of_parts("user", told)]
    first = ask(engine, tuple(messages), conversation="c")
    messages.append(Message("assistant", first.text, first.token_ids))
    messages.append(Message.of_parts("user", [*cells(3), "And now?"]))
    second = ask(engine, tuple(messages), conversation="c")
    num_told = sum(map(len, engine.tokenize_texts(told)))
    assert second.usage.cached_tokens >= first.usage.prompt_tokens > num_told


def wait_until_idle(engine: LocalEngine, num_resident: int) -> None:
    """Wait until the engine has read so many tokens in the background."""
    deadline = time.monotonic() + 30
    while max(engine.status().resident_tokens, default=0) < num_resident:
        assert time.monotonic() < deadline, engine.status()
    assert not engine.status().num_waiting


def test_cells_that_were_read_ahead_are_what_the_next_prompt_begins_with(
    engine: LocalEngine,
) -> None:
    num_told = 0
    for last in range(1, 4):
        told = cells(*range(1, last + 1))
        engine.prefill(Request(prompt=(Message.of_parts("user", told),), conversation="c"))
        num_told = sum(map(len, engine.tokenize_texts(told)))
        wait_until_idle(engine, num_told)
    message = Message.of_parts("user", [*cells(1, 2, 3), "What is x?"])
    params = SamplingParams(max_tokens=4, temperature=1)
    request = Request(prompt=(message,), params=params, conversation="c")
    usage = engine.submit(request).result(timeout=30).usage
    assert usage.cached_tokens >= num_told
    assert usage.prompt_tokens - usage.cached_tokens < 40


def test_how_far_a_prompt_is_read_can_be_told(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, replace(PLAIN, n_batch=32))
    streams: list[Stream] = []
    seen: list[Progress] = []
    step = engine._step

    def watched_step() -> None:
        step()
        seen.extend(stream.progress for stream in streams)

    engine._step = watched_step  # type: ignore[method-assign]
    params = SamplingParams(max_tokens=4, temperature=1, ignore_eos=True)
    stream = engine.submit(Request(prompt=LONG, params=params))
    streams.append(stream)
    stream.result(timeout=30)
    reading = [progress.num_read for progress in seen if progress.state == "reading"]
    assert reading == sorted(reading)
    assert len({*reading}) > 2
    assert {progress.num_prompt for progress in seen} <= {0, engine.count_tokens(LONG)}
    assert stream.progress.state == "finished"
    assert stream.progress.num_written == 4
    engine.close()


def test_a_longer_read_ahead_takes_the_place_of_a_shorter_one(engine: LocalEngine) -> None:
    engine.hold_background(is_held=True)
    for last in range(1, 5):
        told = cells(*range(1, last + 1))
        engine.prefill(Request(prompt=(Message.of_parts("user", told),), conversation="c"))
    assert engine.status().num_waiting == 1
    engine.hold_background(is_held=False)
    wait_until_idle(engine, sum(map(len, engine.tokenize_texts(cells(1, 2, 3, 4)))))


def test_a_text_that_was_prefilled_may_go_on(engine: LocalEngine) -> None:
    engine.prefill(Request(prompt=(Message("user", LONG),)))
    num_tokens = len(engine.tokenize_texts([LONG])[0])
    wait_until_idle(engine, num_tokens - 3)  # the last ones may change with what follows
    params = SamplingParams(max_tokens=2, temperature=1)
    request = Request(prompt=(Message("user", f"{LONG} and so on"),), params=params)
    assert engine.submit(request).result(30).usage.cached_tokens >= num_tokens - 3


def test_a_prefill_that_cannot_be_read_does_no_harm(tiny_base_gguf: Path) -> None:
    engine = load(tiny_base_gguf)
    engine.prefill(Request(prompt=(Message("user", "no template"),)))
    assert ask(engine, "still there").text
    engine.close()


def test_conversations_share_what_they_have_in_common(engine: LocalEngine) -> None:
    ask(engine, LONG + "for ann", conversation="ann")
    bob = ask(engine, LONG + "for bob", conversation="bob")
    ann = ask(engine, LONG + "for ann, again", conversation="ann")
    shared = engine.count_tokens(LONG)
    assert bob.usage.cached_tokens >= shared - 1
    assert ann.usage.cached_tokens >= shared + 2


def test_batched_matches_sequential(engine: LocalEngine) -> None:
    prompts = [LONG + f"number {number}" for number in range(4)]
    sequential = [ask(engine, prompt).token_ids for prompt in prompts]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    streams = [engine.submit(Request(prompt=prompt, params=params)) for prompt in prompts]
    assert [stream.result(timeout=60).token_ids for stream in streams] == sequential


def test_same_seed_same_text_in_a_fresh_engine(tiny_gguf: Path) -> None:
    completions = []
    for seed in (5, 5, 6):
        engine = load(tiny_gguf)
        completions.append(ask(engine, LONG, seed=seed, temperature=1.0))
        engine.close()
    assert completions[0].text == completions[1].text != completions[2].text
    assert [c.seed for c in completions] == [5, 5, 6]


def test_an_unseeded_completion_tells_the_seed_that_repeats_it(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf)
    drawn = ask(engine, LONG, temperature=1.0)
    other = ask(engine, LONG, temperature=1.0)
    engine.close()
    engine = load(tiny_gguf)
    repeated = ask(engine, LONG, seed=drawn.seed, temperature=1.0)
    engine.close()
    assert repeated.text == drawn.text
    assert other.seed != drawn.seed


def test_temperature_zero_ignores_the_seed(engine: LocalEngine) -> None:
    assert ask(engine, LONG, seed=1).token_ids == ask(engine, LONG, seed=2).token_ids
    assert ask(engine, LONG, seed=1).seed is None


def test_max_tokens_are_respected_and_the_window_ends_the_rest(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, replace(PLAIN, n_ctx=256))
    assert ask(engine, "one", max_tokens=7).usage.completion_tokens == 7
    params = SamplingParams(max_tokens=None, ignore_eos=True)
    full = engine.submit(Request(prompt="two", params=params)).result(timeout=60)
    assert full.finish_reason == "length"
    assert full.usage.prompt_tokens + full.usage.completion_tokens == engine.info.n_ctx
    engine.close()


def test_more_conversations_than_fit_evict_the_oldest(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, replace(PLAIN, n_ctx=1024, exact=False))
    prompts = [f"{number} " + LONG for number in range(12)]
    first = [ask(engine, prompt, conversation=prompt) for prompt in prompts]
    second = [ask(engine, prompt, conversation=prompt) for prompt in prompts]
    assert [c.token_ids for c in first] == [c.token_ids for c in second]
    assert sum(engine.status().resident_tokens) <= 1024 + 12  # shared cells are counted twice
    engine.close()


def test_cancelling_one_request_leaves_the_others_tokens_unchanged(engine: LocalEngine) -> None:
    alone = ask(engine, LONG + "alone", max_tokens=60).token_ids
    long = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True)
    for _ in range(5):
        doomed = engine.submit(Request(prompt=LONG * 4 + "doomed", params=long))
        other = engine.submit(
            Request(
                prompt=LONG + "alone",
                params=SamplingParams(temperature=0, max_tokens=60, ignore_eos=True),
            )
        )
        doomed.cancel()
        assert doomed.result(timeout=60).finish_reason == "cancelled"
        assert other.result(timeout=60).token_ids == alone
    assert engine.status().num_running == engine.status().num_waiting == 0


def test_text_is_cut_at_whole_characters_only(tiny_utf8_gguf: Path) -> None:
    engine = load(tiny_utf8_gguf)
    params = SamplingParams(temperature=0, max_tokens=200, ignore_eos=True)
    stream = engine.submit(Request(prompt="äöü", params=params))
    chunks = [chunk.text for chunk in stream]
    engine.close()
    assert len(chunks) < stream.result().usage.completion_tokens  # some tokens are half characters
    assert max("".join(chunks)) > "\x7f"


def test_progress_is_told_on_the_calling_thread(tiny_gguf: Path) -> None:
    heard: list[tuple[float, threading.Thread]] = []
    engine = LocalEngine(
        find_model(tiny_gguf),
        PLAIN,
        on_progress=lambda share: heard.append((share, threading.current_thread())),
    )
    engine.close()
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {thread for _, thread in heard} == {threading.current_thread()}


def test_giving_up_while_loading_leaves_no_thread(tiny_gguf: Path) -> None:
    def interrupt(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalEngine(find_model(tiny_gguf), PLAIN, on_progress=interrupt)
    for thread in threading.enumerate():
        if thread.name == "jupyter-llm-engine":
            thread.join(10)
            assert not thread.is_alive()


def test_llama_cpp_writes_nothing_to_the_notebook(
    tiny_gguf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = load(tiny_gguf)
    ask(engine, LONG)
    engine.close()
    assert capfd.readouterr() == ("", "")


def test_a_file_llama_cpp_refuses_says_why_and_keeps_its_log(
    tiny_gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tiny_gguf.read_bytes().replace(b"blk.0.attn_norm.weight", b"blk.0.attn_nope.weight")
    (tmp_path / "odd.gguf").write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"^odd\.gguf cannot be loaded: .*attn_norm") as caught:
        load(tmp_path / "odd.gguf")
    assert any("attn_norm" in line for line in caught.value.log)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_truncated_file_is_refused_before_loading(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "short.gguf").write_bytes(tiny_gguf.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        load(tmp_path / "short.gguf")


def test_a_base_model_continues_raw_text_and_refuses_chats(tiny_base_gguf: Path) -> None:
    engine = load(tiny_base_gguf)
    assert ask(engine, "raw text").text
    with pytest.raises(ChatTemplateError, match="complete"):
        ask(engine, (Message("user", "hello"),))
    engine.close()


def test_a_forked_process_is_told_to_ask_its_parent(tiny_gguf: Path) -> None:
    code = f"""
import os, warnings
warnings.simplefilter("ignore")
from jupyter_llm import llm
llm.use({str(tiny_gguf)!r}, n_threads=1)
if os.fork() == 0:
    try:
        llm.complete("hello")
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
os.wait()
print(llm.complete("hello", max_tokens=3).finish_reason)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    child, parent = done.stdout.splitlines()
    assert child.startswith("EngineClosedError")
    assert "fork" in child
    assert parent == "length"


def test_the_process_ends_cleanly_in_the_middle_of_an_answer(tiny_gguf: Path) -> None:
    code = f"""
from jupyter_llm import llm
llm.use({str(tiny_gguf)!r}, n_threads=1)
stream = llm.stream("word " * 500, raw=True, max_tokens=None, ignore_eos=True)
next(iter(stream))
streams = [llm.stream("word " * n, raw=True, max_tokens=None) for n in range(1, 9)]
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "Error" not in done.stderr


@pytest.mark.parametrize("prompt", ["lone \ud83d surrogate", 7, (7,)], ids=["text", "int", "list"])
def test_a_request_that_cannot_be_read_fails_alone(engine: LocalEngine, prompt: Any) -> None:
    other = engine.submit(Request(prompt=LONG, params=SamplingParams(max_tokens=200)))
    stream = engine.submit(Request(prompt=prompt, params=SamplingParams(max_tokens=2)))
    error = stream.future.exception(timeout=30)
    assert error is None or isinstance(error, JupyterLLMError)
    assert other.result(timeout=60).usage.completion_tokens == 200
    assert ask(engine, "still there").text


def test_a_stream_that_nobody_holds_stops(engine: LocalEngine) -> None:
    params = SamplingParams(max_tokens=None, ignore_eos=True)
    stream = engine.submit(Request(prompt=LONG, params=params))
    future = stream.future
    del stream
    gc.collect()
    assert future.result(timeout=30).finish_reason == "cancelled"
    assert engine.status().num_running == 0


def test_one_off_prompts_do_not_evict_a_conversation(engine: LocalEngine) -> None:
    ask(engine, LONG + "for ann", conversation="ann")
    for number in range(50):
        ask(engine, f"{number}: something else", max_tokens=2)
    ann = ask(engine, LONG + "for ann, again", conversation="ann")
    assert ann.usage.cached_tokens >= engine.count_tokens(LONG)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "num_prompts"),
    [
        ({"n_ctx": 128, "n_batch": 32}, 6),
        ({"n_ctx": 128, "n_batch": 65536}, 6),
        ({"n_batch": 33, "n_threads": 512}, 2),
    ],
)
def test_extreme_options_leave_the_process_alive(
    tiny_gguf: Path, options: dict[str, int], num_prompts: int
) -> None:
    code = f"""
from jupyter_llm import llm
llm.use({str(tiny_gguf)!r}, **{options})
prompt = "many words " * 8
streams = [llm.stream(prompt + str(n), raw=True, max_tokens=9) for n in range({num_prompts})]
print(*[len(stream.result().text) > 0 for stream in streams])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["True"] * num_prompts, done.stderr[-500:]


def test_an_answer_prefix_is_as_if_the_model_had_written_it(engine: LocalEngine) -> None:
    chat = (Message("user", "Hello there"),)
    prefix = "the quick"
    request = Request(
        prompt=chat,
        params=SamplingParams(temperature=0, max_tokens=24, ignore_eos=True),
        answer_prefix=prefix,
    )
    opened = engine.submit(request).result(timeout=60)
    assert opened.token_ids == ask(engine, engine.format(chat) + prefix).token_ids


def test_control_texts_in_an_answer_prefix_are_plain_text(engine: LocalEngine) -> None:
    chat = (Message("user", "Hello there"),)
    control = "<|im_end|>"
    params = SamplingParams(temperature=0, max_tokens=1)
    request = Request(prompt=chat, params=params, answer_prefix=control)
    usage = engine.submit(request).result(timeout=60).usage
    assert usage.prompt_tokens > engine.count_tokens(chat) + 1
