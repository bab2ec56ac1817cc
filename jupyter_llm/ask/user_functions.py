"""Functions of the user that a model may call: their tools, and calls with checked arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from jupyter_llm.ask.tools import Tool, ToolCall, ToolUse, result_text, short_repr
from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.errors import OptionError


class UserFunction:
    """A function of the user, as a tool for a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Raise `OptionError` if a model cannot call the function."""
        from pydantic import PydanticUserError, TypeAdapter

        name = getattr(function, "__name__", "")
        if not inspect.isroutine(function) or not name.isidentifier():
            raise OptionError(f"tools= are functions with a name, not {short_repr(function)}.")
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
        self.key = function
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


class UserTool(Protocol):
    """A function of the user, or a tool of a server; the answer "always" is for one `key`."""

    tool: Tool
    key: Any

    def result(self, call: ToolCall) -> str:
        """Run a call, and return its result or its error as a bounded text."""


class UserTools:
    """What a model may call for a prompt; `confirm`: the user is asked before.

    Functions of the user, and all tools of MCP servers, by the names of the servers.
    """

    def __init__(
        self, functions: Iterable[Callable[..., Any] | str], *, confirm: bool = True
    ) -> None:
        """Raise `OptionError` if a model cannot call one of the functions."""
        if callable(functions) or isinstance(functions, str):
            raise OptionError("tools= is a list of functions. Put the function into a list: [f].")
        offered: list[UserTool] = []
        for one in functions:
            offered += _tools_of(one) if isinstance(one, str) else [UserFunction(one)]
        self.use = ToolUse(tools=[one.tool for one in offered])
        self.named = {one.tool.name: one for one in offered}
        self.confirm = confirm


def _tools_of(server: str) -> Sequence[UserTool]:
    from jupyter_llm.ask.mcp_servers import tools_of

    return tools_of(server)


def arguments_text(call: ToolCall) -> str:
    """Return all arguments of a call for the user, without control characters.

    The text is not cut, because the user consents to what it shows. The token limit bounds it.
    """
    try:
        arguments = json.loads(call.arguments or "{}")
        return plain(", ".join(f"{name}={value!r}" for name, value in arguments.items()))
    except (ValueError, AttributeError, RecursionError):
        return repr(call.arguments)
