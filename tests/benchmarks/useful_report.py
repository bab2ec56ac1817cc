"""Turns outcomes of `useful_code.py` into Markdown tables. Pure: takes values, returns text."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.useful_outcomes import Outcome

from jupyter_llm.common.tables import markdown_table

OURS, USUAL = "ours", "usual"
PARTS = ("write", "fix", "doc", "test", "review", "explain")
_Z = 1.96
_ROUNDS = 4000


def tables(outcomes: Sequence[Outcome]) -> list[str]:
    """All there is to say of some outcomes, part by part."""
    found = []
    for part in PARTS:
        its = [one for one in outcomes if one.part == part]
        if its:
            found.append(f"### {part}\n\n{summary_table(its)}")
            found += _write_tables(its) if part == "write" else _mark_tables(its)
    return found


def share(count: int, total: int) -> str:
    """A count, its share and Wilson's 95 % interval."""
    if not total:
        return "none"
    low, high = wilson(count, total)
    return f"{count} ({count / total:.0%}; {low:.0%} to {high:.0%})"


def wilson(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    middle = count + _Z**2 / 2
    half = _Z * math.sqrt(count * (total - count) / total + _Z**2 / 4)
    return (middle - half) / (total + _Z**2), (middle + half) / (total + _Z**2)


def summary_table(outcomes: Sequence[Outcome]) -> str:
    """What each contestant got right, and what it cost."""
    rows = []
    for name, its in _by_contestant(outcomes).items():
        seconds = [one.took_s for one in its]
        rows.append(
            (
                name,
                len(its),
                share(sum(one.is_right for one in its), len(its)),
                share(sum(one.runs for one in its), len(its)),
                f"{statistics.fmean(one.num_tokens for one in its):.0f}",
                f"{statistics.fmean(len(one.drafts) for one in its):.1f}",
                f"{statistics.median(seconds):.1f} ({max(seconds):.1f})",
            )
        )
    header = ("", "n", "right", "runs", "tokens", "drafts", "seconds: median (longest)")
    return markdown_table(header, rows)


def _by_contestant(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault(one.contestant, []).append(one)
    return found


def _write_tables(outcomes: Sequence[Outcome]) -> list[str]:
    found = [library_table(outcomes)]
    contestants = _by_contestant(outcomes)
    if OURS in contestants and USUAL in contestants:
        found.append(ratio_text(contestants[OURS], contestants[USUAL]))
    if OURS in contestants:
        found.append(draft_table(contestants[OURS]))
    return found


def library_table(outcomes: Sequence[Outcome]) -> str:
    """The right answers by library."""
    libraries = list(dict.fromkeys(one.group for one in outcomes))
    rows = []
    for name, its in _by_contestant(outcomes).items():
        of_each = [[one.is_right for one in its if one.group == library] for library in libraries]
        rows.append((name, *(f"{sum(each)} of {len(each)}" for each in of_each)))
    return markdown_table(("right", *libraries), rows)


def ratio_text(ours: Sequence[Outcome], usual: Sequence[Outcome]) -> str:
    """How many times as much ours gets right as the usual prompt, and how many tokens."""
    others = {one.name: one for one in usual}
    pairs = [(one, others[one.name]) for one in ours if one.name in others]
    right = [(int(one.is_right), int(other.is_right)) for one, other in pairs]
    tokens = [(one.num_tokens, other.num_tokens) for one, other in pairs]
    return (
        f"ours / usual, over {len(pairs)} tasks: right {_ratio_with_interval(right)}, "
        f"tokens {_ratio_with_interval(tokens)} (bootstrap of the tasks, 95 %)"
    )


def _ratio_with_interval(pairs: Sequence[tuple[int, int]]) -> str:
    """The ratio of two sums, from where to where in 95 % of draws of the pairs."""
    drawn = random.Random(0)  # noqa: S311  no secret
    ratios = sorted(_ratio(drawn.choices(pairs, k=len(pairs))) for _ in range(_ROUNDS))
    low, high = (ratios[int(len(ratios) * at)] for at in (0.025, 0.975))
    return f"{_ratio(pairs):.2f} ({low:.2f} to {high:.2f})"


def _ratio(pairs: Sequence[tuple[int, int]]) -> float:
    above, below = (sum(column) for column in zip(*pairs, strict=True))
    return above / below if below else math.inf


def draft_table(outcomes: Sequence[Outcome]) -> str:
    """The curve: how many tasks have a right draft among the first, and when those were written.

    What was chosen may be more than the best draft, since statements are dropped from it.
    """
    rows: list[Sequence[object]] = []
    for count in range(1, max(len(one.drafts) for one in outcomes) + 1):
        first = [one.drafts[:count] for one in outcomes]
        num_right = sum(any(draft.is_right for draft in drafts) for drafts in first)
        ended = [max((draft.ended_s for draft in drafts), default=0.0) for drafts in first]
        tokens = [sum(draft.num_tokens for draft in drafts) for drafts in first]
        num_more = sum(len(one.drafts) >= count for one in outcomes)
        rows.append(
            (
                count,
                num_more,
                share(num_right, len(outcomes)),
                f"{statistics.fmean(tokens):.0f}",
                f"{statistics.median(ended):.1f}",
            )
        )
    chosen = sum(one.is_right for one in outcomes)
    tokens = [one.num_tokens for one in outcomes]
    took = statistics.median(one.took_s for one in outcomes)
    rows.append(
        (
            "what landed",
            "",
            share(chosen, len(outcomes)),
            f"{statistics.fmean(tokens):.0f}",
            f"{took:.1f}",
        )
    )
    header = ("drafts", "tasks with so many", "any of them right", "tokens", "seconds, median")
    return markdown_table(header, rows)


def _mark_tables(outcomes: Sequence[Outcome]) -> list[str]:
    """What is right by group, and what else is counted of the part."""
    rows = []
    for group in dict.fromkeys(one.group for one in outcomes):
        its = [one for one in outcomes if one.group == group]
        marks = dict.fromkeys(mark for one in its for mark in one.marks)
        counts = [f"{mark}: {sum(one.marks.get(mark, False) for one in its)}" for mark in marks]
        right = share(sum(one.is_right for one in its), len(its))
        rows.append((group, len(its), right, "; ".join(counts)))
    return [markdown_table(("", "n", "right", "of these"), rows)]


def listed(outcomes: Sequence[Outcome]) -> str:
    """Every outcome with what was written, to read."""
    parts = []
    for one in outcomes:
        verdict = "right" if one.is_right else f"WRONG ({one.error})"
        parts.append(f"## {one.part} {one.name}, {one.contestant}: {verdict}\n\n{one.text}\n")
        parts += [
            f"--- draft {number}{', right' if draft.is_right else ''}\n{draft.text}\n"
            for number, draft in enumerate(one.drafts, 1)
        ]
    return "\n".join(parts)
