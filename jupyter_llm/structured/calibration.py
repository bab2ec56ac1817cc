"""Choices without what a model prefers whatever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.structured.cascade import Cell

if TYPE_CHECKING:
    from jupyter_llm.structured.shape import Shape


def calibrate(cells: list[Cell | None], shape: Shape[Any]) -> None:
    """Divide how likely each choice was in each row by its mean over all rows.

    So batch calibration (arXiv 2309.17249) takes away what a model prefers in every row. It takes
    for granted that the choices are about equally frequent: where one truly dominates it harms.
    """
    import numpy as np

    rows = [row for row, cell in enumerate(cells) if cell and cell.logprobs]
    after = np.array([cell.logprobs for cell in cells if cell and cell.logprobs])
    for axis in (1, 0, 1) if rows else ():  # the mean but for a number that is one for all
        after -= np.logaddexp.reduce(after, axis=axis, keepdims=True)
    for row, chances in zip(rows, np.exp(after).tolist(), strict=True):
        chance, text = max(zip(chances, shape.choices, strict=True))
        cells[row] = Cell(shape.read(text), chance)
