"""Which settings run a model file fastest on this machine, and whether a copy would be faster.

The search alone: what measures is passed in. Everything is measured in turn, round after round,
since machines drift: medians of what was measured side by side are compared, never figures of
different minutes.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jupyter_llm.engine.tuning.figures import Figure, Settings
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.models.machine import available_cores

ROUNDS = 3
# A setting or a copy must win by this much: less is noise, or not worth being different for.
WORTH_A_SETTING = 1.05
WORTH_A_COPY = 1.15
# A copy whose perplexity is higher by more than this is lossy, whatever its name.
MAX_LOSS = 1.01
# Where a loss is allowed: beyond this no speed makes up for what the model no longer knows.
MAX_ALLOWED_LOSS = 1.10
_HOPELESS = 1.25  # times as slow as the default in the first round: not measured again
# What is measured at a time: as many tokens as take about so long.
_PREFILL_S, _DECODE_S = 2.5, 0.5
_PREFILL_TOKENS, _DECODE_TOKENS = (64, 2048), (8, 64)


@dataclass(frozen=True, slots=True)
class Trial:
    """A file with settings: the file itself, or its copy in a quantization."""

    quantization: str | None = None
    settings: tuple[tuple[str, int | bool], ...] = ()

    def named(self, prefill: float, decode: float) -> Figure:
        """The trial with its speeds."""
        return Figure(
            quantization=self.quantization,
            settings=dict(self.settings),
            prefill=prefill,
            decode=decode,
        )

    def with_settings(self, settings: Settings) -> Trial:
        """The same file with other settings."""
        return Trial(self.quantization, tuple(settings.items()))


@dataclass(frozen=True, slots=True)
class Size:
    """How many tokens are read and written at a time."""

    prefill: int
    decode: int


class Bench(Protocol):
    """Runs a model file and its copies."""

    def measure(self, trial: Trial, size: Size) -> tuple[float, float]:
        """The speeds of prefill and decode, in tokens/s."""

    def quantize(self, quantization: str) -> None:
        """Write the copy in a quantization."""

    def perplexity(self, quantization: str | None) -> float:
        """The perplexity of the fixed text, for the file or its copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the search found.

    `before` is the file with the defaults, `after` what to use from now on, `offer` a copy that
    would be faster, `figures` all that was measured.
    """

    before: Figure
    after: Figure
    offer: Figure | None
    figures: tuple[Figure, ...]


class Search:
    """Finds the fastest way to run a file.

    `quantizations` are the copies to try; `keeps_copy` makes the best one the file that is used
    from then on, else it is only offered; `allows_loss` admits copies with a higher perplexity.
    `on_progress` hears the share that is done, and what comes next.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        quantizations: Sequence[str] = (),
        keeps_copy: bool = False,
        allows_loss: bool = False,
        on_progress: Callable[[float, str], None] = lambda _share, _text: None,
    ) -> None:
        self._bench = bench
        self._quantizations = tuple(quantizations)
        self._keeps_copy = keeps_copy
        self._allows_loss = allows_loss
        self._on_progress = on_progress
        self._figures: dict[Trial, Figure] = {}
        self._num_done = 0

    def run(self) -> Outcome:
        """Measure, and return what was found."""
        original = Trial()
        num_files = 1 + len(self._quantizations)
        copies_end = 1 + (len(self._quantizations) + (ROUNDS + 1) * num_files) * (num_files > 1)
        # The size decides what is worth a try, so until then the end is a guess.
        self._num_steps = copies_end + 10 * ROUNDS
        self._size = self._find_size(original)
        settings = list(candidates(self._size.prefill))
        settings_end = copies_end + ROUNDS * (1 + len(settings))
        self._num_steps = settings_end + ROUNDS * (num_files + 1)

        copy = self._best_copy(original) if self._quantizations else None
        self._num_done = copies_end
        used = copy if copy and self._keeps_copy else original
        chosen = self._best_settings(used, settings)
        self._num_done = settings_end
        after, offer = self._confirm(original, copy, used.with_settings(chosen))
        # Settings change how the logits are rounded, not how good they are.
        perplexity = self._figures[Trial(after.quantization)].perplexity
        self._figures[after] = replace(self._figures[after], perplexity=perplexity)
        self._on_progress(1.0, "done")
        return Outcome(
            before=self._figures[original],
            after=self._figures[after],
            offer=self._figures[offer] if offer else None,
            figures=tuple(self._figures.values()),
        )

    def _find_size(self, original: Trial) -> Size:
        """How many tokens keep the machine busy long enough to be measured."""
        self._step("how fast it is")
        least = Size(_PREFILL_TOKENS[0], _DECODE_TOKENS[0])
        self._bench.measure(original, least)  # the first time reads the file
        prefill, decode = self._bench.measure(original, least)
        low, high = _PREFILL_TOKENS
        num_prefill = low
        while num_prefill < high and 2 * num_prefill <= prefill * _PREFILL_S:
            num_prefill *= 2
        low, high = _DECODE_TOKENS
        return Size(num_prefill, min(high, max(low, int(decode * _DECODE_S))))

    def _best_copy(self, original: Trial) -> Trial | None:
        """The fastest copy that is worth it, if there is one."""
        copies = [Trial(quantization) for quantization in self._quantizations]
        for quantization in self._quantizations:
            self._step(f"writing a {quantization} copy")
            self._bench.quantize(quantization)
        self._compare([original, *copies])
        for trial in (original, *copies):
            name = "the file" if trial.quantization is None else f"the {trial.quantization} copy"
            self._step(f"the perplexity of {name}")
            perplexity = self._bench.perplexity(trial.quantization)
            self._figures[trial] = replace(self._figures[trial], perplexity=perplexity)
        worth = [copy for copy in copies if self._is_worth(copy)]
        return min(worth, key=lambda copy: self._figures[copy].turn_s, default=None)

    def _best_settings(self, used: Trial, candidates: Sequence[Settings]) -> Settings:
        """The settings that win, each against the defaults."""
        figures = self._compare([used, *(used.with_settings(one) for one in candidates)])
        default = figures.pop(used)
        best: dict[str, Figure] = {}
        for figure in figures.values():
            (name,) = figure.settings
            is_first = name not in best or figure.turn_s < best[name].turn_s
            if figure.times_as_fast(default) >= WORTH_A_SETTING and is_first:
                best[name] = figure
        return {name: figure.settings[name] for name, figure in best.items()}

    def _confirm(
        self, original: Trial, copy: Trial | None, best: Trial
    ) -> tuple[Trial, Trial | None]:
        """What to use and what to offer, after all that won ran side by side once more.

        The winner of many owes something to chance, and settings that won alone may not together.
        """
        finalists = dict.fromkeys(filter(None, (original, copy, Trial(best.quantization), best)))
        if len(finalists) == 1:
            return original, None
        figures = self._compare(list(finalists))
        default = Trial(best.quantization)
        if best not in figures or figures[best].times_as_fast(figures[default]) < WORTH_A_SETTING:
            best = default
        if copy is not None and not self._is_worth(copy):
            return (original if best.quantization else best), None
        return best, None if self._keeps_copy else copy

    def _is_worth(self, copy: Trial) -> bool:
        before = self._figures[Trial()]
        return is_worth_a_copy(before, self._figures[copy], allows_loss=self._allows_loss)

    def _compare(self, trials: Sequence[Trial]) -> dict[Trial, Figure]:
        """Measure trials in turn and return the medians, without those that could not run.

        The first one is what the others are compared with.
        """
        speeds: dict[Trial, list[tuple[float, float]]] = {trial: [] for trial in trials}
        for trial in self._turns(speeds):
            self._step(trial.named(1, 1).label)
            try:
                speeds[trial].append(self._bench.measure(trial, self._size))
            except JupyterLLMError:
                if trial is trials[0]:
                    raise
                del speeds[trial]  # this model cannot run so
        found = {
            trial: trial.named(*map(statistics.median, zip(*measured, strict=True)))
            for trial, measured in speeds.items()
        }
        for trial, figure in found.items():
            before = self._figures.get(trial)
            perplexity = before.perplexity if before is not None else None
            self._figures[trial] = replace(figure, perplexity=perplexity)
        return found

    def _turns(self, speeds: Mapping[Trial, list[tuple[float, float]]]) -> Iterator[Trial]:
        """Yield the trials round after round, leaving out those that fell far behind."""
        default = next(iter(speeds))
        running = list(speeds)
        for number in range(ROUNDS):
            yield from (trial for trial in running if trial in speeds)
            if number == 0:
                first = default.named(*speeds[default][0])
                running = [
                    trial
                    for trial in speeds
                    if trial.named(*speeds[trial][0]).times_as_fast(first) >= 1 / _HOPELESS
                ]

    def _step(self, text: str) -> None:
        self._on_progress(min(1.0, self._num_done / self._num_steps), text)
        self._num_done += 1


