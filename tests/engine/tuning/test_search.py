"""The search for the fastest settings, by scripted speeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_llm.engine.tuning.search import Outcome, Search, Size, Trial, candidates
from jupyter_llm.errors import ModelLoadError

PREFILL, DECODE = 400.0, 100.0


class ScriptedBench:
    """Has the speeds that `factor` tells for a trial, and remembers what it measured.

    From one measurement to the next the machine becomes slower.
    """

    def __init__(
        self,
        factor: Callable[[Trial], tuple[float, float]] = lambda _trial: (1.0, 1.0),
        perplexities: dict[str | None, float] | None = None,
    ) -> None:
        self._factor = factor
        self._perplexities = perplexities or {}
        self.trials: list[Trial] = []
        self.copies: list[str] = []
        self._drift = 1.0

    def measure(self, trial: Trial, size: Size) -> tuple[float, float]:
        assert size.prefill >= 64
        self.trials.append(trial)
        self._drift *= 0.999
        prefill, decode = self._factor(trial)
        return PREFILL * prefill * self._drift, DECODE * decode * self._drift

    def quantize(self, quantization: str) -> None:
        self.copies.append(quantization)

    def perplexity(self, quantization: str | None) -> float:
        return self._perplexities.get(quantization, 20.0)


def search(
    bench: ScriptedBench,
    *quantizations: str,
    keeps_copy: bool = False,
    allows_loss: bool = False,
    on_progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Outcome:
    return Search(
        bench,
        quantizations=quantizations,
        keeps_copy=keeps_copy,
        allows_loss=allows_loss,
        on_progress=on_progress,
    ).run()


def faster(name: str, *, value: object, times: float) -> Callable[[Trial], tuple[float, float]]:
    def factor(trial: Trial) -> tuple[float, float]:
        speed = times if (name, value) in trial.settings else 1.0
        return speed, speed

    return factor


def copy_speeds(**speeds: tuple[float, float]) -> Callable[[Trial], tuple[float, float]]:
    return lambda trial: speeds.get(trial.quantization or "", (1.0, 1.0))


def test_where_nothing_wins_the_defaults_stay() -> None:
    outcome = search(ScriptedBench())
    assert (outcome.after.quantization, outcome.after.settings) == (None, {})
    assert outcome.after == outcome.before
    assert outcome.offer is None


@pytest.mark.parametrize(
    "setting", [("flash_attention", False), ("repack", False), ("n_batch", 256)], ids=str
)
def test_a_setting_that_wins_clearly_is_chosen(setting: tuple[str, int | bool]) -> None:
    outcome = search(ScriptedBench(faster(setting[0], value=setting[1], times=1.1)))
    assert outcome.after.settings == dict([setting])
    assert outcome.after.times_as_fast(outcome.before) == pytest.approx(1.1, rel=0.01)


def test_a_setting_that_wins_a_little_is_not_chosen() -> None:
    assert search(ScriptedBench(faster("repack", value=False, times=1.04))).after.settings == {}


def test_settings_that_win_alone_but_not_together_are_not_chosen() -> None:
    def factor(trial: Trial) -> tuple[float, float]:
        speed = 1.2 if len(trial.settings) == 1 and trial.settings[0][1] is False else 1.0
        return speed, speed

    assert search(ScriptedBench(factor)).after.settings == {}


def test_trials_take_turns_so_that_a_drift_hits_all_alike() -> None:
    bench = ScriptedBench()
    search(bench)
    settings = [Trial(), *(Trial().with_settings(s) for s in candidates(512))]
    assert [t for t in bench.trials[2:] if t in settings] == settings * 3


def test_what_is_far_slower_is_measured_once() -> None:
    bench = ScriptedBench(faster("flash_attention", value=False, times=0.5))
    search(bench)
    assert bench.trials.count(Trial(None, (("flash_attention", False),))) == 1


def test_a_setting_that_the_model_cannot_run_with_is_left_out() -> None:
    class Picky(ScriptedBench):
        def measure(self, trial: Trial, size: Size) -> tuple[float, float]:
            if ("repack", False) in trial.settings:
                raise ModelLoadError(Path("x"), "no")
            return super().measure(trial, size)

    figures = search(Picky()).figures
    assert {"repack": False} not in [figure.settings for figure in figures]


def test_a_faster_copy_is_offered_and_kept_only_when_asked() -> None:
    speeds = copy_speeds(Q8_0=(2.0, 1.1))
    offered = search(ScriptedBench(speeds), "Q8_0")
    assert offered.offer is not None
    assert (offered.offer.quantization, offered.after.quantization) == ("Q8_0", None)
    kept = search(ScriptedBench(speeds), "Q8_0", keeps_copy=True)
    assert (kept.offer, kept.after.quantization) == (None, "Q8_0")
    assert (kept.before.perplexity, kept.after.perplexity) == (20.0, 20.0)


@pytest.mark.parametrize(
    ("speeds", "perplexity"),
    [((1.1, 1.1), 20.0), ((2.0, 0.5), 20.0), ((2.0, 2.0), 20.3)],
    ids=["hardly faster", "slower to write", "lossy"],
)
def test_a_copy_that_is_not_worth_it_is_neither_offered_nor_kept(
    speeds: tuple[float, float], perplexity: float
) -> None:
    for keeps_copy in (False, True):
        bench = ScriptedBench(copy_speeds(Q8_0=speeds), {"Q8_0": perplexity})
        outcome = search(bench, "Q8_0", keeps_copy=keeps_copy)
        assert (outcome.offer, outcome.after.quantization) == (None, None)


def test_a_loss_is_taken_only_when_allowed() -> None:
    speeds = copy_speeds(Q8_0=(1.5, 1.5), Q4_0=(2.0, 2.0))
    for perplexity, allows_loss, best in (
        (21.0, False, "Q8_0"),
        (21.0, True, "Q4_0"),
        (25.0, True, "Q8_0"),  # too much of a loss in any case
    ):
        bench = ScriptedBench(speeds, {"Q4_0": perplexity})
        outcome = search(bench, "Q8_0", "Q4_0", keeps_copy=True, allows_loss=allows_loss)
        assert outcome.after.quantization == best


def test_settings_are_those_of_the_copy_that_is_kept() -> None:
    def factor(trial: Trial) -> tuple[float, float]:
        if trial.quantization is None:
            return 1.0, 1.0
        return (3.0, 3.0) if ("n_batch", 256) in trial.settings else (2.0, 2.0)

    assert search(ScriptedBench(factor), "Q8_0", keeps_copy=True).after.settings == {"n_batch": 256}
    assert search(ScriptedBench(factor), "Q8_0").after.settings == {}


def test_progress_goes_forward_to_the_end() -> None:
    shares: list[float] = []
    search(ScriptedBench(), "Q8_0", on_progress=lambda share, _text: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_larger_batches_are_tried_only_on_fast_machines() -> None:
    assert {"n_batch": 1024} in list(candidates(2048))
    assert {"n_batch": 1024} not in list(candidates(512))
