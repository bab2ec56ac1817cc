"""What runs on a worker of a cluster: the plugin that holds a model there, and what it is asked.

Nothing here waits on a worker's event loop: a model is loaded on a thread of its own, and a task
that waits for answers gives its place in the worker's thread pool away.
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
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from distributed import Client, Worker, WorkerPlugin, get_worker, secede
from distributed.comm.addressing import get_address_host, parse_address

from jupyter_llm._version import __version__
from jupyter_llm.common.files import open_to_fill
from jupyter_llm.common.tables import human_size
from jupyter_llm.common.workers import start_worker
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

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.engine.request import Request
    from jupyter_llm.engine.stream import Stream
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

RowId = tuple[str, int]
"""What a request goes by on its way: the engine it was asked of, and its number there."""

_MOST_STOPPED = 100_000  # requests that may be on their way still
_ALONE_S = 300.0  # before the model of a user goes who does not look any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """How far a worker is with a model: there where it has an `info`, never where an `error`.

    Else `share` of it is loaded, or `wanted`, a file by its number and from which byte on, is to be
    sent to where `store` names; workers with one store need it once.
    """

    store: str
    share: float = 0.0
    info: ModelInfo | None = None
    error: JupyterLLMError | None = None
    wanted: tuple[int, int] | None = None


class ModelPlugin(WorkerPlugin):
    """Holds a model on a worker: found by its path, or else sent, and checked in both cases."""

    def __init__(
        self, entry: ModelEntry, options: EngineOptions, on_progress: Callable[[float], bool]
    ) -> None:
        self._entry, self.n_ctx = entry, 0  # until a worker has shown how much there is room for
        # Of rows nothing is read again, and how many threads there are is for dask to say.
        self._options = replace(options, checkpoints=False, n_threads=None)
        self.paths = parts_of(entry.path)
        self._hashes = [file_sha256(path, on_progress=on_progress) for path in self.paths]
        self._sizes = [path.stat().st_size for path in self.paths]
        key = hashlib.sha256(repr((self._hashes, self._options)).encode()).hexdigest()[:12]
        self.name = f"jupyter_llm {entry.name} {key}"

    def setup(self, worker: Worker) -> None:
        """Begin to load the model; returns at once, so that the worker goes on."""
        self._worker = worker
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            # A process of its own: the interrupt of a notebook that has started it is not for it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        scratch = Path(worker.local_directory).parent  # that all workers of a machine have
        self._store = scratch / "jupyter_llm" / self._hashes[0]
        self.users: dict[str, object] = {}  # who looks at it, and the timers that end that
        self._streams: dict[RowId, Stream] = {}
        self._stopped: dict[RowId, None] = {}  # as a set that knows what came first
        self.loaded: Future[LocalEngine] = Future()
        self._is_over = self._was_damaged = False
        self._begin()

    async def teardown(self, worker: Worker) -> None:
        """Free the model's memory."""
        for timer in self.users.values():
            worker.loop.remove_timeout(timer)
        self._is_over = True
        self._fail(EngineClosedError("The model was unloaded from the cluster."))
        if self.loaded.exception() is None:
            with suppress(RuntimeError):  # where the process ends engines close by themselves
                await asyncio.to_thread(self.loaded.result().close)

    def _begin(self) -> None:
        self._share, self._is_wanting = 0.0, False
        start_worker(self._load, "jupyter-llm-cluster")

    def _fail(self, error: JupyterLLMError) -> None:
        with suppress(InvalidStateError):
            self.loaded.set_exception(error)

    def note(self, user: str) -> None:
        """Stay for somebody, as long as that is done again in time."""
        loop = self._worker.loop
        if user in self.users:
            loop.remove_timeout(self.users[user])
        self.users[user] = loop.call_later(_ALONE_S, leave, self.name, user, self._worker)

    @property
    def deployed(self) -> Deployed:
        """How far it is, known at once."""
        known = Deployed(store=f"{platform.node()}:{self._store}", share=self._share)
        if self.loaded.done() and isinstance(error := self.loaded.exception(), JupyterLLMError):
            return replace(known, error=error)
        if self.loaded.done() and not self.loaded.result().is_closed:
            return replace(known, info=self.loaded.result().info)
        if self._is_wanting:
            sizes = [_size(self._store / path.name) for path in self.paths]
            for number, (size, whole) in enumerate(zip(sizes, self._sizes, strict=True)):
                if size < whole:
                    share = sum(sizes) / sum(self._sizes)
                    return replace(known, share=share, wanted=(number, size))
        if is_gone := self.loaded.done():  # the engine has failed, and said so
            self.loaded = Future()
        if is_gone or self._is_wanting:  # which has come
            self._begin()
        return known

    def receive(self, number: int, offset: int, data: bytes) -> None:
        """Take a piece of a file, unless somebody else has brought it."""
        path = self._store / self.paths[number].name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_to_fill(path) as file:
                if file.seek(0, os.SEEK_END) == offset:
                    file.write(data)
        except OSError as error:
            where = f"{path} on {platform.node()} cannot be written: {error.strerror}."
            self._fail(ModelFileError(path, where))

    def answer(self, rows: Sequence[tuple[RowId, Request]]) -> list[Completion | JupyterLLMError]:
        """Answer requests together; raises `EngineClosedError` where the model has gone."""
        engine, streams = self.loaded.result(), []
        try:
            for row, request in rows:
                streams.append(engine.submit(request))
                self._streams[row] = streams[-1]
                if row in self._stopped:
                    streams[-1].cancel()
            return [_outcome(stream) for stream in streams]
        finally:
            for row, _ in rows:
                self._streams.pop(row, None)
                self._stopped.pop(row, None)

    def stop(self, rows: Sequence[RowId]) -> None:
        """Cancel requests, also those that come later."""
        for row in rows:
            self._stopped[row] = None
            if (stream := self._streams.get(row)) is not None:
                stream.cancel()
        while len(self._stopped) > _MOST_STOPPED:
            del self._stopped[next(iter(self._stopped))]

    def forget(self) -> None:
        """Let the model forget what it has read, if it is there."""
        if self.deployed.info is not None:
            self.loaded.result().forget()

    def _load(self) -> None:
        from jupyter_llm.engine.local.engine import LocalEngine

        def on_progress(share: float) -> None:
            self._share = share
            if self._is_over:
                raise EngineClosedError

        try:
            if (path := self._find()) is None:
                self._is_wanting = True
                return
            entry, options = replace(self._entry, path=path), self._checked(path)
            engine = LocalEngine(entry, options, on_progress=on_progress)
        except JupyterLLMError as error:
            self._fail(error)
        except Exception as bug:
            logger.exception("Loading %s on a worker failed", self._entry.name)
            self._fail(EngineError(f"Loading {self._entry.name} on a worker failed: {bug}."))
        else:
            try:
                self.loaded.set_result(engine)
            except InvalidStateError:  # it is not wanted any more
                engine.close()

    def _find(self) -> Path | None:
        """Where the model is on this machine: at the path it has elsewhere, or where it is sent."""
        for folder in (self._entry.path.parent, self._store):
            paths = [folder / path.name for path in self.paths]
            sizes = [_size(path) for path in paths]
            if any(size < whole for size, whole in zip(sizes, self._sizes, strict=True)):
                continue
            if sizes == self._sizes and self._hashes == [
                file_sha256(path, on_progress=lambda _share: not self._is_over) for path in paths
            ]:
                return paths[0]
            if folder == self._store:
                for path in paths:
                    path.unlink(missing_ok=True)
                if self._was_damaged:  # else it is sent anew
                    what = f"{self._entry.name} has come to {platform.node()} damaged, twice"
                    raise ModelFileError(paths[0], f"{what}. Has the file changed meanwhile?")
                self._was_damaged = True
        return None

    def _checked(self, path: Path) -> EngineOptions:
        """The options to load it with, which leave the worker below what it is paused at."""
        import psutil

        from jupyter_llm.engine.local.memory import plan_load
        from jupyter_llm.engine.local.resident import free_beside

        n_ctx, n_threads = self.n_ctx or self._options.n_ctx, self._worker.state.nthreads
        options = replace(self._options, n_ctx=n_ctx, n_threads=n_threads)
        memory = self._worker.memory_manager
        if not (limit := memory.memory_limit):
            return options
        left = int(limit * (memory.memory_pause_fraction or 1)) - psutil.Process().memory_info().rss
        file, free = inspect(path), free_beside([])
        room = replace(free, ram_bytes=max(0, min(left, free.ram_bytes)))
        try:
            promised = plan_load(file, options, room).promised.total  # what may come later
            room = replace(room, ram_bytes=max(0, room.ram_bytes - promised))
            return replace(options, n_ctx=plan_load(file, options, room).n_ctx)
        except NotEnoughMemoryError as error:
            limits = f"{human_size(limit)}, of which {human_size(max(left, 0))} are left"
            error.args = (f"{error} Its worker has a memory_limit of {limits}.",)
            raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is none
        return 0


