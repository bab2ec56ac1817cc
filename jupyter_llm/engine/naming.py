"""Names that the user gives to models, and the options they are loaded or asked for with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.options import LOADING, EngineOptions, check_names
from jupyter_llm.engine.remote.address import Address, is_url
from jupyter_llm.errors import OptionError
from jupyter_llm.models.aliases import Alias, alias_name, aliases, give_alias, remove_alias

if TYPE_CHECKING:
    from collections.abc import Mapping


_OF_SERVERS = ("model", "api_key_env")


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
    if "api_key" in said:
        raise OptionError(
            "A key is not typed, since the notebook would keep it. Put it into an environment "
            "variable, and name that: api_key_env='MY_KEY'."
        )
    for name in said:
        if name not in _OF_SERVERS:
            hint = nearest(name, _OF_SERVERS, f"There are: {', '.join(_OF_SERVERS)}.")
            raise OptionError(f"{name!r:.60} is not a server's option. {hint}")
    return Address(url, **said)


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
