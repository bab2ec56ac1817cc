"""Measures a model file, in a process of its own: `python -m jupyter_llm.engine.tuning.bench PLAN`.

A crash of llama.cpp ends this process and not the notebook's kernel, its memory goes back at the
end, and its threads do not spin beside the kernel's. The plan is a JSON object, see `Plan`. What
comes out are lines of JSON on stdout: `{"share", "text"}` while it goes on, and last `{"outcome"}`
or `{"error"}`. When stdin closes, whoever started it is gone, and so is this process.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jupyter_llm.engine.local.llama import Context, Weights, quantize
from jupyter_llm.engine.local.sampler import LogprobScorer
from jupyter_llm.engine.local.scheduler import Batch, Decoded
from jupyter_llm.engine.local.trial import try_file
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.tuning.figures import Figure, Settings
from jupyter_llm.engine.tuning.search import Search, Size, Trial
from jupyter_llm.errors import EngineError, JupyterLLMError
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.machine import available_cores

# Our own prose and code, as notebooks hold it; changing it changes the meaning of stored figures.
_TEXT = Path(__file__).with_name("bench_text.txt")
_TEXT_TOKENS = 1024
_LOGITS_AT_ONCE = 128  # rows of the vocabulary's size: 134 MB for the largest ones
_WARM_UP_TOKENS = 32
_NUM_FOLLOW_UPS, _FOLLOW_UP_TOKENS = 4, 24
_ROUNDS = 3  # of `speed`, each a turn
_TURN = Size(256, 64)
_GREEDY = SamplingParams(temperature=0, repeat_penalty=1, ignore_eos=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. Copies are written to the folder `scratch` as `QUANTIZATION.gguf`."""

    path: str
    scratch: str
    quantizations: list[str]
    keeps_copy: bool
    allows_loss: bool
    n_gpu_layers: int | None


