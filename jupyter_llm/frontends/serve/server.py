"""The server: on a thread of its own, on this machine alone, for as long as the kernel lives."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from jupyter_llm.common.workers import start_worker
from jupyter_llm.errors import ServeError
from jupyter_llm.frontends.serve.address import publish
from jupyter_llm.frontends.serve.app import Desk, Mounted, application

if TYPE_CHECKING:
    from jupyter_llm.engine.current import CurrentEngine

_HOST = "127.0.0.1"
_LEAST_TOKEN = 16  # characters of one that the user chose
_MOST_CONNECTIONS = 128
_BEGIN_S, _END_S = 10.0, 5.0
_SILENT = logging.NullHandler()


class Serving:
    """The models of this kernel, served until `stop` or the kernel's end.

    `ServeError` says why that cannot be, such as a port that is taken. Without one it is any that
    is free. The token is drawn, or that of JUPYTER_LLM_TOKEN in the environment. `notebook` is the
    path of the one behind it, if there is one.
    """

    def __init__(
        self,
        current: CurrentEngine,
        *,
        port: int = 0,
        mounts: Sequence[Mounted] = (),
        notebook: str = "",
    ) -> None:
        self.token = _token()
        self._pid = os.getpid()
        self._current = current
        self._listening = _listening(port)
        self.url = f"http://{_HOST}:{self._listening.getsockname()[1]}/v1"
        app = application(Desk(current), self.token, mounts)
        # Whoever wants to know what it logs says so; else its warnings would stand in some cell.
        logging.getLogger("uvicorn").addHandler(_SILENT)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        # No thread is joined: Ctrl-C in that would let Python 3.11 take it for ended.
        self.over = threading.Event()
        """Set when nothing is served any more."""
        start_worker(self._run, "jupyter-llm-serve")
        self._file: Path | None = None
        if not self._server.is_up.wait(_BEGIN_S) or not self._server.started:
            self.stop()
            raise ServeError("The server did not begin; the log of uvicorn says why.")
        with suppress(OSError, RuntimeError):  # there is no such folder of Jupyter's
            self._file = publish(self.url, self.token, notebook)
        atexit.register(self.stop)

    def stop(self) -> None:
        """Hang up on all guests and free the port. May be called twice."""
        if self._pid != os.getpid():  # forked: the thread is the parent's
            return
        atexit.unregister(self.stop)
        self._server.end()
        self.over.wait(_END_S)
        self._listening.close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        self._current.served_at = self.url
        try:
            with suppress(SystemExit):  # by uvicorn, where it cannot begin
                self._server.run([self._listening])
        finally:
            self._current.served_at = ""
            self._server.is_up.set()
            self.over.set()


class _Server(uvicorn.Server):
    """Tells when it is up, and ends without waiting for who is still there."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.is_up.set()

    def end(self) -> None:
        """Listen no more and hang up, at once; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._hang_up)

    def _hang_up(self) -> None:
        for server in self.servers:
            for listening in server.sockets:
                _shut(listening)
            server.close()
        for connection in list(self.server_state.connections):
            _shut(connection.transport.get_extra_info("socket"))
            connection.transport.abort()


def _shut(one: socket.socket) -> None:
    """End a socket for forked children, too, which would keep it open."""
    with suppress(OSError):  # it has ended, or the system cannot
        one.shutdown(socket.SHUT_RDWR)


def _token() -> str:
    """What clients have to know."""
    token = os.environ.get("JUPYTER_LLM_TOKEN", "")
    if token and len(token) < _LEAST_TOKEN:
        raise ServeError(f"JUPYTER_LLM_TOKEN has fewer than {_LEAST_TOKEN} characters.")
    return token or secrets.token_urlsafe(32)


def _listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone."""
    listening = socket.socket()
    try:
        if os.name == "posix":  # elsewhere it would let two listen
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"Nothing can be served at port {port} ({reason}). Without a port it is one that is "
            "free."
        ) from error
    return listening
