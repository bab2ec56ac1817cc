"""The models that a page may choose from, and the loading of one."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.lab.messages import (
    Cancel,
    DoneMessage,
    ErrorMessage,
    ListModels,
    ModelData,
    Models,
    ProgressMessage,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.engine.base import Stream
    from jupyter_llm.frontends.lab.messages import FromLab, ToLab
    from jupyter_llm.frontends.lab.session import Session


class ModelChoice:
    """Lists models for one page, and loads those it chooses.

    A page that has gone stops no loading: whoever loads it again wants the model.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def by_type(self) -> Mapping[type[FromLab], Callable[[Any], None]]:
        """What takes each kind of message."""
        return {ListModels: self._list, Use: self._use, Cancel: self._cancel}

    def close(self) -> None:
        """Do nothing: what is loaded is loaded for the kernel."""

    def _list(self, message: ListModels) -> None:
        self._session.work(message.id, partial(self._models, message))

    def _models(self, message: ListModels) -> Models:
        from jupyter_llm.models.discover import list_models
        from jupyter_llm.models.inspect import inspect

        engine = self._session.llm.current.resident
        loaded = engine.info.path if engine is not None else None
        # Of two files with one name the first one is meant by it.
        by_name = {entry.name: entry for entry in reversed(list_models())}
        models = [
            ModelData(
                name=entry.name,
                size_bytes=inspect(entry.path).size_bytes,
                is_loaded=entry.path == loaded,
            )
            for entry in reversed(by_name.values())
        ]
        return Models(id=message.id, models=models)

    def _use(self, message: Use) -> None:
        job = Job(message.id, message.model or "", partial(self._load, message.model), self)
        with self._lock:
            self._jobs[job.id] = job
        try:
            job.start()
        except RuntimeError as error:
            self.end(job, f"The kernel has no room for another thread: {error}.")

    def _load(self, model: str | None, job: Job) -> None:
        current = self._session.llm.current
        if model is None:
            current.get(show=job.tell)  # with the options that were chosen, if any were
        else:
            current.use(model, show=job.tell)
        self._answer(job, DoneMessage(id=job.id))

    def _cancel(self, message: Cancel) -> None:
        if (job := self._jobs.get(message.target)) is not None:
            job.stop()

    # How jobs go; see `Audience`

    def tell_progress(self, job: Job) -> None:
        """Say how far a model is loaded."""
        if job.progress is not None and job.id in self._jobs:
            self._session.outbox.put(ProgressMessage(id=job.id, progress=job.progress))

    def show(self, job: Job, stream: Stream) -> None:
        """Show nothing: nothing is written here."""

    def give_up(self, job: Job) -> None:
        """Say that it was stopped; the model's thread hears of it between two tensors."""
        self.end(job, "Loading was stopped.")

    def end(self, job: Job, error: str | None) -> None:
        """Take in that its work has ended, and why if it came to nothing."""
        self._answer(job, ErrorMessage(id=job.id, text=error or "Loading was stopped."))

    def _answer(self, job: Job, message: ToLab) -> None:
        """Answer a request, once."""
        with self._lock:
            if self._jobs.pop(job.id, None) is not None:
                self._session.outbox.put(message)
