"""Memories that cannot forget at will: sliding windows, kept whole or not, and recurrent states.

Whatever they can reuse, the tokens are those of a model that has read nothing else; where that is
not promised, up to one that was as likely as another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    ask,
    ask_afresh,
    ask_together,
    assert_nothing_leaks,
    before_each_step,
    forget_all,
    load,
    num_read,
    paused,
    prefill,
    submit,
    wait_until_idle,
)

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.request import Message, Priority, Prompt

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "


@pytest.fixture(
    params=["tiny_window_gguf", pytest.param("gemma3", marks=(pytest.mark.slow, pytest.mark.soak))]
)
def window_model(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def long_and_early(path: Path) -> tuple[str, str]:
    """A prompt of several windows, and one that leaves it far outside the window of its end."""
    num_repeats = 24 if path.name.startswith("tiny") else 80
    return SENTENCE * num_repeats + "one", SENTENCE * (num_repeats // 3) + "two"


def threads_for(path: Path) -> int:
    return 1 if path.name.startswith("tiny") else 2


def load_real(path: Path, **options: Any) -> LocalEngine:
    return load(path, n_threads=threads_for(path), checkpoints=False, **options)


def fresh(path: Path, prompt: Prompt, max_tokens: int = 8, **more: Any) -> Completion:
    return ask_afresh(path, prompt, max_tokens, n_threads=threads_for(path), **more)


# -- a window of which all cells are kept ----------------------------------------------------------


def test_with_the_whole_window_kept_an_old_prefix_is_reused_and_changes_nothing(
    window_model: Path,
) -> None:
    long, early = long_and_early(window_model)
    engine = load_real(window_model)
    assert engine._model.weights.has_window
    assert ask(engine, long, 8, conversation="a").exact
    for prompt, conversation in ((early, "b"), (early + "!", "a")):
        reused = ask(engine, prompt, 8, conversation=conversation)
        assert num_read(reused) <= 4
        assert reused.token_ids == fresh(window_model, prompt).token_ids


def test_every_place_to_go_back_to_gives_what_a_fresh_read_gives(tiny_window_gguf: Path) -> None:
    engine, reference = (load(tiny_window_gguf, checkpoints=False, n_batch=32) for _ in range(2))
    text = "".join(f"{number} apples. " for number in range(60))
    num_reused = 0
    for place in range(8, len(text), 37):
        ask(engine, text, 4, conversation="a")
        prompt = text[:place] + "?"
        reused = ask(engine, prompt, 6, conversation="a")
        num_reused += reused.usage.cached_tokens > 0
        forget_all(reference)
        again = ask(reference, prompt, 6)
        assert again.usage.cached_tokens == 0
        assert reused.token_ids == again.token_ids
    assert num_reused == len(range(8, len(text), 37))
    assert_nothing_leaks(engine)


PLAIN: dict[str, Any] = {"exact": False, "flash_attention": False}


def parked(path: Path, **options: Any) -> tuple[LocalEngine, tuple[Message, ...]]:
    """Return an engine that parked a conversation of one turn, and its messages."""
    engine = load(path, checkpoints=False, **PLAIN, **options)
    question = Message("user", SENTENCE * 9)
    answer = ask(engine, (question,), 8, conversation="a")
    ask(engine, "something else " * 40, 8, conversation="b")
    assert [one.conversation for one in engine.status().prefixes if one.is_parked] == ["a"]
    return engine, (question, answer.message)


def test_a_parked_conversation_with_a_window_comes_back(tiny_window_gguf: Path) -> None:
    engine, turn = parked(tiny_window_gguf)
    follow_up = (*turn, Message("user", "Go on."))
    back = ask(engine, follow_up, 8, conversation="a")
    assert num_read(back) < 60
    other = fresh(tiny_window_gguf, follow_up, **PLAIN)
    assert back.token_ids == other.token_ids


# -- recurrent states ------------------------------------------------------------------------------


@pytest.fixture
def recurrent(tiny_recurrent_gguf: Path) -> LocalEngine:
    return load(tiny_recurrent_gguf, checkpoints=False)


def test_a_recurrent_conversation_goes_on_from_its_state(
    recurrent: LocalEngine, tiny_recurrent_gguf: Path
) -> None:
    assert not recurrent._model.can_trim
    first = ask(recurrent, SENTENCE * 3, 8, conversation="a")
    follow_up = SENTENCE * 3 + first.text + " And then? "
    second = ask(recurrent, follow_up, 8, conversation="a")
    assert second.usage.cached_tokens >= first.usage.prompt_tokens + 6
    assert second.token_ids == fresh(tiny_recurrent_gguf, follow_up).token_ids


@pytest.mark.parametrize("prompt", [SENTENCE * 2 + "!", SENTENCE * 3], ids=["replaced", "repeated"])
def test_a_recurrent_state_that_went_too_far_is_read_anew(
    recurrent: LocalEngine, tiny_recurrent_gguf: Path, prompt: str
) -> None:
    ask(recurrent, SENTENCE * 3, 8, conversation="a")
    anew = ask(recurrent, prompt, 8, conversation="a")
    assert anew.usage.cached_tokens == 0
    assert anew.token_ids == fresh(tiny_recurrent_gguf, prompt).token_ids


def test_recurrent_sequences_together_equal_each_alone(recurrent: LocalEngine) -> None:
    prompts = [f"{SENTENCE}{number}" for number in range(7)]
    alone = [ask(recurrent, prompt, 12).token_ids for prompt in prompts]
    together = ask_together(recurrent, prompts, 12, priority=Priority.BULK)
    assert [row.token_ids for row in together] == alone
    assert_nothing_leaks(recurrent)


def test_a_recurrent_batch_that_is_torn_off_changes_no_token(
    recurrent: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [ask(recurrent, f"{SENTENCE}{number}", 12).token_ids for number in range(3)]

    def abort(number: int) -> None:
        if number in (1, 30, 31, 60):
            recurrent._model.lanes.all[-1].context.abort()

    before_each_step(recurrent, monkeypatch, abort)
    with paused(recurrent):
        streams = [submit(recurrent, f"{SENTENCE}{number}", 12) for number in range(3)]
        doomed = submit(recurrent, SENTENCE, 500)
    doomed.cancel()
    assert [stream.result(timeout=60).token_ids for stream in streams] == alone


def test_a_recurrent_prompt_that_was_read_ahead_is_gone_on_from(recurrent: LocalEngine) -> None:
    prefill(recurrent, SENTENCE * 3)
    wait_until_idle(recurrent)
    longer = ask(recurrent, SENTENCE * 3 + "and", 5)
    assert longer.usage.cached_tokens == recurrent.count_tokens(SENTENCE * 3)
