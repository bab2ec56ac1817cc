"""Which model on which server, as a value without any secret in it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from jupyter_llm.errors import OptionError, ServerError

_PORTS = {"http": 80, "https": 443}
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")  # as no key looks


@dataclass(frozen=True, slots=True)
class Address:
    """A model on a server that speaks OpenAI's protocol.

    `url` is where the protocol begins, as in `http://localhost:8080/v1`. Without a `model` it is
    the only one that the server has. `api_key_env` names the environment variable that holds the
    server's key, or the entry of the keyring; the key itself is read when something is sent.
    """

    url: str
    model: str = ""
    api_key_env: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no server's address, and what has a secret in it."""
        url: Any = self.url
        if not isinstance(url, str) or not is_url(url):
            raise OptionError("A server's address looks like http://localhost:8080/v1.")
        try:
            parts = urlsplit(url.strip())
            is_sound = bool(parts.hostname) and parts.netloc.isascii() and parts.port != 0
        except ValueError:
            is_sound = False
        if not is_sound:
            raise OptionError(
                "The server's address needs a host in plain ASCII, and a port from 1 to 65535 "
                "where it has one: http://localhost:8080/v1."
            )
        if "@" in parts.netloc or parts.query or parts.fragment:  # not shown: it may be a secret
            raise OptionError(
                "A server's address is saved with the notebook, so it holds no key and no "
                "password. Put the key into an environment variable, and name that: "
                "api_key_env='MY_KEY'."
            )
        if not isinstance(self.model, str):
            raise OptionError(f"model must be the name of a model, not {self.model!r:.60}.")
        env: Any = self.api_key_env
        if env is not None and not (isinstance(env, str) and _VARIABLE.fullmatch(env)):
            raise OptionError("api_key_env is the name of an environment variable, such as MY_KEY.")
        sound = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
        object.__setattr__(self, "url", sound)

    @property
    def host(self) -> str:
        """What people read: the host, with its port where that is not the usual one."""
        parts = urlsplit(self.url)
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else str(parts.hostname)
        return name if parts.port in (None, _PORTS[parts.scheme]) else f"{name}:{parts.port}"

    @property
    def name(self) -> str:
        """What the model is called, as far as that is known before the server says it."""
        return f"{self.model}@{self.host}"

    @property
    def root(self) -> str:
        """Where the server's own paths begin, those beside OpenAI's protocol."""
        return self.url.removesuffix("/v1")

    @property
    def is_here(self) -> bool:
        """Whether the server runs on this machine."""
        name = str(urlsplit(self.url).hostname)
        with suppress(ValueError):
            return ip_address(name).is_loopback
        return name == "localhost"

    def key(self) -> str | None:
        """The server's key as it is now; `ServerError` says what to set."""
        if self.api_key_env is None:
            return None
        key = (os.environ.get(self.api_key_env) or _in_keyring(self.api_key_env)).strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ServerError(
                self.host,
                "is asked with the key in the environment variable or the keyring's entry "
                f"{self.api_key_env}, and there is {'no sound key' if key else 'nothing'} in it. "
                f"Set it: os.environ[{self.api_key_env!r}] = getpass().",
                status=401,
            )
        return key


def _in_keyring(name: str) -> str:
    """A key as `keyring set jupyter_llm NAME` keeps it; empty where there is none."""
    with suppress(Exception):  # it need not be installed, and its backends raise what they like
        return _kept(name)
    return ""


@cache  # some keyrings ask the user each time
def _kept(name: str) -> str:
    key: str | None = import_module("keyring").get_password("jupyter_llm", name)
    if key is None:
        raise LookupError(name)
    return key


def is_url(model: object) -> bool:
    """Whether what was given as a model names a server."""
    return isinstance(model, str) and model.strip().lower().startswith(("http://", "https://"))
