"""The engine on a real llama.cpp model. Token equality holds on the tiny F32 model without flash
attention; see CONTRIBUTING for what changes the bits elsewhere."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import (
    ask,
    ask_afresh,
    assert_nothing_leaks,
    before_each_step,
    load,
    num_read,
    paused,
    prefill,
    submit,
    wait_until_idle,
)
from support.specials import with_specials
from support.tiny_model import MERGES

from jupyter_llm.engine.completion import Progress
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.text import plain_template
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import (
    JupyterLLMError,
    ModelLoadError,
)

LONG = "the quick brown fox jumps over the lazy dog and " * 12


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, flash_attention=False)


def test_what_was_read_before_is_reused_and_changes_no_token(
    engine: LocalEngine, tiny_gguf: Path
) -> None:
    first = ask(engine, LONG, conversation="c")
    again = ask(engine, LONG, conversation="c")
    assert (again.token_ids, num_read(again)) == (first.token_ids, 1)
    for prompt, num_before in (
        (LONG + first.text + " and then", first.usage.prompt_tokens),  # gone on
        (LONG + "another way", engine.count_tokens(LONG) - 1),  # the turn replaced
    ):
        reused = ask(engine, prompt, conversation="c")
        assert reused.usage.cached_tokens >= num_before
        assert reused.token_ids == ask_afresh(tiny_gguf, prompt).token_ids


def cells(*numbers: int) -> list[str]:
    return [f"In [{number}]:\nx = {number} * {LONG}\n\n" for number in numbers]


def test_cells_that_were_read_ahead_are_what_the_next_prompt_begins_with(
    engine: LocalEngine,
) -> None:
    for last in range(1, 4):
        told = (Message.of_parts("user", cells(*range(1, last + 1))),)
        prefill(engine, told, temperature=1, conversation="c")
        wait_until_idle(engine)
    message = Message.of_parts("user", [*cells(1, 2, 3), "What is x?"])
    usage = ask(engine, (message,), 4, temperature=1, conversation="c").usage
    assert usage.cached_tokens >= sum(map(len, engine.tokenize_texts(cells(1, 2, 3))))
    assert usage.prompt_tokens - usage.cached_tokens < 40


def test_how_far_a_prompt_is_read_can_be_told(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(tiny_gguf, n_batch=32)
    streams: list[Stream] = []
    seen: list[Progress] = []
    before_each_step(
        engine, monkeypatch, lambda _number: seen.extend(stream.progress for stream in streams)
    )
    with paused(engine):
        stream = submit(engine, LONG, 4, temperature=1)
        streams.append(stream)
    stream.result(timeout=30)
    reading = [progress.num_read for progress in seen if progress.state == "reading"]
    assert reading == sorted(reading)
    assert len({*reading}) > 2
    assert {progress.num_prompt for progress in seen} <= {0, engine.count_tokens(LONG)}
    assert stream.progress.state == "finished"
    assert stream.progress.num_written == 4


def test_an_unseeded_completion_tells_the_seed_that_repeats_it(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, flash_attention=False)
    drawn, other = (ask(engine, LONG, temperature=1.0) for _ in range(2))
    again = load(tiny_gguf, flash_attention=False)
    assert ask(again, LONG, seed=drawn.seed, temperature=1.0).text == drawn.text
    assert other.seed != drawn.seed


@pytest.mark.parametrize("exact", [True, False])
def test_max_tokens_are_respected_and_the_window_ends_the_rest(
    tiny_gguf: Path, *, exact: bool
) -> None:
    engine = load(tiny_gguf, n_ctx=256, exact=exact)
    assert ask(engine, "one", 7).usage.completion_tokens == 7
    full = ask(engine, LONG[:240], None)
    assert full.exact is exact
    assert full.finish_reason == "length"
    assert full.usage.prompt_tokens + full.usage.completion_tokens == engine.info.n_ctx
    assert_nothing_leaks(engine)


def test_text_is_cut_at_whole_characters_only(tiny_utf8_gguf: Path) -> None:
    stream = submit(load(tiny_utf8_gguf), "äöü", 200)
    chunks = [chunk.text for chunk in stream]
    assert len(chunks) < stream.result().usage.completion_tokens  # some tokens are half characters
    assert max("".join(chunks)) > "\x7f"


def test_giving_up_while_loading_leaves_no_thread(tiny_gguf: Path) -> None:
    def interrupt(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tiny_gguf, on_progress=interrupt)
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


def test_a_file_llama_cpp_refuses_says_why(
    tiny_gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tiny_gguf.read_bytes().replace(b"blk.0.attn_norm.weight", b"blk.0.attn_nope.weight")
    (tmp_path / "odd.gguf").write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"^odd\.gguf cannot be loaded: .*attn_norm") as caught:
        load(tmp_path / "odd.gguf")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_base_model_goes_on_with_texts_and_says_so_before_it_chats(
    tiny_base_gguf: Path, warnings: Callable[[], list[str]]
) -> None:
    engine = load(tiny_base_gguf)
    assert ask(engine, "raw text").text
    assert warnings() == []
    for _ in range(2):
        assert ask(engine, (Message("user", "hello"),)).text
    (said,) = warnings()
    assert said.startswith("tiny-base has no chat template (a base model)")
    assert "/complete" in said


def test_a_base_model_is_asked_in_plain_words_and_writes_no_turn_but_its_own(
    tiny_base_gguf: Path,
) -> None:
    engine = load(tiny_base_gguf)
    chat = (Message("system", "Be brief."), Message("user", "Hi <|im_end|>"))
    assert engine.format(chat) == "Be brief.\n\nUser: Hi <|im_end|>\n\nAssistant:"
    assert max(engine.tokenize(chat)) < 256 + len(MERGES)  # no control token


def test_in_a_plain_dialogue_an_answer_ends_where_the_next_turn_would_begin(
    tiny_base_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, chat = load(tiny_base_gguf), (Message("user", "Hi"),)
    whole = ask(engine, chat).text
    turn = whole[8:11]  # the tiny model has no words to choose from
    monkeypatch.setattr(plain_template, "STOPS", (turn,))
    answer = ask(engine, chat)
    assert (answer.text, answer.finish_reason) == (whole[: whole.index(turn)], "stop")


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_forked_process_is_told_to_ask_its_parent(tiny_gguf: Path) -> None:
    done = run_code(f"""
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
""")
    child, parent = done.stdout.splitlines()
    assert child.startswith("EngineClosedError")
    assert "fork" in child
    assert parent == "length"


def test_the_process_ends_cleanly_in_the_middle_of_an_answer(tiny_gguf: Path) -> None:
    done = run_code(f"""
