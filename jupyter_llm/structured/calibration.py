"""Choices without what a model prefers whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_llm.engine.completion import Choice, Score


def calibrated(choices: Sequence[Choice]) -> list[Choice]:
    """The choices of a column between the same texts, each text divided by what it gets on average.

    Models prefer some labels, the first or the usual one, whatever the row says. Over many rows
    that shows in a label's mean probability, by which it is divided here (batch calibration,
    arXiv 2309.17249). It takes for granted that the labels are about equally frequent: where one
    truly dominates, that is taken for a preference, and rows are moved to others, so it harms. It
    says little for a few rows. What lies outside the labels stays as it was.
    """
    import numpy as np

    if not choices:
        return []
    before = np.array([[score.logprob for score in choice.scores] for choice in choices])
    inside = np.logaddexp.reduce(before, axis=1, keepdims=True)
    after = before - inside
    after -= np.logaddexp.reduce(after, axis=0)  # the mean but for a number that is one for all
    after += inside - np.logaddexp.reduce(after, axis=1, keepdims=True)
    texts = [score.text for score in choices[0].scores]
    return [
        Choice(tuple(Score(text, (float(one),)) for text, one in zip(texts, row, strict=True)))
        for row in after
    ]
