"""Functions of the user that a model may call: their tools, and calls with checked arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from reprlib import Repr
from typing import Any

from jupyter_llm.ask.tools import Tool, ToolCall, ToolUse
from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.errors import OptionError

_MOST_CHARS = 4000  # of a result
_REPR = Repr()
_REPR.maxlevel, _REPR.maxother = 4, 400
_REPR.maxstring = _REPR.maxlong = 400
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 20


class UserFunction:
    """A function of the user, as a tool for a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Raise `OptionError` if a model cannot call the function."""
        from pydantic import PydanticUserError, TypeAdapter

        name = getattr(function, "__name__", "")
        if not inspect.isroutine(function) or not name.isidentifier():
            raise OptionError(f"tools= are functions with a name, not {_REPR.repr(function)}.")
        if inspect.iscoroutinefunction(function):
            raise OptionError(f"{name}() is async. Give tools= a function that returns its result.")
        try:
            kind: Any = function
            self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
            schema = self._adapter.json_schema()
        except (PydanticUserError, NameError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise OptionError(f"{name}() cannot be a tool: {reason}.") from None
        if schema.get("type") != "object":
            raise OptionError(f"{name}() cannot be a tool: it takes no arguments by their names.")
        text = inspect.cleandoc(function.__doc__ or "")
        self.function = function
        self.tool = Tool(name=name, description=one_line(text.split("\n\n")[0]), parameters=schema)

    def result(self, call: ToolCall) -> str:
        """Run a call, and return its result or its error as a bounded text.

        The function does not run if the arguments are invalid.
        """
        from pydantic_core import ArgsKwargs

        try:
            arguments = json.loads(call.arguments or "{}")
            if not isinstance(arguments, dict):
                return "TypeError: the arguments are a JSON object"
            return result_text(self._adapter.validate_python(ArgsKwargs((), arguments)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 the model reads it
            try:
                reason = one_line(str(error))
            except Exception:  # noqa: BLE001 a bad __str__
                reason = ""
            return result_text(f"{type(error).__name__}: {reason}".rstrip(": "))


class UserTools:
    """The functions that a model may call for a prompt; `confirm`: the user is asked before."""

    def __init__(self, functions: Iterable[Callable[..., Any]], *, confirm: bool = True) -> None:
        """Raise `OptionError` if a model cannot call one of the functions."""
        if callable(functions):
            raise OptionError("tools= is a list of functions. Put the function into a list: [f].")
        offered = [UserFunction(function) for function in functions]
        self.use = ToolUse(tools=[one.tool for one in offered])
        self.named = {one.tool.name: one for one in offered}
        self.confirm = confirm


def arguments_text(call: ToolCall) -> str:
    """Return all arguments of a call for the user, without control characters.

    The text is not cut, because the user consents to what it shows. The token limit bounds it.
    """
    try:
        arguments = json.loads(call.arguments or "{}")
        return plain(", ".join(f"{name}={value!r}" for name, value in arguments.items()))
    except (ValueError, AttributeError, RecursionError):
        return repr(call.arguments)


def result_text(value: object) -> str:
    """Return a value as a bounded text for a model."""
    text = value if isinstance(value, str) else _REPR.repr(value)
    if len(text) <= _MOST_CHARS:
        return text
    return f"{text[:_MOST_CHARS]}\n({len(text) - _MOST_CHARS:,} more characters)"
