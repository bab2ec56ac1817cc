"""Operators of columns: filter rows, find the best, join two tables, reduce to one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.many import check_count, check_share
from jupyter_llm.chat.budget import budget
from jupyter_llm.columns.map import ColumnOptions
from jupyter_llm.columns.tables import Rows, free_name, is_parted, rows_of, through_narwhals
from jupyter_llm.engine.options import SamplingOptions, check_names, sampling_params
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from jupyter_llm.columns.map import Cell
    from jupyter_llm.engine.base import BulkEngine

    Ask = Callable[..., Any]  # `llm.map`, with the options of the call

_HOLDS = "Is this true? {}"
_MORE = "Which of these two is more {}: A or B?\n\nA: {}\n\nB: {}"
_TOGETHER = "Do these two belong together ({})?\n\n1: {}\n\n2: {}"
_RIVALS = 16  # that each of the best is compared with, at most
_FINALISTS = 4  # more than are wanted, at the least
_BLOCK = 1024  # rows whose likenesses are held at once
_SEPARATOR = 2  # tokens between two texts, at most


def asking(ask: Ask, what: str, options: Mapping[str, Any]) -> Ask:
    """Bind the options of any column to `ask`; refuse others before a model loads."""
    check_names(options, ColumnOptions, f"an option of {what}")
    names = SamplingOptions.__annotations__
    sampling_params({name: value for name, value in options.items() if name in names})
    return partial(ask, **options)


def filter_rows(
    ask: Ask, items: Any, question: str, *, threshold: float, probabilities: bool
) -> Any:
    """Return the rows for which a question is true; see `LLM.filter`."""
    check_share("threshold", threshold)
    items, rows = _several(items)

    def result(chances: list[float | None]) -> Any:
        if probabilities:
            return rows.column(chances)
        kept = [n for n, p in enumerate(chances) if p is not None and p >= threshold]
        return rows.take(items, kept)

    return ask(rows, _HOLDS.format(check_text(question)), schema=bool, finish=_by_chances(result))


def top_rows(ask: Ask, items: Any, what: str, k: int) -> Any:
    """Return the rows that are most `what`; see `LLM.top_k`."""
    check_text(what)
    items, rows = _several(items)
    there = _texts(rows)

    def chances(pairs: list[tuple[int, int]]) -> list[float]:
        both = [(there[one], there[two]) for pair in pairs for one, two in (pair, pair[::-1])]
        both_ways: list[float | None] = []  # an interrupt has no partial result
        _ask_pairs(ask, partial(_MORE.format, what), both, both_ways.extend, choices=["A", "B"])
        firsts = [0.5 if p is None else p for p in both_ways]
        return [(p + 1 - q) / 2 for p, q in zip(firsts[::2], firsts[1::2], strict=True)]

    best = best_first(len(there), check_count("k", k), chances)
    return rows.take(items, [there[one][0] for one in best])


def join_rows(
    ask: Ask,
    embed: Callable[[list[str]], np.ndarray],
    both: tuple[Any, Any],
    what: str,
    candidates: int,
    threshold: float,
) -> Any:
    """Return pairs of rows that belong together; see `LLM.join`."""
    check_text(what)
    check_share("threshold", threshold)
    if any(map(is_parted, both)):
        raise OptionError("A join takes rows that are here. Call .compute() of a Dask frame first.")
    (left, left_rows), (right, right_rows) = map(_several, both)
    lefts, rights = _texts(left_rows), _texts(right_rows)

    def beside(ones: list[int], twos: list[int], chances: list[float]) -> Any:
        return _side_by_side(left_rows.take(left, ones), right_rows.take(right, twos), chances)

    beside([], [], [])  # if it fails, nothing is asked in vain
    if len(rights) > check_count("candidates", candidates):
        vectors = [embed([text for _, text in texts]) for texts in (lefts, rights)]
        numbers = alike(vectors[0], vectors[1], candidates)
        pairs = [(lefts[one], rights[two]) for one, two in numbers]
    else:
        pairs = list(product(lefts, rights))

    def result(chances: list[float | None]) -> Any:
        judged = zip(pairs, chances, strict=True)
        found = [(pair, p) for pair, p in judged if p is not None and p >= threshold]
        ones, twos = ([pair[at][0] for pair, _ in found] for at in (0, 1))
        return beside(ones, twos, [p for _, p in found])

    return _ask_pairs(ask, partial(_TOGETHER.format, what), pairs, result, schema=bool)


def reduce_rows(
    ask: Ask, engine: BulkEngine, items: Any, instruction: str, max_tokens: int | None
) -> str:
    """Return one text of all rows; see `LLM.reduce`.

    Neighbouring rows that fit into one prompt are reduced together, then their answers, until one
    is left. An answer takes at most a third of a prompt's room, so at least two fit into the next.
    """
    there = _texts(rows_of(items))
    room = budget(engine.info, "auto", max_tokens) - engine.count_tokens(check_text(instruction))
    limit = min(max_tokens or room // 4, room // 3)
    left = [text for _, text in there]
    while left:
        groups: list[list[str]] = []
        used = room
        for number, token_ids in enumerate(engine.tokenize_texts(left)):
            if (size := len(token_ids) + _SEPARATOR) > room:
                raise OptionError(
                    f"Row {there[number][0]} has {size:,} tokens, and beside the instruction there "
                    f"is room for {max(room, 0):,}."
                )
            if used + size > room:
                groups.append([instruction])
                used = 0
            groups[-1].append(left[number])
            used += size
        # No row may fail: what it says would be missed.
        left = ask(map("\n\n".join, groups), "{{item}}", max_tokens=limit, on_error="raise")
        if len(left) == 1:
            return str(left[0])
    return ""


def _several(items: Any) -> tuple[Any, Rows]:
    """Return rows that can be read twice, and by their numbers."""
    items = items if hasattr(items, "__getitem__") or is_parted(items) else list(items)
    return items, rows_of(items)


def _texts(rows: Rows) -> list[tuple[int, str]]:
    """Return the texts of rows that are not missing, with their numbers."""
    return [(number, text) for number, text in enumerate(rows.texts()) if text]


def _ask_pairs(
    ask: Ask,
    about: Callable[[str, str], str],
    pairs: Sequence[tuple[tuple[int, str], tuple[int, str]]],
    result: Callable[[list[float | None]], Any],
    **shape: Any,
) -> Any:
    """Ask about two rows at a time, by their numbers and texts."""
    prompts = [about(one, two) for (_, one), (_, two) in pairs]

    def place(number: int) -> str:
        return "about " + " and ".join(f"row {row}" for row, _ in pairs[number])

    return ask(prompts, "{{item}}", place=place, finish=_by_chances(result), **shape)


def _by_chances(result: Callable[[list[float | None]], Any]) -> Callable[[Rows, list[Cell]], Any]:
    """Pass the probability of yes, or of A, of each row to `result`; None if unknown."""

    def chance(cell: Cell) -> float | None:
        p: float | None = cell.confidence
        return p if p is None or cell.value in (True, "A") else 1 - p

    return lambda _rows, cells: result(list(map(chance, cells)))


def _side_by_side(left: Any, right: Any, chances: Sequence[float]) -> Any:
    """Return pairs of rows with their probability: a frame with both columns, or mappings."""
    import narwhals as nw

    names, sides = ("left", "right"), [through_narwhals(rows) for rows in (left, right)]
    kinds: list[Any] = [getattr(side, "implementation", None) for side in sides]
    if None in kinds and not any(isinstance(side, nw.DataFrame) for side in sides):
        each = zip(left, right, chances, strict=True)
        return [dict(zip((*names, "probability"), row, strict=True)) for row in each]
    if kinds[0] != kinds[1]:
        raise OptionError("Both sides of a join must be of one kind, such as two pandas frames.")
    parts = []
    for name, side in zip(names, sides, strict=True):
        is_one = isinstance(side, nw.Series)
        parts.append(side.alias(side.name or name).to_frame() if is_one else side)
    one, two = (set(part.columns) for part in parts)
    for at, name in enumerate(names):
        parts[at] = parts[at].rename(
            {each: free_name(f"{each}_{name}", one | two) for each in one & two}
        )
    last = free_name("probability", one ^ two)
    parts.append(nw.new_series(last, chances, nw.Float64, backend=kinds[0]).to_frame())
    whole = [nw.maybe_reset_index(part) for part in parts]
    return nw.concat(whole, how="horizontal").to_native()


def best_first(
    count: int, k: int, chances: Callable[[list[tuple[int, int]]], list[float]]
) -> list[int]:
    """Return the `k` best of `count` rows, the best first, by comparing few pairs.

    `chances` returns for each pair the probability that the first beats the second. Each round
    compares all remaining rows with one of them and keeps the better half, until twice as many as
    wanted remain: about two pairs a row. Then these are compared with each other, or with some of
    each other if they are many. Nothing is random.
    """
    left = list(range(count))
    num_last = max(2 * k, k + _FINALISTS)
    while len(left) > num_last:
        pivot = left[len(left) // 2]
        others = [one for one in left if one != pivot]
        chance = dict(zip(others, chances([(one, pivot) for one in others]), strict=True))
        left.sort(key=lambda one: -chance.get(one, 0.5))
        del left[max(len(left) // 2, num_last) :]
    rivals = set(left[:: max(1, -(-len(left) // _RIVALS))])
    pairs = [(one, two) for one, two in combinations(left, 2) if rivals & {one, two}]
    won = {one: 0.5 * (one in rivals) for one in left}  # against itself
    for (one, two), chance_of_one in zip(pairs, chances(pairs), strict=True):
        won[one] += chance_of_one * (two in rivals)
        won[two] += (1 - chance_of_one) * (one in rivals)
    return sorted(left, key=lambda one: -won[one])[:k]


def alike(left: np.ndarray, right: np.ndarray, k: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each row of `left` with those of the `k` likest rows of `right`.

    The rows are vectors of length one. Few likenesses are held at once.
    """
    for start in range(0, len(left), _BLOCK):
        likeness = left[start : start + _BLOCK] @ right.T
        best = (-likeness).argsort(axis=1, kind="stable")[:, :k]  # of as like ones the earlier
        for row, found in enumerate(best, start):
            yield from ((row, int(one)) for one in sorted(found))
