"""Methods that front ends call, each declared by its signature.

    @call("on a thread")
    def check(self, job: Job, /, number: int, sources: list[str]) -> list[CheckedData]:

The front end sends the method's name and its arguments by name; they are converted to the types of
the signature. A positional-only parameter receives the `Job` of a method that replies "on a
thread", and the request's id otherwise. `Calls` in labextension/src/connection/messages.ts declares
the same methods in TypeScript.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property, partial
from types import FunctionType
from typing import Any, Literal, TypeVar, get_type_hints

from msgspec import Struct, ValidationError, convert, defstruct
from msgspec.structs import asdict

from jupyter_llm.frontends.comm.messages import misunderstood

F = TypeVar("F", bound=Callable[..., Any])

ReplyTime = Literal["at once", "on a thread", "later"]


class Method:
    """A method that front ends may call.

    `replies`: "at once": the thread of the message runs the method and sends its result. "on a
    thread": a thread of its own does. "later": the method's owner sends the reply.
    """

    def __init__(self, function: Callable[..., Any], replies: ReplyTime) -> None:
        self.function = function
        self.replies = replies

    @cached_property
    def types(self) -> dict[str, Any]:
        """The types of the parameters, and of the result as `return`."""
        return get_type_hints(self.function)

    @cached_property
    def arguments(self) -> type[Struct]:
        """The arguments as one type."""
        _, *parameters = inspect.signature(self.function).parameters.values()
        fields: list[Any] = [
            (p.name, self.types[p.name], *(() if p.default is p.empty else (p.default,)))
            for p in parameters
            if p.kind is not p.POSITIONAL_ONLY
        ]
        return defstruct(self.function.__name__, fields, forbid_unknown_fields=True)

    @cached_property
    def has_context(self) -> bool:
        """Whether the method receives the request's id or the job."""
        _, *parameters = inspect.signature(self.function).parameters.values()
        return any(p.kind is p.POSITIONAL_ONLY for p in parameters)

    def bind(self, owner: object, arguments: object) -> Callable[[object], Any]:
        """Check the arguments; return a callable that takes the request's id or the job."""
        try:
            known = asdict(convert(arguments, self.arguments))
        except ValidationError:
            raise misunderstood(self.function.__name__) from None
        bound = partial(self.function, owner, **known)
        return bound if self.has_context else lambda _: bound()


METHODS: dict[object, Method] = {}


def call(replies: ReplyTime) -> Callable[[F], F]:
    """Let front ends call a method of a `Line` or a `Part`."""

    def declare(function: F) -> F:
        METHODS[function] = Method(function, replies)
        return function

    return declare


def methods_of(owner: object) -> dict[str, Method]:
    """Return those methods of an object that front ends may call, with their names as keys."""
    attributes = {name: getattr(type(owner), name) for name in dir(type(owner))}
    return {
        name: METHODS[function]
        for name, function in attributes.items()
        if isinstance(function, FunctionType) and function in METHODS
    }
