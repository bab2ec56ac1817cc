"""What happens in a notebook, as values: the cells that ran and what they showed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OutputKind = Literal["stdout", "stderr", "result", "display", "error"]


@dataclass(frozen=True, slots=True)
class Output:
    """Something a cell showed, as text; pictures and the like are named, as `<image/png>`.

    What an error shows is its last line first: `KeyError: 'price'`.
    """

    kind: OutputKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEvent:
    """One run of a cell.

    `number` is its place on the timeline, from 1 on. A cell that ran again is another event with
    the same `cell_id`, unless nothing of it was new: then the counts of those runs are in `again`.
    `source` is as typed, magics included. `conceals` are the names in it that a hidden cell had
    bound.
    """

    number: int
    source: str
    execution_count: int | None = None
    cell_id: str | None = None
    outputs: tuple[Output, ...] = ()
    tags: frozenset[str] = field(default=frozenset(), compare=False)
    again: tuple[int, ...] = field(default=(), compare=False, repr=False)
    conceals: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def counts(self) -> tuple[int | None, ...]:
        """The numbers that the notebook showed beside it, the one it shows now last."""
        return (self.execution_count, *self.again)

    @property
    def has_failed(self) -> bool:
        """Whether the cell ended with an error."""
        return any(output.kind == "error" for output in self.outputs)
