"""Finds the word that a misspelt one probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MAX_WORDS = 5000  # compared with a misspelt word
_NEAR = 0.7
_VERY_NEAR = 0.75
_LEAST = 4  # letters of a word in which one letter may be wrong
_LEAST_PART = 3  # letters of a word that may be part of a longer name
# Similar words whose exchange changes the meaning.
_CONTRARIES = [
    *({"min", "max"}, {"male", "female"}, {"mean", "median"}, {"lower", "upper"}),
    *({"first", "last"}, {"test", "train"}, {"before", "after"}, {"low", "high"}),
    *({"left", "right"}, {"in", "out"}, {"start", "stop"}, {"open", "close"}, {"old", "new"}),
]


def nearest(word: str, words: Sequence[str], otherwise: str, *, least: float = 0.6) -> str:
    """Return a hint that names the most similar word, or `otherwise`."""
    import difflib  # only for mistakes

    bare = {one.lstrip("-"): one for one in words}  # dashes would make all options similar
    typed = word.lstrip("-") or word
    begun = [one for one in bare if typed and one.startswith(typed)]
    close = begun or difflib.get_close_matches(typed, bare, n=1, cutoff=least)
    return f"Did you mean {bare[close[0]]}?" if close else otherwise


def near(word: str, words: Iterable[object], count: int = 2) -> list[tuple[str, bool]]:
    """Return the similar words, the likeliest first, each with whether it is almost certain."""
    from difflib import SequenceMatcher, get_close_matches

    pool = [one for one in dict.fromkeys(words) if type(one) is str and one != word][:_MAX_WORDS]
    pool = [one for one in pool if not _is_another(word, one)]
    same = [one for one in pool if _plain(one) == _plain(word)]
    same += [one for one in pool if sorted(one.lower()) == sorted(word.lower())]  # letters swapped
    lower = {one.lower(): one for one in reversed(pool) if len(one) >= _LEAST <= len(word)}
    close = [lower[one] for one in get_close_matches(word.lower(), lower, n=count, cutoff=_NEAR)]
    parts = [one for one in pool if _is_part(word, one) or _is_part(one, word)]
    nearby = list(dict.fromkeys([*same, *close, *(parts if len(parts) == 1 else ())]))[:count]
    ratios = [SequenceMatcher(a=word.lower(), b=one.lower()).ratio() for one in nearby]
    return [
        (one, n == 0 and (one in same or ratio >= _VERY_NEAR))
        for n, (one, ratio) in enumerate(zip(nearby, ratios, strict=True))
    ]


def _plain(word: str) -> str:
    """Return a word without case, separators and plural s, which people mix up."""
    return re.sub(r"[\W_]+", "", word).lower().rstrip("s") or word


def _is_another(word: str, other: str) -> bool:
    """Whether two words name different things: they differ in a number, an axis or a contrary."""
    parts, others = (re.findall(r"\d+|[a-z]+", one.lower()) for one in (word, other))
    changed = [{a, b} for a, b in zip(parts, others, strict=False) if a != b]
    if len(parts) != len(others) or len(changed) != 1:
        return False
    (pair,) = changed
    return pair in _CONTRARIES or all(one.isdigit() or one in "xyz" for one in pair)


def _is_part(word: str, other: str) -> bool:
    """Whether a word is a part, a prefix or an abbreviation of a name."""
    word, other = word.lower(), other.lower()
    is_short = word[:1] + word[-1:] == other[:1] + other[-1:]  # `qty` for `quantity`
    letters = iter(other)
    return len(word) >= _LEAST_PART and (
        word in re.split(r"[\W_]+", other)
        or other.startswith(word)
        or (is_short and all(letter in letters for letter in word))
    )
