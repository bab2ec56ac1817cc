"""Names that the user gives to models and the options they are loaded with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.options import LOADING, EngineOptions, check_names
from jupyter_llm.errors import OptionError
from jupyter_llm.models.aliases import Alias, alias_name, aliases, give_alias, remove_alias
from jupyter_llm.models.discover import find_model, list_models

if TYPE_CHECKING:
    from collections.abc import Mapping


def name_model(name: str, model: str | os.PathLike[str], options: Mapping[str, Any]) -> Alias:
    """Let a name stand for a model that is here, loaded with these options.

    A name that a model has by itself is kept for that one.
    """
    check_names(options, EngineOptions, "a loading option")
    entry = find_model(model)
    own = {option: value for option, value in entry.options if option in LOADING}
    options = {**own, **options}
    checked = EngineOptions(**options)
    name = alias_name(name)
    is_taken = any(name in one.names for one in (entry, *list_models()))
    if is_taken and name not in aliases():
        raise OptionError(f"{name} is a model's own name. Choose another.")
    pairs = tuple((key, getattr(checked, key)) for key in LOADING if key in options)
    alias = Alias(str(entry.path) if entry.source == "path" else entry.name, pairs)
    give_alias(name, alias)
    return alias


def unname_model(name: str) -> None:
    """Take a name back; `OptionError` if it stands for nothing."""
    if not remove_alias(name):
        hint = nearest(name, list(aliases()), "`%llm /alias` lists them.")
        raise OptionError(f"{name!r:.60} stands for no model. {hint}")
