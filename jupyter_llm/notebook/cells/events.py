"""Runs of cells with their outputs, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OutputKind = Literal["stdout", "stderr", "result", "display", "error"]
Picture = tuple[str, str]
"""The type of a picture, as `image/png`, and its data in Base64."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a cell as text; an image or the like is its type, as `<image/png>`.

    An error's text begins with the last line of its traceback: `KeyError: 'price'`.
    """

    kind: OutputKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEvent:
    """One run of a cell.

    `number` is its place on the timeline, from 1 on. Another run of the cell is another event with
    the same `cell_id`. But if source and outputs are the same, its count is only added to `again`.
    `source` is as typed, magics included. `conceals` are the names in it that a hidden cell has
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
        """Return the numbers that the notebook showed beside the cell, the present one last."""
        return (self.execution_count, *self.again)

    @property
    def has_failed(self) -> bool:
        """Whether the cell ended with an error."""
        return any(output.kind == "error" for output in self.outputs)
