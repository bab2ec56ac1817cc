"""What a page asks for and takes its time, by the ids of its requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.lab.messages import ErrorMessage, ProgressMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.base import Stream
    from jupyter_llm.frontends.lab.messages import Cancel, ToLab
    from jupyter_llm.frontends.lab.session import Session


class PageJobs:
    """The jobs of one part of a session, and who hears how they go; see `Audience`.

    Each request is answered once, and nothing is said of it afterwards. `stopped` says that one was
    stopped before it came to anything.
    """

    stopped = "Stopped."

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def _begin(self, request_id: str, text: str, work: Callable[[Job], None]) -> None:
        job = Job(request_id, text, work, self)
        with self._lock:
            self._jobs[job.id] = job
        job.start()

    def _cancel(self, message: Cancel) -> None:
        if (job := self._jobs.get(message.target)) is not None:
            job.stop()

    def tell_progress(self, job: Job) -> None:
        """Say how far a job is that shows nothing yet."""
        if job.progress is not None:
            self._tell(job, ProgressMessage(id=job.id, progress=job.progress))

    def show(self, job: Job, stream: Stream) -> None:
        """Show nothing of what is written."""

    def give_up(self, job: Job) -> None:
        """Say that a job was stopped; whatever it still comes to is dropped."""
        self.end(job, self.stopped)

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job's work has ended, and why if it came to nothing."""
        self._finish(job, ErrorMessage(id=job.id, text=error or self.stopped))

    def _tell(self, job: Job, message: ToLab) -> None:
        with self._lock:
            if job.id in self._jobs:
                self._session.outbox.put(message)

    def _finish(self, job: Job, message: ToLab) -> None:
        """Answer a request, once."""
        with self._lock:
            if self._jobs.pop(job.id, None) is not None:
                self._session.outbox.put(message)
