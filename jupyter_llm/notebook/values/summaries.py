"""What a model is told of a value: `_ai_repr_`, `_repr_llm_`, the registry, our kinds, `repr`."""

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
from jupyter_llm.notebook.values.guard import Deadline, NoAnswerError, ask, is_asking_nobody
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
_LEAST_CHARS: Final = 40  # less is no summary

SummaryFunction = Callable[[Any, int], str]
_Registered = TypeVar("_Registered", bound=SummaryFunction)

_OF_LIBRARIES: Final = tables.TABLES | {("os", "_Environ"): containers.ENVIRONMENT}
_OF_OWN_CLASSES: Final = tables.OWN_TABLES | containers.OWN_OBJECTS

# By name, or by id, since a metaclass may have its own `__hash__`; types are kept, as their ids.
_registry: dict[int | str, tuple[SummaryFunction, type | str]] = {}


@overload
def register(kind: type | str, function: _Registered) -> _Registered: ...
@overload
def register(kind: type | str) -> Callable[[_Registered], _Registered]: ...
def register(kind: type | str, function: Any = None) -> Any:
    """Let a function tell the model what values of a type are; use it as a decorator, too.

    The function gets a value and the number of characters there is room for, and returns a text.
    `kind` is a type or its qualified name, for one that is not imported yet:
    `register("shapely.geometry.polygon.Polygon", …)`. It counts for derived types as well, and what
    is registered later takes the place of what was.

    Raises
    ------
    OptionError
        The kind is no type, or the function cannot be called.
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
    """What a model is told of a variable: a line, and more lines where there is more.

    It is never longer than `max_chars`, and says what was cut. What the user's own code has to say
    is waited for `deadline_s` at most. Nothing is raised but what the user's interrupt raises.
    """
    start = f"{cut(name, 80)}: "
    try:
        reading = Reading(max(0, max_chars - len(start)), Deadline(deadline_s), kind_of)
        if is_concealed(name, value) or reading.hides(name, value):
            text = f"{HIDDEN} ({type_name(value)})"
        else:
            text = scrub(_told(value, reading))
    except Exception as error:  # noqa: BLE001  a broken value is no reason to lose the prompt
        text = f"{type_name(value)} (not readable: {qualified_name(type(error))})"
    return cut(start + text, max_chars)


class Summary(NamedTuple):
    """What a model is told of a variable; the text begins with its name."""

    name: str
    text: str


class Room:
    """Room for the summaries of several variables, and time for all of them."""

    def __init__(self, max_chars: int, deadline_s: float) -> None:
        self._max_chars = max_chars
        self._deadline = Deadline(deadline_s)

    def tell(self, name: str, value: object, max_chars: int = MAX_CHARS) -> Summary | None:
        """What a model is told of a variable, or None where there is no more room."""
        if self._max_chars <= _LEAST_CHARS:
            return None
        # Half of the time that is left: whoever hangs does not keep the others from being asked.
        within_s = min(DEADLINE_S, self._deadline.left_s / 2)
        most = min(max_chars, self._max_chars - 1)
        text = summarize(name, value, max_chars=most, deadline_s=within_s)
        self._max_chars -= len(text) + 1
        return Summary(name, text)


def headline(name: str, value: object, *, max_chars: int) -> str:
    """In one line what a variable is, without its name; no code of the user's is run."""
    told = type_name(value)
    with suppress(Exception):  # a broken value is a value, too
        kind = kind_of(value)
        is_told = not (is_asking_nobody() and _own_words(value))
        if is_told and kind is not None and not is_hidden(name, value):
            told = one_line(kind.head(value, Reading(max_chars, Deadline(0), kind_of)))
    return cut(told, max_chars)


def kind_of(value: object) -> Kind | None:
    """How a value is told, or None if only its own `repr` knows."""
    if found := definitions.definition_kind(value):
        return found
    own = own_package(value)
    for package, name, _ in library_types(type(value)):
        if (package, name) == ("enum", "Enum"):
            return None
        if package == own and (kind := _OF_OWN_CLASSES.get((package, name))):
            return kind
        if kind := _OF_LIBRARIES.get((package, name)):
            return kind
    others = (containers.record_kind, containers.builtin_kind, containers.object_kind)
    return next(filter(None, (kind_of_one(value) for kind_of_one in others)), None)


def is_hidden(name: str, value: object) -> bool:
    """Whether a variable is hidden by its name, its object or its cell."""
    return is_concealed(name, value) or (looks_secret(name) and tells_data(value))


def tells_data(value: object) -> bool:
    """Whether a value holds data, and not only code as functions and modules do."""
    kind = kind_of(value)
    return kind is None or kind.holds_data


def _told(value: object, reading: Reading) -> str:
    """What somebody has said is to be told of a value, or else what is told of its kind."""
    cls, calls = type(value), _own_words(value, reading.max_chars)
    if calls and is_asking_nobody():  # what they would leave out is left out
        return f"{type_name(value)} (its own code, which was not asked, tells of it)"
    for call in calls:
        with suppress(NoAnswerError):
            told = ask(partial(_text_from, call), cls, reading.deadline.left_s)
            if text := reading.tidy(told):
                return text
    return reading.whole(value)


def _own_words(value: object, room: int = 0) -> tuple[Callable[[], object], ...]:
    """What says in words of its own what is to be told of a value, if anything does."""
    return (*_hooks(value), *_registered(value, room))


def _hooks(value: object) -> Iterator[Callable[[], object]]:
    """Yield the methods of a value's class that say it, but no asynchronous ones."""
    for name in ("_ai_repr_", "_repr_llm_"):
        hook = class_attribute(type(value), name)
        if type(hook) is FunctionType and not hook.__code__.co_flags & inspect.CO_COROUTINE:
            yield partial(hook, value)


def _registered(value: object, room: int) -> Iterator[Callable[[], object]]:
    """Yield the function that was registered for the nearest of a value's classes."""
    for entry in mro(type(value)):
        if found := _registry.get(id(entry)) or _registry.get(qualified_name(entry)):
            yield partial(found[0], value, room)
            return


def _text_from(call: Callable[[], object]) -> str:
    """The text that a call gives, or the text in a bundle by MIME type."""
    answer = call()
    if inspect.iscoroutine(answer):
        answer.close()  # it would warn that nobody awaited it
    bundle = text_keys(answer)
    for mime in ("text/plain", "text/markdown"):
        if text := text_of(bundle.get(mime)):
            return text
    return text_of(answer)
