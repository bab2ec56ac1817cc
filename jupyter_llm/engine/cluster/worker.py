"""The part that runs on a cluster's worker: a plugin with the model, and functions for the client.

Nothing here blocks a worker's event loop: a thread loads the model, and a task that waits for
answers leaves the worker's thread pool.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import pickle
import platform
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from distributed import Client, Worker, WorkerPlugin, get_worker, secede
from distributed.comm.addressing import get_address_host, parse_address

from jupyter_llm._version import __version__
from jupyter_llm.common.bars import TICK_S
from jupyter_llm.common.files import open_to_fill
from jupyter_llm.common.tables import human_size
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.attention import chosen_attention
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import (
    EngineClosedError,
    EngineError,
    JupyterLLMError,
    ModelFileError,
    NotEnoughMemoryError,
    OptionError,
)
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.models.inspect import inspect, parts_of
from jupyter_llm.models.machine import available_cores, this_machine

if TYPE_CHECKING:
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

_ALONE_S = 300.0  # until the model of a user who stopped polling is freed


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A worker's progress with a model.

    The worker is ready if there is an `info`, and cannot be used if there is an `error`. Before
    that, `share` is the fraction of the model that is loaded. `wanted` is the number of the file
    that the worker lacks, and the offset from which to send it. The file goes to `store`; workers
    with the same store need it once.
    """

    store: str = ""
    share: float = 0.0
    info: ModelInfo | None = None
    error: JupyterLLMError | None = None
    wanted: tuple[int, int] | None = None


class ModelPlugin(WorkerPlugin):
    """A model on a worker: from the same path, or else sent; its hash is checked in both cases."""

    def __init__(
        self, entry: ModelEntry, options: EngineOptions, on_progress: Callable[[float], bool]
    ) -> None:
        self._entry, self.n_ctx = entry, 0  # set by the first worker that has loaded it
        # All workers use this kernel's attention, so that rows are the same everywhere.
        machine = this_machine(options.n_threads or available_cores())
        has_flash = chosen_attention(inspect(entry.path).shape, machine, options)
        # Rows are not read again, and dask sets the number of threads.
        self._options = replace(
            options, checkpoints=False, n_threads=None, flash_attention=has_flash
        )
        self.paths = parts_of(entry.path)
        self._hashes = [file_sha256(path, on_progress=on_progress) for path in self.paths]
        self._sizes = [path.stat().st_size for path in self.paths]
        key = hashlib.sha256(repr((self._hashes, self._options)).encode()).hexdigest()[:12]
        self.name = f"jupyter_llm {entry.name} {key}"

    def setup(self, worker: Worker) -> None:
        """Start to load the model; returns at once, so that the worker continues."""
        self._worker = worker
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            # In a process of its own, an interrupt of the notebook that started it must not end it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        scratch = Path(worker.local_directory).parent  # shared by all workers of a machine
        self._store = scratch / "jupyter_llm" / self._hashes[0]
        self.users: dict[str, object] = {}  # users that poll, with the timers that end their use
        self._streams: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        self._error: JupyterLLMError | None = None
        self._is_over = False
        self._begin()

    async def teardown(self, worker: Worker) -> None:
        """Free the model's memory."""
        for timer in self.users.values():
            worker.loop.remove_timeout(timer)
        self._is_over = True
        if self.engine is not None:
            with suppress(RuntimeError):  # at the end of the process, engines close themselves
                await asyncio.to_thread(self.engine.close)

    def _begin(self) -> None:
        self.engine: LocalEngine | None = None
        self._share, self._is_wanting = 0.0, False
        start_worker(self._load, "jupyter-llm-cluster")

    def look(self, user: str, stopped: Sequence[str]) -> Deployed:
        """Return the progress at once, and cancel the calls whose ids are in `stopped`.

        The model is freed when none of its users has called this for `_ALONE_S`.
        """
        loop = self._worker.loop
        if user in self.users:
            loop.remove_timeout(self.users[user])
        self.users[user] = loop.call_later(_ALONE_S, leave, self.name, user, self._worker)
        for call in stopped:
            if (stream := self._streams.get(call)) is not None:
                stream.cancel()
        if self.engine is not None and self.engine.is_closed:  # it failed
            self._begin()
        return Deployed(
            store=f"{platform.node()}:{self._store}",
            share=self._share,
            info=None if self.engine is None else self.engine.info,
            error=self._error,
            wanted=self._missing() if self._is_wanting else None,
        )

    def receive(self, number: int, offset: int, data: bytes) -> None:
        """Store a piece of a file, unless it is there."""
        path = self._store / self.paths[number].name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_to_fill(path) as file:
                if file.seek(0, os.SEEK_END) == offset:
                    file.write(data)
        except OSError as error:
            where = f"{path} on {platform.node()} cannot be written: {error.strerror}."
            self._error = ModelFileError(path, where)

    def answer(self, calls: Sequence[tuple[str, str, Any]]) -> list[Any]:
        """Return the results of calls of the engine's methods, run together.

        Raises `EngineClosedError` if the model is unloaded.
        """
        if (engine := self.engine) is None:
            raise EngineClosedError
        outcomes = [_tried(getattr(engine, method), value) for _, method, value in calls]
        named = zip([call for call, *_ in calls], outcomes, strict=True)
        self._streams.update((call, one) for call, one in named if isinstance(one, Stream))
        return [_tried(one.future.result) if isinstance(one, Stream) else one for one in outcomes]

    def _load(self) -> None:
        from jupyter_llm.engine.local.engine import LocalEngine

        try:
            path = self._local_path()
            entry, options = replace(self._entry, path=path), self._checked(path)
            self.engine = LocalEngine(entry, options, on_progress=self._note)
        except JupyterLLMError as error:
            self._error = error
        except Exception as bug:
            logger.exception("Loading %s on a worker failed", self._entry.name)
            self._error = EngineError(f"Loading {self._entry.name} on a worker failed: {bug}.")
        if self._is_over and self.engine is not None:
            self.engine.close()

    def _note(self, share: float) -> Any:
        self._share = share
        if self._is_over:
            raise EngineClosedError("The model was unloaded from the cluster.")
        return True  # continue

    def _local_path(self) -> Path:
        """Return the model's path on this machine: the same as elsewhere, or the sent copy."""
        if self._is_complete(self.paths):
            return self.paths[0]
        sent = [self._store / path.name for path in self.paths]
        for _ in range(2):
            self._is_wanting = True
            while self._missing() is not None:
                self._note(sum(map(_size, sent)) / sum(self._sizes))
                time.sleep(TICK_S / 5)
            self._is_wanting = False
            if self._is_complete(sent):
                return sent[0]
            for path in sent:
                path.unlink(missing_ok=True)
        text = f"{self._entry.name} has come to {platform.node()} damaged, twice"
        raise ModelFileError(sent[0], f"{text}. Has the file changed meanwhile?")

    def _is_complete(self, paths: Sequence[Path]) -> bool:
        return [*map(_size, paths)] == self._sizes and self._hashes == [
            file_sha256(path, on_progress=self._note) for path in paths
        ]

    def _missing(self) -> tuple[int, int] | None:
        """Return the number of the file to send next, and the offset."""
        for number, (path, whole) in enumerate(zip(self.paths, self._sizes, strict=True)):
            if (size := _size(self._store / path.name)) < whole:
                return number, size
        return None

    def _checked(self, path: Path) -> EngineOptions:
        """Return load options with which the worker stays below its pause limit.

        Raises `NotEnoughMemoryError` if there are none.
        """
        import psutil

        from jupyter_llm.engine.local.native.memory import plan_load
        from jupyter_llm.engine.local.resident import free_beside

        n_ctx, n_threads = self.n_ctx or self._options.n_ctx, self._worker.state.nthreads
        options = replace(self._options, n_ctx=n_ctx, n_threads=n_threads)
        memory = self._worker.memory_manager
        if not (limit := memory.memory_limit):
            return options
        unused = (
            int(limit * (memory.memory_pause_fraction or 1)) - psutil.Process().memory_info().rss
        )
        file, free = inspect(path), free_beside([])
        room = replace(free, ram_bytes=max(0, min(unused, free.ram_bytes)))
        try:
            promised = plan_load(file, options, room).promised.total  # what may be allocated later
            room = replace(room, ram_bytes=max(0, room.ram_bytes - promised))
            return replace(options, n_ctx=plan_load(file, options, room).n_ctx)
        except NotEnoughMemoryError as error:
            limits = f"{human_size(limit)}, of which {human_size(max(unused, 0))} are left"
            error.args = (f"{error} Its worker has a memory_limit of {limits}.",)
            raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is none
        return 0


