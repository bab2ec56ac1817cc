"""Reads the shape of an answer, or functions to call, from options: names, or the short form."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_origin

from jupyter_llm.ask.question import SHAPING
from jupyter_llm.ask.shape import Shape
from jupyter_llm.common.expressions import evaluated
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.tokens import NUM_OTHERS
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.frontends.prompt.options import SAMPLING, Options

if TYPE_CHECKING:
    from jupyter_llm.ask.user_functions import UserTools

_NAMES = ", ".join(f"--{name}" for name in SHAPING)


def check_in_chat(typed: Mapping[str, Any]) -> None:
    """Raise `MagicUsageError` for options that a prompt in a chat cannot have."""
    for name, value in typed.items():
        if name not in (*SHAPING, *SAMPLING) and (name, value) != ("format", "json"):
            raise MagicUsageError(
                f"--{name.replace('_', '-')} is an option of cells.",
                f"A prompt in a chat may begin with {_NAMES}; after `-- ` all is prompt.",
            )


def typed_shape(
    typed: Mapping[str, Any],
    options: Options,
    namespace: Mapping[str, Any],
    evaluate: Callable[[str], Any],
) -> tuple[Shape[Any] | None, Options]:
    """Return the shape that a line requests, None without one, and the adjusted options."""
    shape = written_shape(typed, namespace, evaluate)
    if options.map and options.show_tokens:
        raise MagicUsageError("--show-tokens shows one answer, and --map asks for one a row.")
    makes_cells = typed.get("format") == "code" or options.below or options.replace
    if makes_cells and (shape or options.map or options.show_tokens):
        subject = "A shape" if shape else "--map" if options.map else "--show-tokens"
        raise MagicUsageError(f"{subject} cannot be used with -f code, --below or --replace.")
    if options.show_tokens:
        options = replace(options, params=replace(options.params, logprobs=NUM_OTHERS))
    if shape is None and options.format == "json":
        from jupyter_llm.ask.shape import shape_of

        return replace(shape_of(dict | list), instruction="Answer with JSON."), options
    if shape is not None:
        is_code = options.format == "code"  # by default: a value is requested all the same
        return shape, replace(options, format="json") if is_code else options
    if typed.get("reason"):
        raise MagicUsageError("--reason comes before a shape.", f"Give one: {_NAMES}.")
    return None, replace(options, params=replace(options.params, reason=0))


def written_shape(
    typed: Mapping[str, Any], namespace: Mapping[str, Any], evaluate: Callable[[str], Any] = eval
) -> Shape[Any] | None:
    """Return the shape that options describe or name; None without such options."""
    parameters: dict[str, Any] = {}
    for name in SHAPING:
        if (text := typed.get(name)) is not None:
            value = _value(text.strip(), namespace, evaluate) if name != "regex" else None
            parameters[name] = value if _is_shape(name, value) else text
            if name == "choices" and parameters[name] is text and "," not in text:
                hint = "Name a list, or write several with commas between."
                raise MagicUsageError(f"--choices has one text, {text!r}.", hint)
    if not parameters:
        return None
    from jupyter_llm.ask.shape import shape_of  # brings Pydantic

    return shape_of(**parameters)


def named_tools(
    names: str | None, namespace: Mapping[str, Any], *, is_draft: bool
) -> UserTools | None:
    """Return the functions with these names, separated by commas; None without names."""
    if not names:
        return None
    if is_draft:
        raise OptionError("Functions are read when the prompt is sent.")
    from jupyter_llm.ask.mcp_servers import server_names
    from jupyter_llm.ask.user_functions import UserTools

    servers = server_names()
    for name in names.split(","):
        if name not in namespace and name not in servers:
            functions = [one for one, value in namespace.items() if inspect.isfunction(value)]
            hint = nearest(name, functions + servers, "Run the cell that defines it first.")
            raise MagicUsageError(f"There is no function {name}.", hint)
    return UserTools([namespace.get(name, name) for name in names.split(",")])


def _is_shape(name: str, value: object) -> bool:
    """Whether a value is a shape, unlike a variable that only has the same name as a text."""
    if name == "schema":
        return isinstance(value, type | Mapping) or get_origin(value) is not None
    if name == "choices":
        return isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return isinstance(value, str)


def _value(text: str, namespace: Mapping[str, Any], evaluate: Callable[[str], Any]) -> object:
    """Return the value of `Person`, `list[int]` or `["a", "b"]`; None for other texts."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return None
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    is_short_form = isinstance(tree.body, ast.Tuple) or any(isinstance(n, ast.Call) for n in nodes)
    has_names = names <= {*vars(builtins), *namespace}
    return evaluated(text, evaluate) if has_names and not is_short_form else None
