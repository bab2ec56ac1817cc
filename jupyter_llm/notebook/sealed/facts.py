"""Summarizes the effects of tried code: its result, figures, changes and losses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.common.tables import count_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from jupyter_llm.notebook.values.extents import Extent

    _Fact = tuple[str, bool]  # and whether it may count against the code

RAN = "ran in a sealed copy"
"""The beginning of the summary of code that ran."""

_TIMES = " \N{MULTIPLICATION SIGN} "
_MAX_FACTS, _MAX_NAMES, _MAX_NAME = 3, 3, 40
# A request in another language cannot be checked for words.
_ENGLISH = re.compile(r"(?i)\b(?:the|and|with|each|every|from)\b")
_LOSING = re.compile(r"(?i)\b(?:drop|remov|without|missing|null|nan?\b|empty|dupl|clean|merg|join)")
_SOUGHT = re.compile(r"(?:[<>]|[=!]=|is_?in\(|\beq\(|contains\(|query\()[\s\['\"(=]*(\w+)")
_DROPS = re.compile(r"\.(?:dropna|drop_nulls)\(|\.(?:merge|join)\((?!.*how='[^i])")
_CHOOSES = re.compile(r"[<>]|[=!]=|filter|query|is_?in\(|dupl|uniq|group|head|tail|sampl")
_GAPS = re.compile(r"\b(?:rolling|shift|diff|pct_change|resample|where|mask|(?i:na[nt]?))\b")


def is_unasked(asked: str, source: str) -> bool:
    """Whether a request has no word for loss, nor the value by which its code selects."""
    sought = re.compile(rf"(?i)\b(?:{'|'.join(_SOUGHT.findall(source)) or '(?!)'})\b")
    return bool(_ENGLISH.search(asked)) and not (_LOSING.search(asked) or sought.search(asked))


@dataclass(frozen=True, slots=True)
class Facts:
    """The effects of code.

    `python` has a line for each statement; the code draws `drawn`. `before` are the variables that
    the code names. `after` are those that it made or changed, and "" for its result. `replaced` are
    the user's variables that the code rebinds. `mended` are the names that the mended cell binds or
    changes; None if no cell is mended. A change to one of them is reported only if the code drops
    rows from it, for example with `dropna` or `merge`, or leaves a table without rows.
    """

    before: Mapping[str, Extent]
    after: Mapping[str, Extent]
    drawn: Mapping[str, int]
    python: str
    replaced: Sequence[str] = ()
    mended: Collection[str] | None = None

    def summary(self) -> tuple[str, int]:
        """Return the main facts as one line, and the number that may count against the code.

        Losses that count come first in the choice. The line begins with changes to the user's data.
        """
        facts = dict.fromkeys([*self._changed(), *self._lost(), *self._made()])
        chosen = sorted(facts, key=lambda fact: not fact[1])[:_MAX_FACTS]
        summary = [fact for fact in facts if fact in chosen]
        return "; ".join(text for text, _ in summary), sum(counts for _, counts in summary)

    def _quoted(self, *names: str) -> str:
        """Return names in backticks.

        Columns that only data name may be secrets, so they are counted.
        """
        named = {*self.before, *(one for size in self.before.values() for one in size.missing)}
        quoted = [f"`{one[:_MAX_NAME]}`" for one in names if one in self.python or one in named]
        num_rest = len(names) - len(quoted[:_MAX_NAMES])
        return ", ".join(quoted[:_MAX_NAMES] + [count_of(num_rest, "column")] * bool(num_rest))

    def _lost(self) -> Iterator[_Fact]:
        most = sum(sum(one.missing.values()) for one in self.before.values())
        for name, new in self.after.items():
            old = self.before.get(name, new)
            # the result may be a variable, or a column of one
            others = [] if name else [one.missing for other, one in self.after.items() if other]
            for column, num in new.missing.items() if new.kind != "value" else ():
                if any(one.get(column) == num for one in others):
                    continue
                had = [one.missing[column] for one in self.before.values() if column in one.missing]
                # a new value may lack the values that its sources lack
                if num > max(had, default=most):
                    becomes = old is not new and old.size == new.size and column in old.missing
                    subject = self._quoted(column or name) if column or name else "its result"
                    first = "the first " * (new.num_counted < new.size)
                    text = f"{subject}: {num - (becomes and old.missing[column])} of {first}"
                    text += f"{count_of(new.num_counted, 'value')} {'become' if becomes else 'are'}"
                    yield f"{text} missing", becomes and not _GAPS.search(self.python)

    def _changed(self) -> Iterator[_Fact]:
        """Yield the user's variables that were replaced or changed, with their sizes.

        Of a mend, plain values are not reported. A name that the mended cell itself binds is
        reported only if the code loses its rows, since another cell may have made the value.
        """
        for name in filter(self.after.get, self.before):
            is_own = name in (self.mended or ())
            old, new = self.before[name], self.after[name]
            added = [column for column in new.missing if column not in old.missing]
            keeps_columns = old.missing.keys() <= new.missing.keys()
            if added and keeps_columns and old.size == new.size:
                if not is_own:
                    yield f"adds {self._quoted(*added)} to {self._quoted(name)}", False
                continue
            verb = "replaces" if name in self.replaced else "changes"
            is_resized = old.shape != new.shape and "value" not in (old.kind, new.kind)
            own = "\n".join(re.findall(rf"(?m)^\s*{name}(?: = |\.).*", self.python))
            is_less = keeps_columns and old.kind == new.kind and old.size > new.size
            drops = is_less and _DROPS.search(own) and not _CHOOSES.search(own)
            text = f"{verb} {self._quoted(name)}{f': {_sizes(old, new)}' * is_resized}"
            is_loss = bool(drops) or self._is_emptied(new)
            if is_loss or not is_own:
                yield text, is_loss
        sized = self.before.keys() & self.after.keys()
        plain = [f"`{one[:_MAX_NAME]}`" for one in self.replaced if one not in sized]
        if plain and self.mended is None:
            rest = " …" * (len(plain) > _MAX_NAMES)
            yield f"replaces {', '.join(plain[:_MAX_NAMES])}{rest}", False

    def _is_emptied(self, new: Extent) -> bool:
        """Whether a table is empty because the code selects or drops rows."""
        chooses = _SOUGHT.search(self.python) or _DROPS.search(self.python)
        return not new.size and new.kind == "table" and bool(chooses)

    def _made(self) -> Iterator[_Fact]:
        before, after = self.before, self.after
        name = next((name for name in reversed([*after]) if name not in before), None)
        if self.drawn:
            parts = " and ".join(count_of(num, part) for part, num in self.drawn.items())
            yield f"draws {parts}", [*self.drawn] == ["empty figure"]
        elif name is not None:
            new = after[name]
            begin = f"{self._quoted(name)} is" if name else "gives"
            beside = max(before, key=lambda one: before[one].size, default="")
            is_less = beside and before[beside].size > new.size
            size_text = f"a{'n' * (new.kind[0] in 'aI')} {new.kind} of "
            size_text += count_of(new.size, "row" if new.kind == "table" else "value")
            size_text += f" ({self._quoted(beside)} has {before[beside].size})" if is_less else ""
            if new.kind == "value" or not new.size:
                size_text = f"an empty {new.kind}" if not new.size else "a missing value"
            yield f"{begin} {size_text}", self._is_emptied(new)


def _sizes(old: Extent, new: Extent) -> str:
    """Return two sizes, the second one short; sizes of different kinds with the kinds."""
    if old.kind == new.kind:
        return f"{_size(old)} → {_TIMES.join(map(str, new.shape)) or '1'}"
    return " → ".join(f"{one.kind} of {_size(one)}" for one in (old, new))


def _size(extent: Extent) -> str:
    first, *others = extent.shape or (1,)
    noun = "row" if extent.kind == "table" or others else "value"
    return _TIMES.join([count_of(first, noun), *map(str, others)])
