"""What names stand for: models with their options, and servers, where they may be asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.options import LOADING, EngineOptions, check_names
from jupyter_llm.engine.remote.address import Address, is_url
from jupyter_llm.errors import NotAllowedError, OptionError
from jupyter_llm.models.aliases import Alias, alias_name, aliases, give_alias, remove_alias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_llm.engine.project import Project

_OF_SERVERS = ("model", "api_key_env")
_ALLOWED = Remembered("server of a project", max_values=1000)


def server_of(model: object, options: Mapping[str, Any] | None = None) -> Address | None:
    """Where a model is asked for that a server has; None for one of this machine.

    It is called by the address of the server, `http://host:port/v1`, with `model=NAME` and
    `api_key_env=VARIABLE` behind it or in the options; or by a name that stands for that.
    """
    alias = aliases().get(model.lower()) if isinstance(model, str) else None
    named = model if alias is None else alias.model
    if not is_url(named):
        return None
    url, *words = str(named).split()
    said = dict(alias.options) if alias is not None else {}
    said |= {name: value for name, _, value in (word.partition("=") for word in words)}
    said |= options or {}
    for name in said:
        if name not in _OF_SERVERS:
            hint = nearest(name, _OF_SERVERS, f"There are: {', '.join(_OF_SERVERS)}.")
            raise OptionError(f"{name!r:.60} is not a server's option. {hint}")
    return Address(url, **said)


def default_server(project: Project) -> Address | None:
    """The server that is asked where nothing is chosen, if it is one.

    `NotAllowedError` says that a file beside the notebook names it, and nobody has allowed that.
    """
    from jupyter_llm.models.discover import chosen_by_default

    chosen, is_projects = chosen_by_default(project.model)
    address = server_of(chosen)
    if address is not None and is_projects and _ALLOWED.get(_leave(project, address)) is None:
        key = f" with the key in {address.api_key_env}" if address.api_key_env else ""
        raise NotAllowedError(
            f"{one_line(str(project.path))} has prompts, and what goes along with them, sent to "
            f"{address.host}{key}. Nothing was sent. `%llm /use --allow` allows it from now on, "
            "`%llm /use NAME` takes another model."
        )
    return address


def allow_server(project: Project) -> Address:
    """Let text be sent to the server that a project names, from now on."""
    if (address := server_of(project.model)) is None:
        raise OptionError("There is nothing to allow: no pyproject.toml here names a server.")
    _ALLOWED.put(_leave(project, address), "")
    return address


def _leave(project: Project, address: Address) -> str:
    """What leave is given for: another server, or another key, is asked about anew."""
    return "\n".join((str(project.path), address.url, address.api_key_env or ""))


def name_model(name: str, model: str | os.PathLike[str], options: Mapping[str, Any]) -> Alias:
    """Let a name stand for a model that is here, loaded with these options; or for a server's.

    A name that a model has by itself is kept for that one.
    """
    from jupyter_llm.models.discover import find_model, list_models  # reads files' headers

    name = alias_name(name)
    if (address := server_of(model, options)) is not None:
        taken: tuple[str, ...] = ()
        told = (("model", address.model), ("api_key_env", address.api_key_env))
        alias = Alias(address.url, tuple(pair for pair in told if pair[1]))
    else:
        check_names(options, EngineOptions, "a loading option")
        entry = find_model(model)
        own = {option: value for option, value in entry.options if option in LOADING}
        options = {**own, **options}
        checked = EngineOptions(**options)
        taken = entry.names
        pairs = tuple((key, getattr(checked, key)) for key in LOADING if key in options)
        alias = Alias(str(entry.path) if entry.source == "path" else entry.name, pairs)
    is_taken = name in taken or any(name in one.names for one in list_models())
    if is_taken and name not in aliases():
        raise OptionError(f"{name} is a model's own name. Choose another.")
    give_alias(name, alias)
    return alias


def unname_model(name: str) -> None:
    """Take a name back; `OptionError` if it stands for nothing."""
    if not remove_alias(name):
        hint = nearest(name, list(aliases()), "`%llm /alias` lists them.")
        raise OptionError(f"{name!r:.60} stands for no model. {hint}")