def _outcome(stream: Stream) -> Completion | JupyterLLMError:
    error = stream.future.exception()
    is_its_own = isinstance(error, JupyterLLMError) and not isinstance(error, EngineClosedError)
    return error if is_its_own else stream.future.result()  # type: ignore[return-value]


def check_client(client: object) -> str:
    """The host of a cluster that is not this machine's own, and else nothing.

    Refuses what is no client, or one that cannot be waited for.
    """
    if not isinstance(client, Client):
        kind = type(client).__name__
        raise OptionError(f"client= is a Client of dask.distributed, not a {kind}.")
    if client.asynchronous:
        raise OptionError("client= is a Client that was not made with asynchronous=True.")
    if client.status != "running":
        raise OptionError(f"The client is {client.status}. Make a new one: Client(…).")
    address = str(getattr(client.scheduler, "address", ""))
    kind, host = parse_address(address)[0], str(get_address_host(address))
    is_here = kind == "inproc" or host in ("localhost", "::1") or host.startswith("127.")
    return "" if is_here else host


# What a client calls on workers, by `Client.run` or as a task. Values go along as bytes: dask would
# look for its own keys in texts.


async def look(
    version: str, name: str, user: str, plugin: bytes, dask_worker: Worker
) -> Deployed | None:
    """How far a worker is with a model that somebody needs; None with another version of us."""
    if version != __version__:
        return None
    if name not in dask_worker.plugins:
        await dask_worker.plugin_add(plugin, name)
    found = cast("ModelPlugin", dask_worker.plugins[name])
    found.note(user)
    return found.deployed


async def leave(name: str, user: str, dask_worker: Worker) -> None:
    """Free the memory of a model that somebody needs no more, if nobody else does."""
    plugin: Any = dask_worker.plugins.get(name)
    if plugin is not None and plugin.users.pop(user, None) is not None and not plugin.users:
        await dask_worker.plugin_remove(name=name)


async def tell(name: str, method: str, *values: Any, dask_worker: Worker) -> None:
    """Call the plugin of a model, if there is one."""
    if (plugin := dask_worker.plugins.get(name)) is not None:
        await asyncio.to_thread(getattr(plugin, method), *values)


def ask(name: str, method: str, values: bytes) -> bytes | None:
    """What comes of `answer`, or of a method of the engine, as a task; None without a model."""
    plugin = get_worker().plugins.get(name)
    secede()
    if not isinstance(plugin, ModelPlugin):
        return None
    try:
        owner = plugin if method == "answer" else plugin.loaded.result()
        those, more = pickle.loads(values)  # noqa: S301  as all that dask sends
        return pickle.dumps(getattr(owner, method)(*those, **more))
    except EngineClosedError:
        return None
    except JupyterLLMError as error:
        return None if plugin.deployed.info is None else pickle.dumps(error)
