"""What was seen of code in a few words: what it gives, draws and changes, and what it loses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.common.tables import count_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from jupyter_llm.notebook.values.extents import Extent

    _Fact = tuple[str, bool]  # and whether it may speak against the code

_TIMES = " \N{MULTIPLICATION SIGN} "
_MAX_FACTS, _MAX_NAMES, _MAX_NAME = 3, 3, 40
# Of a request in another language it is not known what it asks for.
_ENGLISH = re.compile(r"(?i)\b(?:the|and|with|each|every|from)\b")
_LOSING = re.compile(r"(?i)\b(?:drop|remov|without|missing|null|nan?\b|empty|dupl|clean|merg|join)")
_SOUGHT = re.compile(r"(?:[<>]|[=!]=|is_?in\(|\beq\(|contains\(|query\()[\s\['\"(=]*(\w+)")
_DROPS = re.compile(r"\.(?:dropna|drop_nulls)\(|\.(?:merge|join)\((?!.*how='[^i])")
_CHOOSES = re.compile(r"[<>]|[=!]=|filter|query|is_?in\(|dupl|uniq|group|head|tail|sampl")
_GAPS = re.compile(r"\b(?:rolling|shift|diff|pct_change|resample|where|mask|(?i:na[nt]?))\b")


def is_unasked(asked: str, source: str) -> bool:
    """Whether a request has no word for loss, nor the value by which its code chooses."""
    sought = re.compile(rf"(?i)\b(?:{'|'.join(_SOUGHT.findall(source)) or '(?!)'})\b")
    return bool(_ENGLISH.search(asked)) and not (_LOSING.search(asked) or sought.search(asked))


@dataclass(frozen=True, slots=True)
class Facts:
    """What comes of code, `python`, which has a line for each statement and draws `drawn`.

    `before` are the variables it names, `after` those it made or changed and "", what it shows.
    `replaced` are the user's variables that it binds to other values. `mended`: the names that the
    cell it mends has bound or changed already, which is no news; None where it mends no cell.
    """

    before: Mapping[str, Extent]
    after: Mapping[str, Extent]
    drawn: Mapping[str, int]
    python: str
    replaced: Sequence[str] = ()
    mended: Collection[str] | None = None

    def few(self) -> tuple[str, int]:
        """Return the facts that matter most, and how many of them may count.

        Losses that count are chosen first. The line begins with what happens to the user's data.
        """
        found = dict.fromkeys([*self._changed(), *self._lost(), *self._made()])
        chosen = sorted(found, key=lambda fact: not fact[1])[:_MAX_FACTS]
        few = [fact for fact in found if fact in chosen]
        return "; ".join(text for text, _ in few), sum(counts for _, counts in few)

    def _called(self, *names: str) -> str:
        """Names in marks; columns that only data name may be secrets, and are counted."""
        known = {*self.before, *(one for size in self.before.values() for one in size.missing)}
        told = [f"`{one[:_MAX_NAME]}`" for one in names if one in self.python or one in known]
        num_rest = len(names) - len(told[:_MAX_NAMES])
        return ", ".join(told[:_MAX_NAMES] + [count_of(num_rest, "column")] * bool(num_rest))

    def _lost(self) -> Iterator[_Fact]:
        most = sum(sum(one.missing.values()) for one in self.before.values())
        for name, new in self.after.items():
            old = self.before.get(name, new)
            for column, num in new.missing.items() if new.kind != "value" else ():
                had = [one.missing[column] for one in self.before.values() if column in one.missing]
                if num > max(had, default=most):  # what is new may lack what its sources do
                    becomes = old is not new and old.size == new.size and column in old.missing
                    called = self._called(column or name) if column or name else "its result"
                    first = "the first " * (new.num_counted < new.size)
                    text = f"{called}: {num - (becomes and old.missing[column])} of {first}"
                    text += f"{count_of(new.num_counted, 'value')} {'become' if becomes else 'are'}"
                    yield f"{text} missing", becomes and not _GAPS.search(self.python)

    def _changed(self) -> Iterator[_Fact]:
        """Yield the user's variables that were replaced or changed, with their sizes.

        A mend replaces data of other cells only, and no plain value is worth a word there.
        """
        for name in filter(self.after.get, self.before):
            if name in (self.mended or ()):
                continue
            old, new = self.before[name], self.after[name]
            added = [column for column in new.missing if column not in old.missing]
            is_whole = old.missing.keys() <= new.missing.keys()
            if added and is_whole and old.size == new.size:
                yield f"adds {self._called(*added)} to {self._called(name)}", False
                continue
            verb = "replaces" if name in self.replaced else "changes"
            is_resized = old.shape != new.shape and "value" not in (old.kind, new.kind)
            own = "\n".join(re.findall(rf"(?m)^\s*{name}(?: = |\.).*", self.python))
            is_less = is_whole and old.kind == new.kind and old.size > new.size
            drops = is_less and _DROPS.search(own) and not _CHOOSES.search(own)
            text = f"{verb} {self._called(name)}{f': {_sizes(old, new)}' * is_resized}"
            yield text, bool(drops) or self._is_emptied(new)
        sized = self.before.keys() & self.after.keys()
        plain = [f"`{one[:_MAX_NAME]}`" for one in self.replaced if one not in sized]
        if plain and self.mended is None:
            rest = " …" * (len(plain) > _MAX_NAMES)
            yield f"replaces {', '.join(plain[:_MAX_NAMES])}{rest}", False

    def _is_emptied(self, new: Extent) -> bool:
        """Whether a table is empty by what the code chooses or drops."""
        chooses = _SOUGHT.search(self.python) or _DROPS.search(self.python)
        return not new.size and new.kind == "table" and bool(chooses)

    def _made(self) -> Iterator[_Fact]:
        before, after = self.before, self.after
        name = next((name for name in reversed([*after]) if name not in before), None)
        if self.drawn:
            parts = " and ".join(count_of(num, part) for part, num in self.drawn.items())
            yield f"draws {parts}", [*self.drawn] == ["empty picture"]
        elif name is not None:
            new = after[name]
            begin = f"{self._called(name)} is" if name else "gives"
            beside = max(before, key=lambda one: before[one].size, default="")
            is_less = beside and before[beside].size > new.size
            what = f"a{'n' * (new.kind == 'array')} {new.kind} of "
            what += count_of(new.size, "row" if new.kind == "table" else "value")
            what += f" ({self._called(beside)} has {before[beside].size})" if is_less else ""
            if new.kind == "value" or not new.size:
                what = f"an empty {new.kind}" if not new.size else "a missing value"
            yield f"{begin} {what}", self._is_emptied(new)


def _sizes(old: Extent, new: Extent) -> str:
    """Return two sizes, the second in short; those of two kinds with their kinds."""
    if old.kind == new.kind:
        return f"{_size(old)} → {_TIMES.join(map(str, new.shape)) or '1'}"
    return " → ".join(f"{one.kind} of {_size(one)}" for one in (old, new))


def _size(extent: Extent) -> str:
    first, *others = extent.shape or (1,)
    noun = "row" if extent.kind == "table" or others else "value"
    return _TIMES.join([count_of(first, noun), *map(str, others)])