class LlamaBench:
    """Runs a model file and its copies, one at a time: two need not fit into memory."""

    def __init__(self, path: Path, scratch: Path, *, n_gpu_layers: int | None = None) -> None:
        self._path = path
        self._scratch = scratch
        self._n_gpu_layers = n_gpu_layers
        self._loaded: tuple[tuple[Path, bool | None], Weights] | None = None
        self._text = _TEXT.read_text(encoding="utf-8")

    def copy(self, quantization: str) -> Path:
        """Where the copy in a quantization is."""
        return self._scratch / f"{quantization}.gguf"

    def measure(self, trial: Trial, size: Size) -> tuple[float, float]:
        """The speeds of prefill and decode, in tokens/s.

        Prefill is a long prompt, and then a few short ones that follow it, as in a notebook.
        """
        options = EngineOptions(**dict[str, Any](trial.settings))
        num_read = size.prefill + _NUM_FOLLOW_UPS * _FOLLOW_UP_TOKENS
        with self._context(trial.quantization, options, num_read + size.decode) as context:
            weights = self._weights(trial.quantization, options)
            token_ids = _repeated(weights.tokenize(self._text, is_special=False), num_read)
            _read(context, token_ids[:_WARM_UP_TOKENS], 0)
            context.clear()
            began_s = time.perf_counter()
            for start in range(0, size.prefill, context.n_batch):
                end = min(start + context.n_batch, size.prefill)
                _read(context, token_ids[start:end], start)
            for start in range(size.prefill, num_read, _FOLLOW_UP_TOKENS):
                num_last = _read(context, token_ids[start : start + _FOLLOW_UP_TOKENS], start)
            sampler = context.sampler(_GREEDY, 0, token_ids)
            token = sampler.sample(num_last - 1)  # waits for the last batch
            between_s = time.perf_counter()
            for position in range(num_read, num_read + size.decode):
                _read(context, [token], position)
                token = sampler.sample(0)
            end_s = time.perf_counter()
        return num_read / (between_s - began_s), size.decode / (end_s - between_s)

    def quantize(self, quantization: str) -> None:
        """Write the copy in a quantization."""
        quantize(self._path, self.copy(quantization), quantization, n_threads=available_cores())

    def perplexity(self, quantization: str | None) -> float:
        """The perplexity of the fixed text, for the file or its copy."""
        options = EngineOptions(n_batch=_LOGITS_AT_ONCE)
        weights = self._weights(quantization, options)
        token_ids = weights.tokenize(self._text, is_special=False, add_bos=True)
        token_ids = token_ids[: min(_TEXT_TOKENS, weights.n_ctx_train or _TEXT_TOKENS)]
        with self._context(quantization, options, len(token_ids)) as context:
            scorer = LogprobScorer(context)
            for start in range(0, len(token_ids) - 1, context.n_batch):
                end = min(start + context.n_batch, len(token_ids) - 1)
                _read(context, token_ids[start:end], start, wants_all=True)
                for index in range(end - start):
                    scorer.observe(index, token_ids[start + index + 1])
        return math.exp(-sum(scorer.logprobs) / len(scorer.logprobs))

    def close(self) -> None:
        """Free the weights."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded[1].close()

    def _weights(self, quantization: str | None, options: EngineOptions) -> Weights:
        path = self._path if quantization is None else self.copy(quantization)
        wanted = (path, options.repack)
        if self._loaded is None or self._loaded[0] != wanted:
            self.close()
            weights = Weights(
                path,
                n_gpu_layers=self._n_gpu_layers,
                on_progress=lambda _share: True,
                repack=options.repack,
            )
            self._loaded = (wanted, weights)
        return self._loaded[1]

    @contextmanager
    def _context(
        self, quantization: str | None, options: EngineOptions, n_ctx: int
    ) -> Iterator[Context]:
        context = Context(
            self._weights(quantization, options),
            n_ctx=n_ctx,
            n_batch=options.batch_size,
            num_slots=1,
            n_threads=options.n_threads or available_cores(),
            flash_attention=options.has_flash_attention,
        )
        try:
            yield context
        finally:
            context.close()


def speed(
    entry: ModelEntry,
    settings: Settings,
    *,
    on_progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Figure:
    """How fast a model runs here, with the settings it is loaded with: medians.

    It runs in this process, which llama.cpp ends where it dies; the file is tried before.
    """
    try_file(entry.file)
    trial = Trial(settings=tuple(settings.items()))
    bench = LlamaBench(entry.file, entry.file.parent)
    speeds = []
    try:
        for number in range(_ROUNDS):
            on_progress(number / _ROUNDS, f"round {number + 1} of {_ROUNDS}")
            speeds.append(bench.measure(trial, _TURN))
    finally:
        bench.close()
    return trial.named(*map(statistics.median, zip(*speeds, strict=True)))


def _repeated(token_ids: list[int], count: int) -> list[int]:
    return (token_ids * (count // len(token_ids) + 1))[:count]


def _read(context: Context, token_ids: list[int], start: int, *, wants_all: bool = False) -> int:
    """Evaluate tokens from a position on and return how many."""
    count = len(token_ids)
    wants_logits = [wants_all] * (count - 1) + [True]
    batch = Batch(token_ids, list(range(start, start + count)), [0] * count, wants_logits)
    result = context.decode(batch)
    if result is not Decoded.OK:
        raise EngineError(f"The model could not go on: {result.value}.")
    return count


def _tell(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_parent(scratch: Path) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end closes
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Run the plan given as the argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    scratch = Path(plan.scratch)
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    bench = LlamaBench(Path(plan.path), scratch, n_gpu_layers=plan.n_gpu_layers)
    search = Search(
        bench,
        quantizations=plan.quantizations,
        keeps_copy=plan.keeps_copy,
        allows_loss=plan.allows_loss,
        on_progress=lambda share, text: _tell(share=share, text=text),
    )
    try:
        _tell(outcome=asdict(search.run()))
    except JupyterLLMError as error:
        _tell(error=str(error))
    finally:
        bench.close()


if __name__ == "__main__":
    main()
