"""Is the exact context exact on this machine? A measurement, made once and remembered.

On CPUs it is (measured for several quantizations); another kernel or a GPU need not be. See
`Lane` for what makes it so.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jupyter_llm.engine.scheduler import Batch, Decoded
from jupyter_llm.engine.threads import available_cores
from jupyter_llm.models.tuning import this_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.llama import Context

logger = logging.getLogger(__name__)

_FILE = "exactness.json"


def is_exact(context: Context, *, key: str, num_tokens: int, folder: Path) -> bool:
    """Tell whether an empty context gives the same logits whatever it is busy with.

    Takes the answer for the same `key` and machine from `folder` if it is there. Measures with
    `num_tokens` tokens otherwise, several times over, and leaves the context empty.
    """
    name = f"{this_machine(available_cores()).key} {key}"
    known = _read(folder / _FILE)
    if name in known:
        return known[name]
    answer = measure(context, num_tokens)
    _write(folder / _FILE, {**_read(folder / _FILE), name: answer})
    return answer


def measure(context: Context, num_tokens: int) -> bool:
    """Compare the logits after a plain prefill with those of reuse, company and other chunks."""
    vocabulary = len(_last_logits(context, 0, [1], start=0))
    context.trim(0, 0)
    rng = np.random.default_rng(7)
    token_ids = [int(t) for t in rng.integers(1, vocabulary - 1, num_tokens)]
    others = [int(t) for t in rng.integers(1, vocabulary - 1, num_tokens)]
    middle = num_tokens - max(2, num_tokens // 10)
    plain = _last_logits(context, 0, token_ids, start=0)
    ways: list[Callable[[], np.ndarray]] = [
        lambda: _in_chunks(context, token_ids, middle),
        lambda: _from_a_copy(context, token_ids, middle),
        lambda: _in_company(context, token_ids, others),
    ]
    try:
        return all(np.array_equal(plain, way()) for way in ways)
    finally:
        for seq_id in range(_NUM_STREAMS):
            context.trim(seq_id, 0)


_NUM_STREAMS = 2


def _in_chunks(context: Context, token_ids: list[int], middle: int) -> np.ndarray:
    """Read the end alone, on top of a prefix that stayed, with one thread."""
    context.trim(0, middle // 2)
    _last_logits(context, 0, token_ids[: middle + 1], start=middle // 2)
    context.set_threads(1)
    try:
        return _last_logits(context, 0, token_ids, start=middle + 1)
    finally:
        context.set_threads(context.max_threads)


def _from_a_copy(context: Context, token_ids: list[int], middle: int) -> np.ndarray:
    """Read the end in another stream, on top of a copied prefix."""
    context.copy(0, 1, middle)
    return _last_logits(context, 1, token_ids, start=middle)


def _in_company(context: Context, token_ids: list[int], others: list[int]) -> np.ndarray:
    """Read everything anew, in batches that hold another sequence too."""
    context.trim(0, 0)
    context.trim(1, 0)
    half = len(token_ids) // 2
    _last_logits(context, 1, others[:half], start=0)
    batch = Batch()
    for seq_id, tokens, start in ((1, others, half), (0, token_ids, 0)):
        _extend(batch, seq_id, tokens[start:], start)
    return _decode(context, batch)


def _last_logits(context: Context, seq_id: int, token_ids: list[int], *, start: int) -> np.ndarray:
    batch = Batch()
    _extend(batch, seq_id, token_ids[start:], start)
    return _decode(context, batch)


def _extend(batch: Batch, seq_id: int, token_ids: list[int], start: int) -> None:
    batch.token_ids += token_ids
    batch.positions += range(start, start + len(token_ids))
    batch.seq_ids += [seq_id] * len(token_ids)
    batch.wants_logits += [False] * (len(token_ids) - 1) + [True]


def _decode(context: Context, batch: Batch) -> np.ndarray:
    context.clear_abort()
    if context.decode(batch) is not Decoded.OK:
        raise ArithmeticError("the self-test could not run")
    return context.logits(len(batch) - 1).copy()


def _read(path: Path) -> dict[str, bool]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): bool(value) for key, value in answers.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(path: Path, answers: dict[str, bool]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(answers, file)
        Path(name).replace(path)
    except OSError as error:
        logger.warning("The result of the self-test could not be kept: %s", error)
