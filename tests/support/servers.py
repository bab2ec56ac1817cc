"""Servers without a network: engines that answer from a script in the place of remote ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.scripted import ScriptedEngine

from jupyter_llm.engine.remote.address import Address
from jupyter_llm.errors import ServerError


class ScriptedServers:
    """Makes the engine of any address, and keeps all that it has made, the latest last."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []
        self.addresses: list[Address] = []
        self.are_up = True
        self.on_ask: Callable[[], None] = lambda: None

    def __call__(self, address: Address, **_options: Any) -> ScriptedEngine:
        self.addresses.append(address)
        self.on_ask()
        if not self.are_up:
            raise ServerError(address.host, "cannot be reached.")
        engine = ScriptedEngine()
        name = f"{address.model or 'only'}@{address.host}"
        engine.info = replace(engine.info, name=name, path=Path(), host=address.host)
        self.engines.append(engine)
        return engine


_reached: list[Any] = []
_is_heard = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _reached.append(arguments[0])
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[-1]
        if isinstance(address, tuple):  # a path is of this machine
            _reached.append(address[0])


def reached() -> list[Any]:
    """The list of the hosts that anything in this process asks for, from now on; it grows."""
    global _is_heard  # noqa: PLW0603  an audit hook stays for good
    if not _is_heard:
        sys.addaudithook(_hear)
        _is_heard = True
    _reached.clear()
    return _reached
