"""Clusters on this machine, and what is called on their workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, Scheduler, Worker, WorkerPlugin

from jupyter_llm.engine.cluster.worker import ModelPlugin
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import EngineClosedError


class RowLog(WorkerPlugin):
    """Notes each prompt that a worker's model is given, and has answered, as lines of two files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        from jupyter_llm.engine.local.engine import LocalEngine

        submit = LocalEngine.submit

        def noted(engine: LocalEngine, request: Request) -> Stream:
            if not isinstance(prompt := request.prompt, tuple):
                return submit(engine, request)

            def note(path: Path, _future: object = None) -> None:
                with path.open("a") as log:
                    log.write(f"{prompt[-1].content}\n")

            note(self.path)
            stream = submit(engine, request)
            stream.future.add_done_callback(partial(note, answered(self.path)))
            return stream

        LocalEngine.submit = noted  # type: ignore[assignment, method-assign]


@contextmanager
def started(scratch: Path, **options: Any) -> Iterator[Client]:
    """A cluster of workers with one thread each."""
    quiet = {"dashboard_address": ":0", "silence_logs": 50, "threads_per_worker": 1}
    with (
        LocalCluster(local_directory=str(scratch), **quiet, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def answered(log: Path) -> Path:
    """Where it is noted what was answered."""
    return log.with_suffix(".answered")


def computed(log: Path) -> Counter[str]:
    """How often each row was given to a model."""
    return Counter(log.read_text().splitlines())


def kill_one(client: Client) -> None:
    os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)


def scratch_of(dask_worker: Worker) -> str:
    return str(Path(dask_worker.local_directory).parent)


def registered(dask_scheduler: Scheduler) -> list[str]:
    """What the scheduler gives to all workers, now and later."""
    return list(dask_scheduler.worker_plugins)


async def unload(name: str, dask_worker: Worker) -> None:
    await dask_worker.plugin_remove(name=name)


async def replace_by(name: str, plugin: ModelPlugin, dask_worker: Worker) -> None:
    await dask_worker.plugin_add(plugin, name)
    while plugin.engine is None:  # noqa: ASYNC110  nothing tells when it is there
        await asyncio.sleep(0.01)


def plugins_of(dask_worker: Worker) -> list[str]:
    return list(dask_worker.plugins)


def hide_package(dask_worker: Worker) -> None:
    """Let a worker be as one without this package."""
    sys.modules["hidden"] = sys.modules[ModelPlugin.__module__]
    sys.modules[ModelPlugin.__module__] = None  # type: ignore[assignment]


def show_package(dask_worker: Worker) -> None:
    if "hidden" in sys.modules:
        sys.modules[ModelPlugin.__module__] = sys.modules.pop("hidden")


def pass_for_forgotten(dask_worker: Worker) -> None:
    """Let the time be over after which a model goes that nobody looks at."""
    for plugin in dask_worker.plugins.values():
        for timer in plugin.users.values() if isinstance(plugin, ModelPlugin) else ():
            timer._callback(*timer._args)  # type: ignore[attr-defined]


async def break_models(dask_worker: Worker) -> None:
    """Let what runs the models of a worker end, as after a failure."""
    for plugin in dask_worker.plugins.values():
        if isinstance(plugin, ModelPlugin) and plugin.engine is not None:
            await asyncio.to_thread(plugin.engine.close)


def lose_answers(dask_worker: Worker) -> None:
    """Let each group of calls end as where the worker dies or its model fails."""
    for plugin in dask_worker.plugins.values():
        if isinstance(plugin, ModelPlugin):
            plugin.answer = _fail  # type: ignore[assignment, method-assign]


def find_answers(dask_worker: Worker) -> None:
    for plugin in dask_worker.plugins.values():
        vars(plugin).pop("answer", None)


def _fail(_calls: object) -> list[Any]:
    raise EngineClosedError
