"""Parses a model's name and its load options: `NAME n_ctx=8192`."""

from __future__ import annotations

import re
from typing import Any

from jupyter_llm.api import LLM
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.naming import server_of
from jupyter_llm.engine.options import EngineOptions, check_names
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.models.aliases import DEFAULT

REMOVE = "--remove"

# A name may contain blanks; in quotes, any character.
_LINE = re.compile(r"""\s*("[^"]*"|'[^']*'|.*?)\s*((?:(?<!\S)\w+=.*)?)""", re.DOTALL)
_PAIR = re.compile(r"""\s*(\w+)=("[^"]*"|'[^']*'|\S+)(?!\S)""")
_VALUES = {"true": True, "false": False, "none": None}


def typed_model(text: str, *others: str) -> tuple[str, dict[str, Any]]:
    """Return the name or path in a text, and the options after it.

    `others` are further allowed ones.
    """
    line = _LINE.fullmatch(text)
    assert line is not None  # a name may be any text
    rest = _PAIR.sub("", line[2]).strip()
    if rest:
        message = f"{rest[:40]!r} is no option to load a model with."
        raise MagicUsageError(message, "One is `n_ctx=8192`.")
    options = {name: _value(value) for name, value in _PAIR.findall(line[2])}
    loading = {name: value for name, value in options.items() if name not in others}
    name = line[1].strip("\"'")
    if server_of(name, loading) is None:
        check_names(loading, EngineOptions, "a loading option")
    return name, options


def overruled(llm: LLM, model: str | None) -> str:
    """Return a note if a setting makes prompts ask another model than the chosen one, or ""."""
    current = llm.current
    if model is None or current.resident_for(model) is current.resident:
        return ""
    return (
        f"Prompts here ask {model} all the same: `LLMMagics.model` or `ChatPanel(model=…)` is it."
    )


def _value(text: str) -> Any:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return _VALUES.get(text.lower(), text.strip("\"'"))


def alias(argument: str, llm: LLM) -> str:
    """List the user's names of models, give one, or delete one."""
    name, _, rest = argument.partition(" ")
    if not name:
        return _listed(llm)
    if rest.strip() == REMOVE:
        llm.alias(name, None)
        return f"{name} is no longer an alias."
    model, options = typed_model(rest)
    if not model:
        raise MagicUsageError(f"/alias {name} needs a model.", "`%llm /models` lists them.")
    llm.alias(name, model, **options)
    is_default = name.lower() == DEFAULT
    then = "It is used where nothing else is chosen." if is_default else f"`%llm /use {name}`."
    return f"**{name}** is an alias of {llm.aliases[name.lower()]}. {then}"


def _listed(llm: LLM) -> str:
    given = llm.aliases
    if not given:
        return "No model has another name yet. `%llm /alias coder MODEL` gives one."
    return markdown_table(("alias", "model"), [(n, str(alias)) for n, alias in given.items()])
