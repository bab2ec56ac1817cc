"""Choices without what a model prefers whatever it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_llm.engine.completion import Choice, Score


def calibrated(choices: Sequence[Choice]) -> list[Choice]:
    """The choices of a column between the same texts, each divided by its mean probability.

    So batch calibration (arXiv 2309.17249) takes away what a model prefers in every row. It takes
    for granted that the texts are about equally frequent: where one truly dominates it harms. What
    lies outside the texts stays as it was.
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
    each = [zip(texts, row.tolist(), strict=True) for row in after]
    return [Choice(tuple(Score(text, (logprob,)) for text, logprob in row)) for row in each]
