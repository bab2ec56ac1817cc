"""The server: on its own thread, for this machine only, until the kernel's end."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.errors import ServeError
from jupyter_llm.frontends.serve.address import Whereabouts
from jupyter_llm.frontends.serve.app import application

_HOST = "127.0.0.1"
_LEAST_TOKEN = 16  # characters of a token that the user chose
# Limits before the token is shown: a connection's time, and the number of connections. As many
# calls are answered at a time, and their clients may connect at once.
SILENT_S, _MOST_STRANGERS = 10.0, 128
_TICK_S, _END_S = 0.01, 5.0
# Without this, its warnings would appear in a cell; a user's own handler still gets them.
logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class Guest(H11Protocol):
    """A connection. Without the token it has a few seconds, and is dropped for newer ones."""

    is_authorized = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, and drop the oldest one without a token if there are too many."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "guest": self}
        self.name, self.since = secrets.token_hex(), self.loop.time()
        self.loop.call_later(SILENT_S, self.drop_stranger)
        everyone = cast("set[Guest]", self.connections)
        strangers = [g for g in everyone if not (g.is_authorized or g.transport.is_closing())]
        if len(strangers) > _MOST_STRANGERS:
            min(strangers, key=lambda guest: guest.since).drop_stranger()

    def drop_stranger(self) -> None:
        """Close the connection, unless the token was shown."""
        if not self.is_authorized:
            self.transport.abort()


class Serving:
    """The models of this kernel, served until `stop` or the kernel's end.

    `ServeError` has the reason if that fails, such as a used port. Without a port any free one is
    used. The token is random, or JUPYTER_LLM_TOKEN of the environment. `notebook` is the path of
    the kernel's notebook, if there is one; for `more` see `application`.
    """

    def __init__(
        self, current: CurrentEngine, *, port: int = 0, notebook: str = "", **more: Any
    ) -> None:
        self.token = os.environ.get("JUPYTER_LLM_TOKEN") or secrets.token_urlsafe(32)
        if len(self.token) < _LEAST_TOKEN:
            raise ServeError(f"JUPYTER_LLM_TOKEN needs {_LEAST_TOKEN} characters or more.")
        self._pid = os.getpid()
        self._current = current
        app = application(current, self.token, **more)
        if not 0 <= port < 1 << 16:
            raise ServeError(f"There is no port {port}. Ports are 0 to 65535.")
        try:
            self._listening = socket.create_server((_HOST, port))
        except OSError as error:
            reason = str(error.strerror).partition(" (")[0]
            message = f"Port {port} cannot be used ({reason}). Omit the port to use a free one."
            raise ServeError(message) from error
        self.url = f"http://{_HOST}:{self._listening.getsockname()[1]}/v1"
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            loop="asyncio",
            http=Guest,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # The thread is not joined: after Ctrl-C in a join, Python 3.11 considers it ended.
        self.over = threading.Event()
        """Set when the server has ended."""
        start_worker(self._run, "jupyter-llm-serve")
        while not self._server.started:
            if self.over.wait(_TICK_S):
                raise ServeError("The server could not start. Try another port.")
        self._file: Path | None = None
        with suppress(OSError, RuntimeError):  # Jupyter's folder is missing
            self._file = Whereabouts(url=self.url, token=self.token, notebook=notebook).publish()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Disconnect all guests and free the port. May be called twice."""
        if self._pid != os.getpid():  # in a fork, the thread is the parent's
            return
        atexit.unregister(self.stop)
        self._server.should_exit = True
        with suppress(RuntimeError):  # already ended
            self._server.servers[0].get_loop().call_soon_threadsafe(self._hang_up)
        self.over.wait(_END_S)
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        self._current.served_at = self.url
        try:
            with suppress(SystemExit):  # raised by uvicorn if it cannot start
                self._server.run([self._listening])
        finally:
            self._listening.close()
            self._current.served_at = ""
            self.over.set()

    def _hang_up(self) -> None:
        """Stop listening and disconnect all guests at once; on the server's thread."""
        guests = [one.transport for one in self._server.server_state.connections]
        for one in (self._listening, *(guest.get_extra_info("socket") for guest in guests)):
            with suppress(OSError):  # already ended, or unsupported
                one.shutdown(socket.SHUT_RDWR)  # also in forked children, which keep it open
        self._server.servers[0].close()
        for guest in guests:
            guest.abort()
