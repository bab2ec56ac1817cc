"""The variables of the notebook: which of them are meant, and what is told of these.

They are named in a prompt, with `@` or without, or used in cells.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Final

from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.code.blocks import FENCE
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import cell_python, parse_cell
from jupyter_llm.notebook.values.peek import is_library_module, short_name
from jupyter_llm.notebook.values.summaries import Room, Summary, tells_data
from jupyter_llm.notebook.values.tables import column_labels

_PLAIN: Final = (type(None), bool, int, float, complex)
_PLAIN_CHARS: Final = 80
_CELL_CHARS: Final = 160  # of a variable nobody named: what it is, and hardly more
_TABLE_CHARS: Final = 320  # of a table, since code needs the names of its columns
# What IPython itself puts into the namespace.
_IPYTHON: Final = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
# Words without a meaning of their own: in prose, a variable of that name is not meant by them.
_FUNCTION_WORDS: Final = re.compile(
    "an?|the|this|that|these|those|i|me|my|you|your|he|she|it|its|we|us|our|they|them|their"
    "|and|or|but|nor|so|yet|if|then|else|than|as|of|to|in|on|at|by|for|from|with|without|into|onto"
    "|over|under|about|between|after|before|up|down|out|off|per|via"
    "|is|are|am|was|were|be|been|being|do|does|did|done|has|have|had|can|could|may|might|must|shall"
    "|should|will|would|not|no|yes|ok|please|what|which|who|whom|whose|when|where|why|how"
    "|all|any|some|each|every|both|more|most|much|many|few|such|only|just|also|too|very|here|there"
    "|again|now|once|one|ones|get|got|let|make|use|give|show|tell",
    re.IGNORECASE,
)

_SPAN: Final = re.compile(r"(?s)(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)")
_DECORATORS: Final = re.compile(
    r"""(?mx)
    ^[ \t]*@[\w.]+(?:\(.*\))?[ \t]*\n
    (?=(?:[ \t]*@.*\n){0,9}[ \t]*(?:async[ \t]+def|def|class)\b)
    """
)
# No `@` of an address, a URL, a package (`@scope/name`) or a matrix product (`a@b`).
_AT: Final = re.compile(r"(?<![\w@/.)\]])@([^\W\d]\w*)(?![\w/@])")
_NEAR: Final = 0.75  # how alike an unknown name with `@` and a variable are that may be meant
_NAME: Final = re.compile(r"(?<![\w@])[^\W\d]\w*")
_DATA: Final = frozenset(
    {
        *("DataFrame", "Series", "LazyFrame", "Index", "ndarray", "Timestamp", "Timedelta"),
        *("list", "dict", "set", "frozenset", "tuple", "str", "bytes", "int", "float", "complex"),
        *("bool", "NoneType", "Counter", "defaultdict", "PosixPath", "Decimal", "Fraction"),
        *("int64", "float64", "bool_"),
    }
)


def lasting(namespace: Mapping[str, object]) -> frozenset[str]:
    """The variables that only change where code says so.

    A figure, a file, an iterator or a model does by being used.
    """
    return frozenset(
        name
        for name, value in list(namespace.items())
        if short_name(type(value)) in _DATA or not tells_data(value)
    )


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
    `OptionError`: a name that was chosen is no variable, or one with an `@` is near a variable.
    """
    known = {key: value for key, value in list(namespace.items()) if type(key) is str}
    plain = {key: value for key, value in known.items() if unasked is None or key in unasked}
    named, in_cells = at_names(prompt, known), []
    if choice == "auto":
        others = plainly_mentioned(prompt, plain)
        named += [name for name in others if not is_library_module(known[name])]
        names = (name for source in reversed(recent_sources) for name in used(source, plain))
        in_cells = [name for name in dict.fromkeys(names) if _is_worth_telling(known[name])]
    elif choice != "none":
        named += chosen(choice, known)
    named = list(dict.fromkeys(named))
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


def _is_worth_telling(value: object) -> bool:
    """Whether a value says more than the cell that made it: no code, and no plain number."""
    is_plain = type(value) in _PLAIN or (type(value) is str and len(value) <= _PLAIN_CHARS)
    return tells_data(value) and not is_plain