def _tried(function: Callable[..., Any], *values: Any) -> Any:
    """Return the result of a call, or the error it raised."""
    try:
        return function(*values)
    except EngineClosedError:
        raise
    except JupyterLLMError as error:
        return error


def check_client(client: object) -> str:
    """Return the host of a cluster on another machine, "" for this one.

    `OptionError`: the object is no client, or one that cannot be waited for.
    """
    if not isinstance(client, Client):
        raise OptionError(
            f"client= is a Client of dask.distributed, not a {type(client).__name__}."
        )
    if client.asynchronous:
        raise OptionError("client= is a Client that was not made with asynchronous=True.")
    if client.status != "running":
        raise OptionError(f"The client is {client.status}. Make a new one: Client(…).")
    address = str(getattr(client.scheduler, "address", ""))
    kind, host = parse_address(address)[0], str(get_address_host(address))
    is_here = kind == "inproc" or host in ("localhost", "::1") or host.startswith("127.")
    return "" if is_here else host


# Functions that a client calls on workers, by `Client.run` or as a task. Values are sent as bytes:
# dask would search texts for its own keys, and another version of us could not unpickle them.


async def look(version: str, asked: bytes, dask_worker: Worker) -> Deployed | None:
    """Return a worker's progress with a model; None if it has another version of us."""
    if version != __version__:
        return None
    plugin, user, stopped, piece = pickle.loads(asked)  # noqa: S301  as all that dask sends
    if plugin.name not in dask_worker.plugins:
        await dask_worker.plugin_add(plugin, plugin.name)
    present = cast("ModelPlugin", dask_worker.plugins[plugin.name])
    if piece is not None:
        await asyncio.to_thread(present.receive, *piece)
    return present.look(user, stopped)


async def leave(name: str, user: str, dask_worker: Worker) -> None:
    """Free a model for a user, if it has no other users."""
    plugin: Any = dask_worker.plugins.get(name)
    if plugin is not None and plugin.users.pop(user, None) is not None and not plugin.users:
        await dask_worker.plugin_remove(name=name)


def answer(name: str, calls: bytes) -> Any:
    """Return the results of calls of a model's engine, as a task and as bytes.

    None without a model.
    """
    plugin: Any = get_worker().plugins.get(name)
    secede()
    try:
        return plugin and pickle.dumps(plugin.answer(pickle.loads(calls)))  # noqa: S301
    except EngineClosedError:
        return None
