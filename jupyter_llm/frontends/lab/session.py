"""One page that shows a notebook, over one comm: takes its messages and lets others do the work."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from jupyter_llm._version import __version__
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.inbox import Inbox
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.messages import PROTOCOL, Welcome
from jupyter_llm.frontends.comm.outbox import Outbox
from jupyter_llm.notebook.cells.path import notebook_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jupyter_llm.api import LLM
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.notebook.cells.path import NotebookIdentity

logger = logging.getLogger(__name__)


class PagePart:
    """What answers some kinds of messages of one page; it says which to the session's inbox."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._put = session.outbox.put

    def close(self) -> None:
        """Take in that the page has gone."""


class PageJobs(PagePart):
    """A part whose work takes its time, and who hears how that goes; see `Audience`.

    Each request is answered once. `stopped` says that one was stopped and came to nothing.
    """

    stopped = "Stopped."

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def _begin(self, request_id: str, text: str, work: Callable[[Job], None]) -> None:
        job = Job(request_id, text, work, self)
        with self._lock:
            self._jobs[job.id] = job
        job.start()

    def _cancel(self, message: messages.Cancel) -> None:
        if (job := self._jobs.get(message.target)) is not None:
            job.stop()

    def tell_progress(self, job: Job) -> None:
        """Say how far a job is that shows nothing yet."""
        if job.progress is not None:
            self._tell(job, messages.ProgressMessage(id=job.id, progress=job.progress))

    def show(self, job: Job, stream: Stream) -> None:
        """Show nothing of what is written."""

    def give_up(self, job: Job) -> None:
        """Say that a job was stopped; whatever it still comes to is dropped."""
        self.end(job, self.stopped)

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job's work has ended, and why if it came to nothing."""
        self._finish(job, messages.ErrorMessage(id=job.id, text=error or self.stopped))

    def _tell(self, job: Job, message: messages.ToFrontEnd) -> None:
        with self._lock:
            if job.id in self._jobs:
                self._put(message)

    def _finish(self, job: Job, message: messages.ToFrontEnd) -> None:
        """Answer a request, once."""
        with self._lock:
            if self._jobs.pop(job.id, None) is not None:
                self._put(message)


class Session:
    """A page with a notebook, as the kernel knows it.

    Messages come on a subshell's thread, in their order, also while a cell runs. `parts` are made
    for this session, and take all but what is about itself. `on_hello` is called when the page has
    said who it is, `on_end` once, when it has gone.
    """

    def __init__(
        self,
        llm: LLM,
        send: Callable[[Any], None],
        parts: Sequence[Callable[[Session], PagePart]],
        on_hello: Callable[[Session], None],
        on_end: Callable[[Session], None],
    ) -> None:
        self.llm = llm
        self.outbox = Outbox(send)
        self.inbox = Inbox(self.outbox.put)
        self.inbox.add({messages.Hello: self._take_in})
        self.client = self.path = ""
        self.take_for_panel: Callable[[str, object], None] = lambda _panel, _content: None
        self._place = NotebookPlace(llm.notebook)
        self._on_hello = on_hello
        self._on_end = on_end
        self._is_closed = False
        self._pid = os.getpid()
        self._parts = [make(self) for make in parts]

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        if self._is_closed or os.getpid() != self._pid:
            return
        self.outbox.listen()
        match content:
            case {"type": "hello", "id": str(asked), "protocol": int(other)} if other != PROTOCOL:
                self._welcome(asked)  # what else it says may mean something else
            case {"panel": str(panel), **message}:
                self.take_for_panel(panel, message)
            case _:
                self.inbox.take(content)

    def close(self) -> None:
        """Take in that the page has gone. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            for part in self._parts:
                try:
                    part.close()
                except Exception:  # the others are to hear of it as well
                    logger.exception("A page could not be let go of")
            self._on_end(self)

    def _take_in(self, hello: messages.Hello) -> None:
        self.client, self.path = hello.client, hello.path
        self._place.take(hello.path)
        self._on_hello(self)
        self._welcome(hello.id)

    def _welcome(self, request_id: str) -> None:
        model = self.llm.current.name_for("complete")
        self.outbox.put(Welcome(id=request_id, protocol=PROTOCOL, version=__version__, model=model))


class NotebookPlace:
    """Keeps the kernel's one notebook true to what a page says of its path."""

    def __init__(self, identity: NotebookIdentity) -> None:
        self._identity = identity
        self._path = ""
        self._file: Path | None = None
        # Beside the comm: a disk may be slow, and chats move along with their notebook.
        self._chore = Chore(self._report, "jupyter-llm-lab-place")

    def take(self, path: str) -> None:
        """Take in where the notebook is now. Returns at once."""
        self._path = path
        self._chore.ask()

    def _report(self) -> tuple[float, bool]:
        started_for = notebook_path()
        file = find_notebook(self._path, started_for)
        if started_for is not None and file is not None:
            if self._identity.path is None:
                self._identity.report(started_for)  # so that a rename since is seen to be one
            if self._file is not None:
                self._identity.moved(self._file, file)
            elif not (self._identity.path or started_for).exists():
                self._identity.report(file)
            self._file = file
        return 0, False


def find_notebook(path: str, started_for: Path | None) -> Path | None:
    """The file that the server calls `path`; None where that is not sure.

    The server's root lies somewhere above the notebook that the kernel was started for.
    """
    if started_for is None:
        return None
    files = [file for root in started_for.parents if (file := root / path).is_file()]
    if started_for in files:
        return started_for
    return files[0] if len(files) == 1 else None
