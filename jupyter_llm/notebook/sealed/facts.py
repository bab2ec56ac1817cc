"""What was seen of code in a few words: what it gives, draws and changes, and what it loses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jupyter_llm.common.tables import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_llm.notebook.sealed.seen import Loss
    from jupyter_llm.notebook.values.extents import Extent

    _Fact = tuple[str, Loss | None]
    _Extents = Mapping[str, Extent]

_MAX_FACTS, _MAX_CHARS = 3, 120
# Words of a request after which nothing at all may come, values may be missing, rows may go.
_NOTHING = (
    r"any|whether|check\w*|find|\w*dupl\w*|missing|nulls?|na[nt]?|none|empty|start|begin|clear"
    r"|reset|invalid|bad|wrong|not?|without"
)
_WORDS: dict[Loss, str] = {
    "all": _NOTHING,
    "values": rf"{_NOTHING}|coerce\w*|unknown|rolling|moving|shift\w*|lag\w*|previous|before|next"
    r"|since|diff\w*|growth|percent\w*|join\w*|merg\w*|keep\w*|pivot\w*|table|per|resampl\w*"
    r"|mask\w*|if",
    "rows": rf"{_NOTHING}|only|where|drop\w*|remov\w*|filter\w*|delet\w*|exclud\w*|except|clean\w*"
    r"|keep|select\w*|uniq\w*|distinct|sampl\w*|first|last|top|head|tail|\w+est|above|below|over"
    r"|under|between|before|after|since|until|more|less|fewer|\w+er than|whose|who|which|that"
    r"|match\w*|join\w*|merg\w*|common|both|pop|split\w*|\d{4}",
}


def is_unasked(loss: Loss, asked: str) -> bool:
    """Whether something is lost that a request has no word for."""
    return bool(asked) and not re.search(rf"(?i)\b(?:{_WORDS[loss]})\b", asked)


def facts(
    before: _Extents, after: _Extents, drawn: Mapping[str, int]
) -> tuple[list[str], tuple[Loss, ...]]:
    """The few facts that matter most, losses first, and what the losses are.

    `before` has how large the variables were that the code names, `after` those it has made or
    changed, and "", what it shows. `drawn` counts what its pictures have.
    """
    found = [*dict.fromkeys(_lost(before, after)), *_made(before, after, drawn)]
    few = sorted(found, key=lambda fact: fact[1] is None)[:_MAX_FACTS]
    return [text[:_MAX_CHARS] for text, _ in few], tuple(loss for _, loss in few if loss)


def _lost(before: _Extents, after: _Extents) -> Iterator[_Fact]:
    for name, new in after.items():
        for column in new.missing if new.kind != "value" else ():
            yield from _missing(column, name, new, before)
        old = before.get(name, new)
        is_same = old.kind == new.kind and old.missing.keys() <= new.missing.keys()
        if is_same and new.size < old.size:
            size = count_of(old.size, "row" if old.kind == "table" else "value")
            yield f"{old.size - new.size} of {size} of `{name}` are gone", "rows"


def _missing(column: str, name: str, new: Extent, before: _Extents) -> Iterator[_Fact]:
    """What is missing in a column in which less was; what is new may lack what its sources do."""
    had = [one for one in before.values() if column in one.missing]
    most = sum(sum(one.missing.values()) for one in before.values())
    num, old = new.missing[column], max((one.missing[column] for one in had), default=most)
    if num > old:
        becomes = any(one.size == new.size for one in had)
        called = f"`{column or name}`" if column or name else "its result"
        first = "the first " * (new.num_counted < new.size)
        of = f"{num - old * becomes} of {first}{count_of(new.num_counted, 'value')}"
        how = "become missing" if becomes else "are missing"
        yield f"{called}: {of} {how}", "all" if num == new.num_counted else "values"


def _made(before: _Extents, after: _Extents, drawn: Mapping[str, int]) -> Iterator[_Fact]:
    name = "" if drawn or not after or "" in after else [*after][-1]
    if drawn:
        parts = " and ".join(count_of(num, part) for part, num in drawn.items())
        yield f"draws {parts}", "all" if "empty picture" in drawn else None
    elif after:
        new, is_old = after[name], name in before
        begin = (f"changes `{name}` to" if is_old else f"`{name}` is") if name else "gives"
        beside = max(before, key=lambda one: before[one].size, default="")
        is_less = beside and not is_old and before[beside].size > new.size
        has = f" (`{beside}` has {before[beside].size})" if is_less else ""
        if new.kind == "value" or not new.size:
            yield f"{begin} {f'an empty {new.kind}' if not new.size else 'a missing value'}", "all"
        else:
            size = count_of(new.size, "row" if new.kind == "table" else "value")
            yield f"{begin} a{'n' * (new.kind == 'array')} {new.kind} of {size}{has}", None
    for one in filter(before.get, after):
        old, columns = before[one].missing, after[one].missing
        added = ", ".join(f"`{column}`" for column in columns if column not in old)
        if added and old.keys() <= columns.keys():
            yield f"adds {added} to `{one}`", None
        elif one != name:
            yield f"changes `{one}`", None