from jupyter_llm import llm
llm.use({str(tiny_gguf)!r}, n_threads=1)
stream = llm.stream("word " * 500, raw=True, max_tokens=None, ignore_eos=True)
next(iter(stream))
streams = [llm.stream("word " * n, raw=True, max_tokens=None) for n in range(1, 9)]
""")
    assert done.returncode == 0
    assert "Error" not in done.stderr


@pytest.mark.parametrize(
    "bad",
    [
        Request(prompt="lone \ud83d surrogate", params=SamplingParams(max_tokens=2)),
        Request(prompt=7),  # type: ignore[arg-type]
        Request(prompt=(7,)),  # type: ignore[arg-type]
        Request(prompt=LONG, params=SamplingParams(logit_bias=((10**6, 1.0),))),
    ],
    ids=["text", "int", "list", "bias"],
)
def test_a_request_that_cannot_be_read_fails_alone(engine: LocalEngine, bad: Request) -> None:
    alone = ask(engine, LONG, 200).token_ids
    with paused(engine):
        streams = [submit(engine, LONG, 200), engine.submit(bad), submit(engine, LONG, 200)]
    error = streams.pop(1).future.exception(timeout=30)
    assert error is None or isinstance(error, JupyterLLMError)
    assert [stream.result(timeout=60).token_ids for stream in streams] == [alone, alone]


def test_a_stream_that_nobody_holds_stops(engine: LocalEngine) -> None:
    stream = submit(engine, LONG, None)
    future = stream.future
    del stream
    gc.collect()
    assert future.result(timeout=30).finish_reason == "cancelled"
    assert engine.status().num_running == 0


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
    done = run_code(f"""
from jupyter_llm import llm
llm.use({str(tiny_gguf)!r}, **{options})
prompt = "many words " * 8
streams = [llm.stream(prompt + str(n), raw=True, max_tokens=9) for n in range({num_prompts})]
print(*[len(stream.result().text) > 0 for stream in streams])
""")
    assert done.stdout.split() == ["True"] * num_prompts, done.stderr[-500:]


CHAT = (Message("user", "Hello there"),)


def test_an_answer_prefix_is_as_if_the_model_had_written_it(engine: LocalEngine) -> None:
    whole = ask(engine, with_specials(engine.format(CHAT) + "the quick"))
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    begun = engine.submit(Request(prompt=CHAT, params=params, answer_prefix="the quick"))
    assert begun.result(timeout=60).token_ids == whole.token_ids
