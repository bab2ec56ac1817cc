"""One front end, over any carrier of its messages: its parts carry out the calls."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec import to_builtins

from jupyter_llm.api import LLM
from jupyter_llm.engine.base import Stream
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import Method, call, methods_of
from jupyter_llm.frontends.comm.jobs import Job, said_of
from jupyter_llm.frontends.comm.messages import ToFrontEnd
from jupyter_llm.frontends.comm.outbox import Outbox

logger = logging.getLogger(__name__)

_ROUTE = "_reply_subshell_for"
_END = "_delete_subshell"
_TICK_S = 1 / 15  # between two messages about what is written


def hear_beside_cells(comm: Any, take: Callable[[Any], None]) -> None:
    """Let `take` have a comm's messages where the front end sent them, and be nothing to cells.

    A front end opens a subshell for a comm, so that its messages need not wait for the cell that
    runs. But ipykernel 7.4 notes on every publish which subshell that came from, and takes the next
    message there (`Kernel.shell_channel_thread_main`): after one from a cell or a thread of ours,
    to the main shell. There is no public way out; None in the method's place is what comms without
    it look like. Besides, a comm's own `handle_msg` calls the shell's `post_execute` on the
    subshell's thread: Matplotlib would take the figure of the cell that runs, and show it nowhere.
    """
    try:
        comm.handle_msg = take
        if callable(getattr(comm, _ROUTE, None)):
            setattr(comm, _ROUTE, None)
    except Exception:  # a comm of another making: messages may wait for the cell
        logger.debug("The comm cannot be changed", exc_info=True)


def end_subshell(comm: Any, subshell: str | None) -> None:
    """End the subshell of a front end that has vanished; there is no public way.

    Returns at once. Nothing happens if the front end has ended it itself.
    """
    channel = getattr(getattr(comm, "kernel", None), "shell_channel_thread", None)
    try:
        if channel is not None and subshell in channel.manager.list_subshell():
            channel.io_loop.add_callback(getattr(channel.manager, _END), subshell)
    except Exception:  # another ipykernel: the thread idles until the kernel ends
        logger.debug("A subshell could not be ended", exc_info=True)


class Part:
    """A group of methods that one front end may call, each decorated with `calls.call`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._llm = line.llm
        self._put = line.put
        line.parts.append(self)
        line.offer(self)

    def stop(self, target: int | str | None) -> None:
        """Stop a request by its id, a turn by its number, or all requests of the front end."""

    def leave(self) -> None:
        """Stop what is done for views only: the last one has closed, or shows nothing of it."""

    def close(self) -> None:
        """End the part: the front end has disconnected."""


class Line:
    """A front end as the kernel knows it: a page, or one chat in a page or a widget.

    A host provides `send` and passes every message to `take`, in order. It does so on a subshell's
    thread, so also while a cell runs. Methods that may take long must reply "on a thread". Parts
    send their messages with `put`.
    """

    def __init__(self, llm: LLM, send: Callable[[Any], None]) -> None:
        self.llm = llm
        self.outbox = Outbox(send)
        self.put = self.outbox.put
        self.parts: list[Part] = []
        self.is_closed = False
        self._methods: dict[str, tuple[object, Method]] = {}
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()  # guards that a job is answered once, and told nothing after
        self._pid = os.getpid()
        self.offer(self)

    def close(self) -> None:
        """Take in that the front end has gone. May be called twice."""
        if self.is_closed:
            return
        self.is_closed = True
        with self._lock:
            self._jobs.clear()  # they run on, but report nothing
        for part in self.parts:
            try:
                part.close()
            except Exception:  # the others are to hear of it as well
                logger.exception("A front end could not be let go of")

    def offer(self, owner: object) -> None:
        """Register the methods of an object that front ends may call."""
        self._methods |= {name: (owner, method) for name, method in methods_of(owner).items()}

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        if not self.is_closed and os.getpid() == self._pid:
            self.outbox.listen()
            self._take(content)

    def _take(self, content: object) -> None:
        request_id = content.get("id") if isinstance(content, dict) else None
        try:
            self._call(messages.read_call(content))
        except Exception as error:  # noqa: BLE001  whatever it is, the front end must hear of it
            known_id = request_id if isinstance(request_id, str) else None
            self.put(messages.ErrorMessage(id=known_id, text=said_of(error)))

    def _call(self, called: messages.MethodCall) -> None:
        if called.method not in self._methods:
            raise messages.misunderstood(called.method)
        owner, method = self._methods[called.method]
        run = method.bind(owner, called.arguments)
        if method.replies == "at once":
            self.put(messages.Reply(called.id, run(called.id)))
            return
        self.put(messages.Ack(called.id))
        if method.replies == "later":
            run(called.id)
        else:
            self.work(called.id, run, called.method)

    @call("at once")
    def stop(self, target: int | str | None) -> None:
        """Stop a request by its id; in a chat also a turn by its number, or all requests."""
        if (job := self._jobs.get(str(target))) is not None:
            job.stop()
        for part in self.parts:
            part.stop(target)

    def greet(self, request: str, client: str, path: str) -> None:
        """Take in a page that says hello."""

    # What takes its time

    def work(self, request_id: str, work: Callable[[Job], Any], method: str) -> None:
        """Run a method's work on a thread of its own, and reply with its result.

        A request has one reply: an error if the work fails or is stopped.
        """

        def answer(job: Job) -> None:
            self._finish(job, messages.Reply(job.id, to_builtins(work(job))))

        job = Job(request_id, method, answer, self)
        with self._lock:
            self._jobs[job.id] = job
        job.start()

    def tell_progress(self, job: Job) -> None:
        """Say how far a job is that shows nothing yet; see `Audience`."""
        if job.progress is not None:
            self._tell(job, messages.ProgressMessage(id=job.id, progress=job.progress))

    def show(self, job: Job, stream: Stream) -> None:
        """Say what is written, piece by piece, until its end."""
        reported_s, length = float("-inf"), 0
        for _ in stream.chunks(_TICK_S):
            if time.monotonic() - reported_s >= _TICK_S:
                reported_s = time.monotonic()
                length = self._tell_more(job, stream, length)
        self._tell_more(job, stream, length)

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job has ended or is stopped, and why if it failed."""
        self._finish(job, messages.ErrorMessage(id=job.id, text=error or "Stopped."))

    def _tell_more(self, job: Job, stream: Stream, length: int) -> int:
        """Say what was written since the text was so long, and how long it is."""
        step, text = stream.progress.step, stream.written
        more, is_new = text[length:], length == 0
        self._tell(job, messages.ProgressMessage(step, job.id, text=more, is_new=is_new))
        return len(text)

    def _tell(self, job: Job, message: ToFrontEnd) -> None:
        with self._lock:
            if job.id in self._jobs:
                self.put(message)

    def _finish(self, job: Job, message: ToFrontEnd) -> None:
        with self._lock:
            if self._jobs.pop(job.id, None) is not None:
                self.put(message)