def mentioned(text: str, namespace: Mapping[str, object]) -> list[str]:
    """The variables that a text names: those with `@` first, then in their order.

    Without `@`, names with an underscore before them, what IPython defines, modules and words like
    "the" are meant only where they stand as code, in backticks. With `@` a name may not be near a
    variable that is meant: `OptionError`.
    """
    return list(dict.fromkeys([*at_names(text, namespace), *plainly_mentioned(text, namespace)]))


def at_names(text: str, namespace: Mapping[str, object]) -> list[str]:
    """The variables that a text names with `@`.

    `OptionError`: a name is none, and near one. A name that is near none is text.
    """
    return _existing((found[1] for found in _ats(text)), namespace, " for @{}", "", _NEAR)


def unknown_ats(text: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the names with `@` in a text that are no variables."""
    return [found[1] for found in _ats(text) if found[1] not in namespace]


def chosen(choice: str, namespace: Mapping[str, object]) -> list[str]:
    """The variables of a list like `a,b`; `OptionError` if there is no such variable."""
    names = (part.strip().removeprefix("@") for part in choice.split(","))
    hint = "--vars takes auto, none, or names: --vars df,x."
    return _existing(filter(None, names), namespace, "", hint)


def _existing(
    names: Iterable[str],
    namespace: Mapping[str, object],
    of: str,
    otherwise: str,
    least: float = 0.6,
) -> list[str]:
    found = list(dict.fromkeys(names))
    known = [one for one in namespace if not one.startswith("_") and one not in _IPYTHON]
    for name in found:
        if name not in namespace and (hint := nearest(name, known, otherwise, least=least)):
            raise OptionError(f"There is no variable {name!r}{of.format(name)}. {hint}")
    return [name for name in found if name in namespace]


def without_at(text: str, namespace: Mapping[str, object]) -> str:
    """A prompt in which `@name` is `name`, for variables; any other `@` stays."""
    for found in reversed([found for found in _ats(text) if found[1] in namespace]):
        text = text[: found.start()] + text[found.start() + 1 :]
    return text


def used(source: str, namespace: Mapping[str, object]) -> list[str]:
    """The variables that a cell uses or defines, in the order of its source.

    What is local to its functions does not count. Lines of magics are passed over; where the rest
    is no Python, every name in it counts.
    """
    tree = parse_cell(source)
    if tree is not None:
        names = [use.name for use in uses_in(tree)]
    else:
        names = _NAME.findall(cell_python(source))
    return [name for name in dict.fromkeys(names) if _is_told(name, namespace)]


def _is_told(name: str, namespace: Mapping[str, object]) -> bool:
    """Whether a name may mean a variable of the user's without a mark."""
    return (
        name in namespace
        and not name.startswith("_")
        and name not in _IPYTHON
        and not keyword.iskeyword(name)
        and namespace[name] is not getattr(builtins, name, namespace)
    )


def plainly_mentioned(text: str, namespace: Mapping[str, object]) -> list[str]:
    """The variables that a text names without `@`, which means nothing in it."""
    code = _spans(text, FENCE, _SPAN)
    names = {}
    for found in _NAME.finditer(text):
        name = found[0]
        if name in namespace and name not in names:
            is_word = _FUNCTION_WORDS.fullmatch(name) or type(namespace[name]) is ModuleType
            if _is_within(found, code) or (_is_told(name, namespace) and not is_word):
                names[name] = True
    return list(names)


def _ats(text: str) -> list[re.Match[str]]:
    return outside_code(_AT, text)


def outside_code(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Where a pattern with `@` stands outside of code."""
    code = _spans(text, FENCE, _SPAN, _DECORATORS)
    return [found for found in pattern.finditer(text) if not _is_within(found, code)]


def _spans(text: str, *patterns: re.Pattern[str]) -> list[tuple[int, int]]:
    return [found.span() for pattern in patterns for found in pattern.finditer(text)]


def _is_within(found: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    return any(start <= found.start() < end for start, end in spans)
