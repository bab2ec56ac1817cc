"""Measures once whether the exact context is exact on this machine, and remembers the result.

A CPU is exact if it evaluates tokens in groups of the right size (see native/groups.py). The size
depends on the quantization and on the kernels. A GPU need not be exact. `Lane` has the other
conditions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.local.native.groups import MAX_GROUP
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.models.machine import available_cores, this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_llm.engine.local.native.llama import Context

logger = logging.getLogger(__name__)

_REMEMBERED = Remembered("exactness")
_REVISION = 2  # of the measurement; results of earlier revisions do not count
_GROUP_SIZES = (1, 2, 4, MAX_GROUP)
_NEVER = 0  # no size makes the context exact
_SHARES = (1, 3, 2, 5, 4, 7, 1, 6)  # tokens of a sequence in a batch, one after the other


def make_exact(context: Context, *, key: str, num_tokens: int) -> bool:
    """Set the group size with which an empty context's logits never depend on other work.

    Returns whether there is such a size. The result is remembered for a `key` and a machine. The
    measurement reads up to `num_tokens` tokens several times and leaves the context empty.
    """
    name = f"{_REVISION} {this_machine(available_cores()).key} {key}"
    answers = {str(size): size for size in (_NEVER, *_GROUP_SIZES)}
    size = answers.get(_REMEMBERED.get(name) or "")
    if size is None:
        try:
            size = measure(context, num_tokens)
        except ArithmeticError as error:  # no text is promised, and no result remembered
            logger.warning("Whether answers are exact cannot be measured: %s.", error)
            return False
        _REMEMBERED.put(name, str(size))
    context.group_size = size or 1
    return size != _NEVER


def measure(context: Context, num_tokens: int) -> int:
    """Return the smallest group size with which the logits are always the same, or 0.

    Raises `ArithmeticError` if the context could not evaluate a batch.
    """
    try:
        # Fillers cannot be forgotten by a memory that cannot trim.
        for size in _GROUP_SIZES if context.can_trim else (1,):
            context.group_size = size
            if _Trial(context, num_tokens).succeeds():
                return size
        return _NEVER
    finally:
        context.group_size = 1


class _Trial:
    """Tests whether the last third of a text has the same logits in whatever way it is read.

    The ways: at once, token by token, after a copied prefix, beside another sequence, after an
    aborted batch.
    """

    def __init__(self, context: Context, num_tokens: int) -> None:
        self._context = context
        # Many threads on busy cores would take minutes instead of a second.
        self._n_threads = context.n_threads
        self._num_slots = min(context.num_slots, 3)
        rng = np.random.default_rng(7)
        ids = rng.integers(1, context.n_vocab - 1, (2, num_tokens)).tolist()
        self._token_ids, self._others = ids
        self._middle = num_tokens - num_tokens // 3

    def succeeds(self) -> bool:
        """Whether no way changes a bit; forgets all that it read."""
        self._forget()
        plain = [logits.copy() for logits in self._read(0, len(self._token_ids))]
        ways: list[Callable[[], Iterator[np.ndarray]]] = [self._one_by_one]
        ways += [self._after_a_copy, self._in_company] if self._num_slots > 1 else []
        ways += [self._after_a_tear] if self._num_slots > 2 else []  # noqa: PLR2004
        try:
            return all(
                np.array_equal(logits, other)
                for way in ways
                for logits, other in zip(plain, way(), strict=True)
            )
        finally:
            self._context.set_threads(self._n_threads)
            self._forget()

    def _one_by_one(self) -> Iterator[np.ndarray]:
        """Read the end as if it were drawn, on top of a prefix that stayed, with one thread."""
        half = self._middle // 2
        start = half if self._context.trim(0, half) else self._forget()
        self._skim(start, self._middle)
        self._context.set_threads(1)
        for place in range(self._middle, len(self._token_ids)):
            yield from self._read(place, place + 1)
        self._context.set_threads(self._n_threads)

    def _after_a_copy(self) -> Iterator[np.ndarray]:
        """Read the end in another stream, on top of a copied prefix."""
        if not self._context.copy(0, 1, self._middle):
            self._context.trim(1, 0)
            self._skim(0, self._middle, seq_id=1)
        yield from self._read(self._middle, len(self._token_ids), seq_id=1)

    def _in_company(self) -> Iterator[np.ndarray]:
        """Read everything anew, the end in pieces, in batches with another sequence."""
        self._forget()
        self._skim(0, self._middle)
        place, num_others, number = self._middle, 0, 0
        while place < len(self._token_ids):
            end = min(place + _SHARES[number % len(_SHARES)], len(self._token_ids))
            num_more = _SHARES[number * 3 % len(_SHARES)]
            others = self._others[num_others : num_others + num_more]
            batch = self._share(place, end)
            batch.add(1, others, num_others, wants_from=len(others))
            yield from self._decode(batch)
            place, num_others, number = end, num_others + len(others), number + 1

    def _after_a_tear(self) -> Iterator[np.ndarray]:
        """Read everything anew after a batch was aborted before this sequence's part of it."""
        self._forget()
        end = min(self._middle, self._context.n_batch - 2)
        batch = Batch()
        batch.add(0, self._others[: end - 1], 0, wants_from=end)
        self._decode(batch)
        batch = Batch()
        batch.add(2, self._others[:2], 0, wants_from=2)
        batch.add(1, self._token_ids[:end], 0, wants_from=end)
        self._context.abort()
        self._context.decode(batch)
        for seq_id in (1, 2):
            self._context.trim(seq_id, 0)
        yield from self._read(0, len(self._token_ids), seq_id=1)

    def _read(self, start: int, end: int, seq_id: int = 0) -> Iterator[np.ndarray]:
        """Read tokens of the text in as few batches as possible; yield the logits to compare."""
        for place in range(start, end, self._context.n_batch):
            piece = self._share(place, min(end, place + self._context.n_batch), seq_id)
            yield from self._decode(piece)

    def _skim(self, start: int, end: int, seq_id: int = 0) -> None:
        """Read tokens whose logits are not compared."""
        for _ in self._read(start, end, seq_id):
            pass

    def _share(self, start: int, end: int, seq_id: int = 0) -> Batch:
        batch = Batch()
        wants_from = max(0, self._middle - start)
        batch.add(seq_id, self._token_ids[start:end], start, wants_from=wants_from)
        return batch

    def _decode(self, batch: Batch) -> list[np.ndarray]:
        self._context.clear_abort()
        if self._context.decode(batch) is not Decoded.OK:
            raise ArithmeticError("the self-test could not run")
        wanted = (place for place, wants in enumerate(batch.wants_logits) if wants)
        return [self._context.logits(place) for place in wanted]

    def _forget(self) -> int:
        for seq_id in range(self._num_slots):
            self._context.trim(seq_id, 0)
        return 0
