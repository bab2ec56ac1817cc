"""One front end, over whatever carries its messages: takes what it asks, and lets parts do it."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import OptionError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.jobs import Job, said_of
from jupyter_llm.frontends.comm.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.api import LLM
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.frontends.comm.messages import FromFrontEnd, ToFrontEnd

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
    """What takes some kinds of messages of one front end; it says which to the line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._llm = line.llm
        self._put = line.put
        line.parts.append(self)

    def close(self) -> None:
        """Take in that the front end has gone."""


class Line:
    """A front end as the kernel knows it: a page, or one chat in a page or a widget.

    A host gives `send`, and has `take` be given what comes: on a subshell's thread, in its order,
    also while a cell runs. Whoever takes a message returns at once. Several may take the same kind:
    each knows the requests that are its own. All that the parts say goes out through `put`.
    """

    def __init__(self, llm: LLM, send: Callable[[Any], None]) -> None:
        self.llm = llm
        self.outbox = Outbox(send)
        self.put = self.outbox.put
        self.parts: list[Part] = []
        self.is_closed = False
        self._takers: dict[type[FromFrontEnd], list[Callable[[Any], object]]] = {}
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()  # guards that a job is answered once, and told nothing after
        self._pid = os.getpid()
        self.add({messages.Stop: self._stop})

    def close(self) -> None:
        """Take in that the front end has gone. May be called twice."""
        if self.is_closed:
            return
        self.is_closed = True
        for part in self.parts:
            try:
                part.close()
            except Exception:  # the others are to hear of it as well
                logger.exception("A front end could not be let go of")

    def add(self, takers: Mapping[type[FromFrontEnd], Callable[[Any], object]]) -> None:
        """Let kinds of messages be taken from now on."""
        for kind, taker in takers.items():
            self._takers.setdefault(kind, []).append(taker)

    def answer(self, replies: Mapping[type[FromFrontEnd], Callable[[Any], ToFrontEnd]]) -> None:
        """Let kinds of messages be answered from now on, each on a thread: it may take a while."""
        self.add({kind: partial(self._reply_with, reply) for kind, reply in replies.items()})

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        if not self.is_closed and os.getpid() == self._pid:
            self.outbox.listen()
            self._take(content)

    def _take(self, content: object) -> None:
        request_id = content.get("id") if isinstance(content, dict) else None
        try:
            message = messages.read_message(content)
            takers = self._takers.get(type(message))
            if takers is None:
                raise OptionError("Nobody takes such a message here.")  # noqa: TRY301  told below
            self.put(messages.Ack(id=message.id))
            for taker in takers:
                taker(message)
        except Exception as error:  # noqa: BLE001  whatever it is, the front end must hear of it
            known_id = request_id if isinstance(request_id, str) else None
            self.put(messages.ErrorMessage(id=known_id, text=said_of(error)))

    def _reply_with(self, reply: Callable[[Any], ToFrontEnd], asked: FromFrontEnd) -> None:
        self.work(asked.id, lambda _job: reply(asked))

    # What takes its time

    def work(self, request_id: str, work: Callable[[Job], ToFrontEnd | None]) -> Job:
        """Do something on a thread of its own, and answer with what it returns.

        A request is answered once: with an error if that fails, or is stopped.
        """
        job = Job(request_id, "", lambda job: self._finish(job, work(job)), self)
        with self._lock:
            self._jobs[job.id] = job
        job.start()
        return job

    def _stop(self, message: messages.Stop) -> None:
        if (job := self._jobs.get(str(message.target))) is not None:
            job.stop()

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

    def _finish(self, job: Job, message: ToFrontEnd | None) -> None:
        with self._lock:
            if self._jobs.pop(job.id, None) is not None and message is not None:
                self.put(message)
