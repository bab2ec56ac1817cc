"""Summaries of values: from `_ai_repr_`, `_repr_llm_`, the registry, our kinds, or `repr`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import Any, Final, NamedTuple, TypeVar, overload

from jupyter_llm.common.controls import one_line
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.values import containers, definitions, tables
from jupyter_llm.notebook.values.guard import Deadline, NoAnswerError, ask, is_user_code_off
from jupyter_llm.notebook.values.kinds import Kind, Reading, cut, type_name
from jupyter_llm.notebook.values.peek import (
    class_attribute,
    is_a,
    library_types,
    mro,
    own_package,
    qualified_name,
    text_keys,
    text_of,
)
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import HIDDEN, is_concealed, looks_secret

MAX_CHARS: Final = 600
DEADLINE_S: Final = 0.2
_LEAST_CHARS: Final = 40  # less is too short for a summary

SummaryFunction = Callable[[Any, int], str]
_Registered = TypeVar("_Registered", bound=SummaryFunction)

_OF_LIBRARIES: Final = tables.TABLES | {("os", "_Environ"): containers.ENVIRONMENT}
_OF_OWN_CLASSES: Final = tables.OWN_TABLES | containers.OWN_OBJECTS

# By name, or by id, since a metaclass may have its own `__hash__`. The type is kept so that its id
# stays valid.
_registry: dict[int | str, tuple[SummaryFunction, type | str]] = {}


@overload
def register(kind: type | str, function: _Registered) -> _Registered: ...
@overload
def register(kind: type | str) -> Callable[[_Registered], _Registered]: ...
def register(kind: type | str, function: Any = None) -> Any:
    """Register the function that summarizes values of a type; also usable as a decorator.

    The function gets a value and the available number of characters, and returns a text. `kind` is
    a type, or the qualified name of one that is not imported yet:
    `register("shapely.geometry.polygon.Polygon", …)`. It applies to derived types as well. A later
    registration replaces an earlier one.

    Raises
    ------
    OptionError
        The kind is no type, or the function is not callable.
    """
    if function is None:
        return lambda function: register(kind, function)
    if not callable(function):
        raise OptionError(f"register takes a function of a value and its room, not {function!r}.")
    if type(kind) is not str and not is_a(kind, type):
        raise OptionError(f"register takes a type or its qualified name, not {type_name(kind)}.")
    _registry[kind if type(kind) is str else id(kind)] = function, kind
    return function


def summarize(
    name: str, value: object, *, max_chars: int = MAX_CHARS, deadline_s: float = DEADLINE_S
) -> str:
    """Return the summary of a variable for prompts: one line, and more if there is more content.

    It has at most `max_chars`, with a note of any cut. The user's own code gets at most
    `deadline_s`. Only the user's interrupt is raised.
    """
    start = f"{cut(name, 80)}: "
    try:
        reading = Reading(max(0, max_chars - len(start)), Deadline(deadline_s), kind_of)
        if is_concealed(name, value) or reading.hides(name, value):
            text = f"{HIDDEN} ({type_name(value)})"
        else:
            text = scrub(_summary(value, reading))
    except Exception as error:  # noqa: BLE001 a broken value must not fail the prompt
        text = f"{type_name(value)} (not readable: {qualified_name(type(error))})"
    return cut(start + text, max_chars)


class Summary(NamedTuple):
    """The summary of a variable; the text begins with its name."""

    name: str
    text: str


class SummaryBudget:
    """Room and time for the summaries of several variables."""

    def __init__(self, max_chars: int, deadline_s: float) -> None:
        self._max_chars = max_chars
        self._deadline = Deadline(deadline_s)

    def summarize(self, name: str, value: object, max_chars: int = MAX_CHARS) -> Summary | None:
        """Return the summary of a variable, None if there is no room left."""
        if self._max_chars <= _LEAST_CHARS:
            return None
        # Half of the remaining time, so that one slow value leaves time for the others.
        within_s = min(DEADLINE_S, self._deadline.left_s / 2)
        most = min(max_chars, self._max_chars - 1)
        text = summarize(name, value, max_chars=most, deadline_s=within_s)
        self._max_chars -= len(text) + 1
        return Summary(name, text)


def headline(name: str, value: object, *, max_chars: int) -> str:
    """Describe a variable in one line without its name; none of the user's code is run."""
    text = type_name(value)
    with suppress(Exception):  # the value may be broken
        kind = kind_of(value)
        may_describe = not (is_user_code_off() and _own_code(value))
        if may_describe and kind is not None and not is_hidden(name, value):
            text = one_line(kind.head(value, Reading(max_chars, Deadline(0), kind_of)))
    return cut(text, max_chars)


def kind_of(value: object) -> Kind | None:
    """Return the functions that summarize a value; None if only its own `repr` can describe it."""
    if kind := definitions.definition_kind(value):
        return kind
    own = own_package(value)
    for package, name, _ in library_types(type(value)):
        if (package, name) == ("enum", "Enum"):
            return None
        if package == own and (kind := _OF_OWN_CLASSES.get((package, name))):
            return kind
        if kind := _OF_LIBRARIES.get((package, name)):
            return kind
    others = (containers.record_kind, containers.builtin_kind, containers.object_kind)
    return next(filter(None, (find_kind(value) for find_kind in others)), None)


def is_hidden(name: str, value: object) -> bool:
    """Whether a variable is hidden by its name, its object or its cell."""
    return is_concealed(name, value) or (looks_secret(name) and holds_data(value))


def holds_data(value: object) -> bool:
    """Whether a value holds data, unlike functions and modules."""
    kind = kind_of(value)
    return kind is None or kind.holds_data


def _summary(value: object, reading: Reading) -> str:
    """Return the summary by the value's own code, or else by its kind."""
    cls, calls = type(value), _own_code(value, reading.max_chars)
    if calls and is_user_code_off():  # they might omit something private
        return f"{type_name(value)} (described by its own code, which was not run)"
    for call in calls:
        with suppress(NoAnswerError):
            text = ask(partial(_text_from, call), cls, reading.deadline.left_s)
            if text := reading.tidy(text):
                return text
    return reading.summary(value)


def _own_code(value: object, room: int = 0) -> tuple[Callable[[], object], ...]:
    """Return the calls of the user's code that summarize a value, if there are any."""
    return (*_hooks(value), *_registered(value, room))


def _hooks(value: object) -> Iterator[Callable[[], object]]:
    """Yield the summarizing methods of a value's class, except asynchronous ones."""
    for name in ("_ai_repr_", "_repr_llm_"):
        hook = class_attribute(type(value), name)
        if type(hook) is FunctionType and not hook.__code__.co_flags & inspect.CO_COROUTINE:
            yield partial(hook, value)


def _registered(value: object, room: int) -> Iterator[Callable[[], object]]:
    """Yield the function registered for the nearest of a value's classes."""
    for entry in mro(type(value)):
        if registered := _registry.get(id(entry)) or _registry.get(qualified_name(entry)):
            yield partial(registered[0], value, room)
            return


def _text_from(call: Callable[[], object]) -> str:
    """Return the text that a call returns.

    From a MIME bundle, take `text/plain`, else `text/markdown`. Return "" if there is no text.
    """
    answer = call()
    if inspect.iscoroutine(answer):
        answer.close()  # or it warns that it was never awaited
    bundle = text_keys(answer)
    for mime in ("text/plain", "text/markdown"):
        if text := text_of(bundle.get(mime)):
            return text
    return text_of(answer)
