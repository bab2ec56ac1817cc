"""The variables that go along with a prompt: which are meant, and what is told of them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

from jupyter_llm.notebook.values.mentions import at_names, chosen, mentioned, used
from jupyter_llm.notebook.values.peek import (
    is_library_module,
)
from jupyter_llm.notebook.values.summaries import Room, Summary, tells_data
from jupyter_llm.notebook.values.tables import column_labels

_PLAIN: Final = (type(None), bool, int, float, complex)
_PLAIN_CHARS: Final = 80
_CELL_CHARS: Final = 160  # of a variable nobody named: what it is, and hardly more
_TABLE_CHARS: Final = 320  # of a table, since code needs the names of its columns


def describe(
    prompt: str,
    recent_sources: Sequence[str],
    namespace: Mapping[str, object],
    *,
    choice: str = "auto",
    unasked: Container[str] | None = None,
    max_chars: int = 4000,
    deadline_s: float = 0.4,
) -> list[Summary]:
    """Summaries of the variables that are meant, within a room and a time for all of them.

    `choice` is `auto`: those the prompt names and those that hold data in the recent cells, the
    latest cell first and in few words; or `none`; or names: `a,b`. An `@name` in the prompt counts
    in any case, and what is named has the first claim to the room. Those that cells use come
    first, then the named ones in the order of the prompt, so that little changes of what a prompt
    begins with while it is written: what cells use and few words tell stays where it is when it is
    named, too. Only those of `unasked` go along without having been asked for, if they are given.
    Of modules only the user's own are told unless an `@` or a choice names them.
    `OptionError`: there is no variable of a name that was chosen or has an `@`.
    """
    known = {key: value for key, value in list(namespace.items()) if type(key) is str}
    plain = {key: value for key, value in known.items() if unasked is None or key in unasked}
    named, in_cells = _meant(prompt, recent_sources, known, plain, choice)
    room = Room(max_chars, deadline_s)
    told = {name: room.tell(name, known[name]) for name in named}
    few = {name: _few_chars(known[name]) for name in in_cells}
    told |= {name: room.tell(name, known[name], few[name]) for name in few if name not in told}
    # Those that no prompt changes come first, so that they can be read before it is asked.
    unchanged = [name for name in few if (one := told[name]) and len(one.text) <= few[name]]
    ordered = dict.fromkeys([*unchanged, *sorted(named, key=prompt.find)])
    return [summary for name in ordered if (summary := told[name]) is not None]


def _few_chars(value: object) -> int:
    return _CELL_CHARS if column_labels(value) is None else _TABLE_CHARS


def _meant(
    prompt: str,
    recent_sources: Sequence[str],
    known: Mapping[str, object],
    plain: Mapping[str, object],
    choice: str,
) -> tuple[list[str], list[str]]:
    """The variables that are named, and those that the recent cells use and that hold data."""
    named, in_cells = at_names(prompt, known), []
    if choice == "auto":
        others = (name for name in mentioned(prompt, known) if name in plain)
        named += [name for name in others if not is_library_module(known[name])]
        names = (name for source in reversed(recent_sources) for name in used(source, plain))
        in_cells = [name for name in dict.fromkeys(names) if _is_worth_telling(known[name])]
    elif choice != "none":
        named += chosen(choice, known)
    return list(dict.fromkeys(named)), in_cells


def _is_worth_telling(value: object) -> bool:
    """Whether a value says more than the cell that made it: no code, and no plain number."""
    is_plain = type(value) in _PLAIN or (type(value) is str and len(value) <= _PLAIN_CHARS)
    return tells_data(value) and not is_plain
