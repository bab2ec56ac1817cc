"""Flash attention is used where it is faster on this machine, and everybody is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import load
from support.tiny_kinds import write_tiny_recurrent, write_tiny_window

from jupyter_llm import llm
from jupyter_llm.common import database
from jupyter_llm.engine import attention
from jupyter_llm.engine.attention import AttentionTimes, ReadingTimes, judged
from jupyter_llm.engine.local import resident
from jupyter_llm.engine.local.trials import flash_attention

pytestmark = pytest.mark.usefixtures("fresh_llm")

Both = tuple[tuple[float, float], tuple[float, float]]
# Seconds of a short prompt and of a long one, with flash attention and without.
SLOWER: Both = ((0.38, 9.3), (0.18, 9.1))  # on a processor with AVX2
FASTER: Both = ((0.12, 3.0), (0.09, 4.0))  # on a Zen 4
EQUAL: Both = ((0.1, 3.0), (0.1, 3.0))


def times(both: Both) -> AttentionTimes:
    flash, plain = (ReadingTimes(follow_up_s=one, prompt_s=other) for one, other in both)
    return AttentionTimes(flash=flash, plain=plain)


class Machine:
    """What trials find, told by a script; all that is timed is done all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds = [SLOWER] * 3
        self.num_trials = 0
        self._num_pieces = 0
        really, trial = flash_attention._Depth.seconds, flash_attention.attention_times

        def seconds(depth: flash_attention._Depth, num_tokens: int) -> float:
            really(depth, num_tokens)
            return self._script(num_tokens, has_flash=depth.has_flash)

        def counted(*args: Any, **kwargs: Any) -> AttentionTimes | None:
            self.num_trials, self._num_pieces = self.num_trials + 1, 0
            return trial(*args, **kwargs)

        monkeypatch.setattr(resident, "stored_times", attention.stored_times)
        monkeypatch.setattr(flash_attention._Depth, "seconds", seconds)
        monkeypatch.setattr(flash_attention, "attention_times", counted)

    def _script(self, num_tokens: int, *, has_flash: bool) -> float:
        if num_tokens < attention.FOLLOW_UP_TOKENS:
            return 0.001
        follow_up_s, prompt_s = self.rounds[self._num_pieces // 2][not has_flash]
        if num_tokens == attention.FOLLOW_UP_TOKENS:
            self._num_pieces += 1
            return follow_up_s
        return prompt_s * num_tokens / attention.PROMPT_TOKENS


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One on which flash attention is the slower one, until it is told otherwise."""
    return Machine(monkeypatch)


def state() -> str:
    """What `/status` says of flash attention."""
    return dict(llm.status().rows())["flash attention"]


def test_the_faster_one_is_used_and_told_and_not_measured_again(
    machine: Machine, tiny_gguf: Path
) -> None:
    llm.use(tiny_gguf, n_threads=1)
    assert state() == (
        "off: a short prompt takes 0.38 s with it and 0.18 s without, one of 1,536 tokens 9.3 and "
        "9.1 s, as measured here"
    )
    record = llm("Hi", max_tokens=2).provenance
    assert record is not None
    assert record.context.flash_attention is False
    llm.unload()
    assert database.store().flush(5)
    llm.use(tiny_gguf, n_threads=1)
    assert (state()[:3], machine.num_trials) == ("off", 1)
    llm.use(tiny_gguf, n_threads=2)  # another team is another machine
    assert machine.num_trials == 2


def test_where_long_prompts_gain_more_than_short_ones_lose_it_stays_on(
    machine: Machine, tiny_gguf: Path
) -> None:
    machine.rounds = [FASTER] * 3
    llm.use(tiny_gguf, n_threads=1)
    assert state().startswith("on: a short prompt takes 0.12 s with it and 0.09 s without")


def test_what_the_user_says_comes_first_and_is_not_measured(
    machine: Machine, tiny_gguf: Path
) -> None:
    llm.use(tiny_gguf, n_threads=1)
    llm.use(tiny_gguf, n_threads=1, flash_attention=True)
    assert state() == "on"
    assert machine.num_trials == 1


def test_a_machine_that_is_too_busy_to_tell_is_asked_again_at_the_next_load(
    machine: Machine, tiny_gguf: Path
) -> None:
    machine.rounds = [SLOWER, FASTER, SLOWER]
    llm.use(tiny_gguf, n_threads=1)
    assert state() == "on"
    machine.rounds = [SLOWER] * 3
    llm.unload()
    llm.use(tiny_gguf, n_threads=1)
    assert (state()[:3], machine.num_trials) == ("off", 2)


@pytest.mark.parametrize(
    ("pairs", "prefers_flash"),
    [
        pytest.param([SLOWER] * 3, False, id="slower"),
        pytest.param([FASTER] * 3, True, id="faster"),
        pytest.param([EQUAL] * 3, True, id="as fast"),
        pytest.param([EQUAL, ((0.104, 3.2), (0.1, 3.0)), EQUAL], True, id="as fast, nearly"),
        pytest.param([SLOWER, EQUAL, SLOWER], None, id="they disagree"),
    ],
)
def test_nothing_is_kept_where_rounds_disagree(
    pairs: list[Both], *, prefers_flash: bool | None
) -> None:
    found = judged([times(pair) for pair in pairs])
    assert (found and found.prefers_flash) is prefers_flash


def test_models_that_it_would_tell_nothing_of_are_not_measured(
    machine: Machine, tiny_gguf: Path, tmp_path: Path
) -> None:
    recurrent = tmp_path / "recurrent.gguf"
    write_tiny_recurrent(recurrent)
    for path, options in (
        (tiny_gguf, {"n_ctx": 1024}),  # it has less room than the trial takes
        (tiny_gguf, {"exact": True}),  # all is promised, and computed without it
        (recurrent, {}),
    ):
        assert load(path, **options).info.attention is None
    assert machine.num_trials == 0
    window = tmp_path / "window.gguf"
    write_tiny_window(window)
    assert load(window, n_ctx=4096).info.flash_attention is False
