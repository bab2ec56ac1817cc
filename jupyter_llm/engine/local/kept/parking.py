"""Prefixes in plain memory, out of the KV cache.

In a unified cache every token attends over all cells in use, also over the cells of other
conversations (measured: a prompt takes 16 s instead of 6 beside five idle conversations of 1,600
tokens). Moving a conversation out of the cache and back takes a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_llm.engine.local.sched.slots import Slot, common_prefix


@dataclass(frozen=True, slots=True, eq=False)
class ParkedPrefix:
    """A copy of a slot, and the state of the KV cache after its tokens."""

    held: Slot
    state: memoryview


class Parking:
    """The parked prefixes, the latest used last; the oldest are dropped when memory is short."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._prefixes: list[ParkedPrefix] = []

    @property
    def prefixes(self) -> tuple[ParkedPrefix, ...]:
        """The parked prefixes, the latest used first."""
        return tuple(reversed(self._prefixes))

    @property
    def num_bytes(self) -> int:
        """The memory of all parked prefixes."""
        return sum(len(prefix.state) for prefix in self._prefixes)

    def clear(self) -> None:
        """Forget all parked prefixes."""
        self._prefixes.clear()

    def park(self, prefix: ParkedPrefix) -> None:
        """Keep a prefix in place of the prefixes that it continues; drop it if it is too large."""
        self._prefixes = [
            other
            for other in self._prefixes
            if prefix.held.token_ids[: len(other.held.token_ids)] != other.held.token_ids
        ]
        self._prefixes.append(prefix)
        while self._prefixes and self.num_bytes > self.max_bytes:
            del self._prefixes[0]

    def find(self, token_ids: list[int], *, whole: bool) -> tuple[ParkedPrefix | None, int]:
        """Return the prefix with the longest common start, and the length of that start.

        With `whole`, only prefixes count that the prompt continues as a whole.
        """
        best, longest = None, 0
        for prefix in self._prefixes:
            length = common_prefix(prefix.held.token_ids, token_ids)
            if length > longest and (not whole or length == len(prefix.held.token_ids)):
                best, longest = prefix, length
        return best, longest

    def take(self, prefix: ParkedPrefix, *, is_owner: bool) -> None:
        """Note that a prefix was used; remove it if its own conversation used it."""
        self._prefixes.remove(prefix)
        if not is_owner:
            self._prefixes.append(prefix)
