"""Resolves names: models with their options, and servers with the permission to send text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.options import LOADING, EngineOptions, check_names
from jupyter_llm.engine.project import Project
from jupyter_llm.engine.remote.address import Address, is_url
from jupyter_llm.errors import NotAllowedError, OptionError
from jupyter_llm.models.aliases import Alias, alias_name, aliases, give_alias, remove_alias

_OF_SERVERS = ("model", "api_key_env")
_ALLOWED = Remembered("server of a project", max_values=1000)


def server_of(model: object, options: Mapping[str, Any] | None = None) -> Address | None:
    """Return the address of a server's model; None for a model on this machine.

    A name is the server's address, `http://host:port/v1`, followed by `model=NAME` and
    `api_key_env=VARIABLE` (or these as options), or an alias for that.
    """
    alias = aliases().get(model.lower()) if isinstance(model, str) else None
    named = model if alias is None else alias.model
    if not is_url(named):
        return None
    url, *words = str(named).split()
    settings = dict(alias.options) if alias is not None else {}
    settings |= {name: value for name, _, value in (word.partition("=") for word in words)}
    settings |= options or {}
    for name in settings:
        if name not in _OF_SERVERS:
            hint = nearest(name, _OF_SERVERS, f"There are: {', '.join(_OF_SERVERS)}.")
            raise OptionError(f"{name!r:.60} is not a server's option. {hint}")
    return Address(url, **settings)


def default_server(project: Project) -> Address | None:
    """Return the server to ask if no model is chosen, None for a local model.

    `NotAllowedError`: a file beside the notebook names the server, and the user has not allowed it.
    """
    from jupyter_llm.models.discover import chosen_by_default

    chosen, is_projects = chosen_by_default(project.model)
    address = server_of(chosen)
    if address is not None and is_projects and _ALLOWED.get(_permission(project, address)) is None:
        key = f" with the key in {address.api_key_env}" if address.api_key_env else ""
        raise NotAllowedError(
            f"{one_line(str(project.path))} sends prompts, and the cells and variables in them, to "
            f"{address.host}{key}. Nothing was sent. `%llm /use --allow` allows it from now on, "
            "`%llm /use NAME` takes another model."
        )
    return address


def allow_server(project: Project) -> Address:
    """Allow text to be sent to the server that a project names, from now on."""
    if (address := server_of(project.model)) is None:
        raise OptionError("There is nothing to allow: no pyproject.toml here names a server.")
    _ALLOWED.put(_permission(project, address), "")
    return address


def _permission(project: Project, address: Address) -> str:
    """Return the key of a permission; another server or another key needs a new one."""
    return "\n".join((str(project.path), address.url, address.api_key_env or ""))


def name_model(name: str, model: str | os.PathLike[str], options: Mapping[str, Any]) -> Alias:
    """Give a name to a local model with load options, or to a server's model.

    A model's own name cannot be given to another.
    """
    from jupyter_llm.models.discover import find_model, list_models  # reads files' headers

    name = alias_name(name)
    if (address := server_of(model, options)) is not None:
        own_names: tuple[str, ...] = ()
        settings = (("model", address.model), ("api_key_env", address.api_key_env))
        alias = Alias(address.url, tuple(pair for pair in settings if pair[1]))
    else:
        check_names(options, EngineOptions, "a loading option")
        entry = find_model(model)
        own = {option: value for option, value in entry.options if option in LOADING}
        options = {**own, **options}
        checked = EngineOptions(**options)
        own_names = entry.names
        pairs = tuple((key, getattr(checked, key)) for key in LOADING if key in options)
        alias = Alias(str(entry.path) if entry.source == "path" else entry.name, pairs)
    is_used = name in own_names or any(name in one.names for one in list_models())
    if is_used and name not in aliases():
        raise OptionError(f"{name} is a model's own name. Choose another.")
    give_alias(name, alias)
    return alias


def unname_model(name: str) -> None:
    """Delete an alias of a model; raise `OptionError` if there is none with this name."""
    if not remove_alias(name):
        hint = nearest(name, list(aliases()), "`%llm /alias` lists them.")
        raise OptionError(f"{name!r:.60} is no alias. {hint}")
