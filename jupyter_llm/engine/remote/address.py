"""Which model on which server, as a value without any secret in it."""

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
        try:
            parts = urlsplit(str(self.url).strip())
            is_sound = is_url(self.url) and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_sound = False
        if not is_sound or not parts.netloc.isascii() or set("@?#") & set(str(self.url)):
            raise OptionError(  # which does not show it: there may be a secret in it
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
        """What people read: the host, with its port where that is told."""
        return urlsplit(self.url).netloc

    @property
    def name(self) -> str:
        """What the model is called, as far as that is known before the server says it."""
        return f"{self.model}@{self.host}"

    @property
    def path(self) -> Address:
        """What tells it from other models, as the path of a file does."""
        return self

    @property
    def root(self) -> str:
        """Where the server's own paths begin, those beside OpenAI's protocol."""
        return self.url.removesuffix("/v1")

    def key(self) -> str | None:
        """The server's key as it is now; `ServerError` says what to set."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            with suppress(Exception):  # it need not be installed, and they raise what they like
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


@cache  # some keyrings ask the user each time; where there is none, that is an error and not kept
def _in_keyring(name: str) -> str:
    """A key as `keyring set jupyter_llm NAME` keeps it."""
    return str(import_module("keyring").get_password("jupyter_llm", name).strip())


def is_url(model: object) -> bool:
    """Whether what was given as a model names a server."""
    return isinstance(model, str) and model.strip().lower().startswith(("http://", "https://"))
