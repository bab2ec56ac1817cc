"""A model's server and name, as a value without secrets."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from jupyter_llm.errors import OptionError, ServerError

_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")  # no key has this form


@dataclass(frozen=True, slots=True)
class Address:
    """A model on a server that speaks OpenAI's protocol.

    `url` is the protocol's base address, as `http://localhost:8080/v1`. An empty `model` means the
    only one of the server. `api_key_env` names the environment variable, or the keyring's entry,
    with the server's key; the key is read at each request.
    """

    url: str
    model: str = ""
    api_key_env: str | None = None

    def __post_init__(self) -> None:
        """Raise `OptionError` if this is no server's address, or may contain a secret."""
        try:
            parts = urlsplit(str(self.url).strip())
            is_sound = is_url(self.url) and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_sound = False
        if not is_sound or not parts.netloc.isascii() or set("@?#") & set(str(self.url)):
            raise OptionError(  # the message omits the address, which may contain a secret
                "A server's address looks like http://localhost:8080/v1. It is saved with the "
                "notebook, so it holds no key and no password: put the key into an environment "
                "variable, and name that: api_key_env='MY_KEY'."
            )
        env: Any = self.api_key_env
        if not isinstance(self.model, str):
            raise OptionError(f"model must be the name of a model, not {self.model!r:.60}.")
        if env is not None and not (isinstance(env, str) and _VARIABLE.fullmatch(env)):
            raise OptionError("api_key_env is the name of an environment variable, such as MY_KEY.")
        url = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
        object.__setattr__(self, "url", url)

    @property
    def host(self) -> str:
        """Return the host for display, with its port if there is one."""
        return urlsplit(self.url).netloc

    @property
    def name(self) -> str:
        """Return the model's name before the server reports it."""
        return f"{self.model}@{self.host}"

    @property
    def path(self) -> Address:
        """Return the identity of the model, like the path of a file."""
        return self

    @property
    def root(self) -> str:
        """Return the base of the server's own paths, outside OpenAI's protocol."""
        return self.url.removesuffix("/v1")

    def key(self) -> str | None:
        """Return the server's present key; `ServerError` says what to set."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            with suppress(Exception):  # keyring may be missing, and its backends raise any error
                key = _in_keyring(self.api_key_env)
        if not key or not key.isascii() or not key.isprintable():
            raise ServerError(
                self.host,
                "is asked with the key in the environment variable or the keyring's entry "
                f"{self.api_key_env}, and there is {'no sound key' if key else 'nothing'} in it. "
                f"Set it: os.environ[{self.api_key_env!r}] = getpass().",
                status=401,
            )
        return key


@cache  # some keyrings ask the user each time; errors are not cached
def _in_keyring(name: str) -> str:
    """Return a key that `keyring set jupyter_llm NAME` stored."""
    return str(import_module("keyring").get_password("jupyter_llm", name).strip())


def is_url(model: object) -> bool:
    """Whether a model's name is the address of a server."""
    return isinstance(model, str) and model.strip().lower().startswith(("http://", "https://"))
