"""Choices without what a model prefers whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence


def calibrated(logprobs: Sequence[Sequence[float]]) -> list[list[float]]:
    """How likely each text is in each row of a column, divided by its mean over all rows.

    So batch calibration (arXiv 2309.17249) takes away what a model prefers in every row. It takes
    for granted that the texts are about equally frequent: where one truly dominates it harms.
    """
    import numpy as np

    if not logprobs:
        return []
    after = np.array(logprobs)
    for axis in (1, 0, 1):  # the mean but for a number that is one for all
        after -= np.logaddexp.reduce(after, axis=axis, keepdims=True)
    shares: list[list[float]] = np.exp(after).tolist()
    return shares