def is_worth_a_copy(before: Figure, copy: Figure, *, allows_loss: bool) -> bool:
    """Tell whether a copy is faster, and as good, or nearly so if a loss is allowed.

    It must be clearly faster in prefill or decode, and not pay for it in the other: a larger
    quantization may read prompts faster and write slower.
    """
    is_faster = max(copy.prefill / before.prefill, copy.decode / before.decode) >= WORTH_A_COPY
    if not is_faster or copy.times_as_fast(before) < WORTH_A_SETTING:
        return False
    if before.perplexity is None or copy.perplexity is None:
        return False
    return copy.perplexity <= before.perplexity * (MAX_ALLOWED_LOSS if allows_loss else MAX_LOSS)


def candidates(num_prefill: int) -> Iterator[Settings]:
    """Yield single settings that may be better than the default one.

    Batches are no larger than what was found to take a few seconds: others wait for a whole step.
    """
    num_cores = available_cores()
    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for n_threads in sorted({num_cores // 2, num_cores - 1, logical or num_cores} - {0, num_cores}):
        yield {"n_threads": n_threads}
    for n_batch in (256, 1024, 2048):
        if n_batch <= num_prefill:
            yield {"n_batch": n_batch}
    yield {"flash_attention": False}
    yield {"repack": False}
