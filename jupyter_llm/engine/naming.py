"""Names that the user gives to models and the options they are loaded with."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.options import EngineOptions, check_names
from jupyter_llm.errors import OptionError
from jupyter_llm.models.aliases import Alias, alias_name, aliases, give_alias, remove_alias
from jupyter_llm.models.discover import find_model

if TYPE_CHECKING:
    from collections.abc import Mapping


def name_model(name: str, model: str | os.PathLike[str], options: Mapping[str, Any]) -> Alias:
    """Let a name stand for a model that is here, loaded with these options.

    A name that stands for a model by itself is kept for that.
    """
    check_names(options, EngineOptions, "a loading option")
    entry = find_model(model)
    options = {**dict(entry.options), **options}
    checked = EngineOptions(**options)
    known = aliases()
    if (name := alias_name(name)) in entry.names and name not in known:
        raise OptionError(f"{name} is that model's own name. Choose another.")
    texts = {key: _plain(getattr(checked, key)) for key in _NAMES if key in options}
    alias = Alias(str(entry.path) if entry.source == "path" else entry.name, tuple(texts.items()))
    give_alias(name, alias)
    return alias


_NAMES = [field.name for field in fields(EngineOptions)]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str) else str(value)


def unname_model(name: str) -> None:
    """Take a name back; `OptionError` if it stands for nothing."""
    if not remove_alias(name):
        hint = nearest(name, list(aliases()), "`%llm /alias` lists them.")
        raise OptionError(f"{name!r:.60} stands for no model. {hint}")
