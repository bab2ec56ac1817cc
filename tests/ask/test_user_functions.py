"""Functions of the user become tools, and their calls end in a bounded text."""

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.ask.user_functions import UserFunction
from jupyter_llm.errors import OptionError


def add(a: int, b: int = 2) -> int:
    """Add two
    numbers.

    More.
    """
    return a + b


def result(function: Callable[..., object], arguments: str) -> str:
    return UserFunction(function).result(ToolCall(function.__name__, arguments))


def test_signature_and_docstring_describe_the_tool() -> None:
    tool = UserFunction(add).tool
    assert (tool.name, tool.description) == ("add", "Add two numbers.")
    assert tool.parameters["properties"]["a"]["type"] == "integer"
    assert tool.parameters["required"] == ["a"]


def test_valid_arguments_run_the_function() -> None:
    assert result(add, '{"a": 1}') == "3"


@pytest.mark.parametrize("arguments", ['{"a": "x"}', "{", "[1]", '{"c": 1}'])
def test_invalid_arguments_do_not_run_the_function(arguments: str) -> None:
    ran = []

    def probe(a: int) -> None:
        ran.append(a)

    assert "Error: " in result(probe, arguments)
    assert not ran


@pytest.mark.parametrize("error", [ValueError("no\nroom"), SystemExit("no room")])
def test_an_error_is_a_result_of_one_line(error: BaseException) -> None:
    def fail() -> None:
        raise error

    assert result(fail, "{}") == f"{type(error).__name__}: no room"


def test_an_interrupt_is_no_result() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result(fail, "{}")


class BadRepr:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("value", ["x" * 10**8, ["x" * 10**8] * 3, BadRepr(), [BadRepr()]])
def test_every_result_is_bounded(value: object) -> None:
    def make() -> object:
        return value

    assert 0 < len(result(make, "{}")) < 4100


async def later() -> None: ...


@pytest.mark.parametrize("function", [lambda: 1, later, 3, print, str.join])
def test_what_a_model_cannot_call_is_refused(function: Any) -> None:
    with pytest.raises(OptionError):
        UserFunction(function)
