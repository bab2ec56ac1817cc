"""The notebook's variables: those that a prompt refers to, and their summaries.

A prompt names variables, with or without `@`, or cells use them.
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
from jupyter_llm.notebook.values.peek import is_llm, is_named_only, short_name
from jupyter_llm.notebook.values.summaries import Summary, SummaryBudget, holds_data
from jupyter_llm.notebook.values.tables import column_labels

_PLAIN: Final = (type(None), bool, int, float, complex)
_PLAIN_CHARS: Final = 80
_CELL_CHARS: Final = 160  # of a variable that only cells use: a short description
_TABLE_CHARS: Final = 320  # of a table, because code needs the names of its columns
# IPython's own names.
_IPYTHON: Final = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
# Function words: in prose they do not refer to a variable with that name.
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
_NEAR: Final = 0.75  # similarity above which an unknown `@name` counts as a misspelt variable
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
    """Return the variables that change only if code assigns or mutates them.

    A figure, a file, an iterator or a model changes by being used.
    """
    return frozenset(
        name
        for name, value in list(namespace.items())
        if short_name(type(value)) in _DATA or not holds_data(value)
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
    """Return the summaries of the variables to include, within room and time for all.

    `choice` is `auto`, `none`, or names: `a,b`. `auto` includes the variables that the prompt
    names, and those with data in the recent cells, the latest cell first and shorter. An `@name` in
    the prompt always counts. Named variables get room first.

    The order lets the beginning of a prompt stay the same while it is typed: first the variables of
    cells with short summaries, then the named ones in the prompt's order.

    If `unasked` is given, only those variables are included without an `@` or a choice. Modules of
    libraries and `llm` need an `@` or a choice, too.

    `OptionError`: a chosen name is no variable, or an `@name` is unknown and similar to a variable.
    """
    variables = {key: value for key, value in list(namespace.items()) if type(key) is str}
    plain = {key: value for key, value in variables.items() if unasked is None or key in unasked}
    named, in_cells = at_names(prompt, variables), []
    if choice == "auto":
        others = plainly_mentioned(prompt, plain)
        named += [name for name in others if not is_named_only(variables[name])]
        names = (name for source in reversed(recent_sources) for name in used(source, plain))
        in_cells = [name for name in dict.fromkeys(names) if _is_informative(variables[name])]
    elif choice != "none":
        named += chosen(choice, variables)
    named = list(dict.fromkeys(named))
    room = SummaryBudget(max_chars, deadline_s)
    summaries = {name: room.summarize(name, variables[name]) for name in named}
    few = {name: _few_chars(variables[name]) for name in in_cells}
    summaries |= {
        name: room.summarize(name, variables[name], few[name])
        for name in few
        if name not in summaries
    }
    # Summaries that no prompt changes come first, so they can be prefilled before the prompt is
    # sent.
    unchanged = [name for name in few if (one := summaries[name]) and len(one.text) <= few[name]]
    ordered = dict.fromkeys([*unchanged, *sorted(named, key=prompt.find)])
    return [summary for name in ordered if (summary := summaries[name]) is not None]


def _few_chars(value: object) -> int:
    return _CELL_CHARS if column_labels(value) is None else _TABLE_CHARS


def _is_informative(value: object) -> bool:
    """Whether a value is neither code nor a plain number, which its cell shows anyway."""
    is_plain = type(value) in _PLAIN or (type(value) is str and len(value) <= _PLAIN_CHARS)
    return holds_data(value) and not is_plain


def mentioned(text: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the variables that a text names: those with `@` first, then by position.

    Some names count only as code in backticks, unless they have an `@`: names with a leading
    underscore, IPython's names, modules, and words like "the". `OptionError`: an `@name` is unknown
    and similar to a variable.
    """
    return list(dict.fromkeys([*at_names(text, namespace), *plainly_mentioned(text, namespace)]))


def at_names(text: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the variables that a text names with `@`.

    `OptionError`: a name is unknown and similar to a variable. Other unknown names are text.
    """
    return _existing((match[1] for match in _ats(text)), namespace, " for @{}", "", _NEAR)


def unknown_ats(text: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the names with `@` in a text that are no variables."""
    return [match[1] for match in _ats(text) if match[1] not in namespace]


def chosen(choice: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the variables of a list like `a,b`; `OptionError` if one does not exist."""
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
    unique = list(dict.fromkeys(names))
    candidates = [one for one in namespace if not one.startswith("_") and one not in _IPYTHON]
    for name in unique:
        if name not in namespace and (hint := nearest(name, candidates, otherwise, least=least)):
            raise OptionError(f"There is no variable {name!r}{of.format(name)}. {hint}")
    return [name for name in unique if name in namespace]


def without_at(text: str, namespace: Mapping[str, object]) -> str:
    """Return a prompt without the `@` before variables; any other `@` stays."""
    for match in reversed([match for match in _ats(text) if match[1] in namespace]):
        text = text[: match.start()] + text[match.start() + 1 :]
    return text


def used(source: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the variables that a cell uses or defines, in the order of its source.

    Local names of functions do not count, nor do lines of magics. If the rest is invalid Python,
    all its names count.
    """
    tree = parse_cell(source)
    if tree is not None:
        names = [use.name for use in uses_in(tree)]
    else:
        names = _NAME.findall(cell_python(source))
    return [name for name in dict.fromkeys(names) if _may_refer(name, namespace)]


def _may_refer(name: str, namespace: Mapping[str, object]) -> bool:
    """Whether a name without `@` or backticks may refer to a variable of the user's."""
    return (
        name in namespace
        and not name.startswith("_")
        and name not in _IPYTHON
        and not keyword.iskeyword(name)
        and namespace[name] is not getattr(builtins, name, namespace)
    )


def plainly_mentioned(text: str, namespace: Mapping[str, object]) -> list[str]:
    """Return the variables that a text names without `@`."""
    code = _spans(text, FENCE, _SPAN)
    names = {}
    for match in _NAME.finditer(text):
        name = match[0]
        if name in namespace and name not in names:
            value = namespace[name]
            is_word = _FUNCTION_WORDS.fullmatch(name) or type(value) is ModuleType or is_llm(value)
            if _is_within(match, code) or (_may_refer(name, namespace) and not is_word):
                names[name] = True
    return list(names)


def _ats(text: str) -> list[re.Match[str]]:
    return outside_code(_AT, text)


def outside_code(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return the matches of a pattern with `@` outside of code."""
    code = _spans(text, FENCE, _SPAN, _DECORATORS)
    return [match for match in pattern.finditer(text) if not _is_within(match, code)]


def _spans(text: str, *patterns: re.Pattern[str]) -> list[tuple[int, int]]:
    return [match.span() for pattern in patterns for match in pattern.finditer(text)]


def _is_within(match: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    return any(start <= match.start() < end for start, end in spans)
