"""The result of one row of a column, and the calibration of choices over all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from jupyter_llm.ask.shape import Shape


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a row: a value and how likely it was, or an error; nothing if it was missing.

    `logprobs` are those of the texts that it was chosen from.
    """

    value: Any = None
    confidence: Any = None
    logprobs: tuple[float, ...] = ()
    error: JupyterLLMError | None = None


def calibrate_all(cells: list[Cell | None], shape: Shape[Any]) -> None:
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
