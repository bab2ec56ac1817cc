"""Requests of a front end that take time: prompts and commands, each on its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from jupyter_llm.common.bars import Pace, Step
from jupyter_llm.common.workers import UserCode, start_worker
from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.errors import OneLine
from jupyter_llm.frontends.comm.messages import PendingData

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BUG = "This is a bug of jupyter_llm: please report it with the text of `%llm /doctor`."


def said_of(error: BaseException) -> str:
    """Return the message that a front end shows for an error; an unexpected one is our bug."""
    if isinstance(error, OneLine):
        return str(error)
    logger.debug("A request of a front end has failed", exc_info=error)
    text = f"{type(error).__name__}: {error}".removesuffix(".")
    is_bug = isinstance(error, Exception) and not isinstance(error, OSError | MemoryError)
    return f"{text}. {_BUG}" if is_bug else text  # else a full disk, or `exit()` in an expression


class Audience(Protocol):
    """Receives the progress of jobs. All methods return at once, from any thread."""

    def tell_progress(self, job: Job) -> None:
        """Say how far a job is that shows nothing yet."""

    def show(self, job: Job, stream: Stream) -> None:
        """Show the growing text of a stream."""

    def end(self, job: Job, error: str | None) -> None:
        """Take in that it has ended or is stopped, and why if it failed; the rest is dropped."""


class Job:
    """A prompt or a command on its way, under the id of the message that asked for it.

    `work` is given the job and runs on a thread of its own. `stop` ends what it writes or the
    user's code that it runs; elsewhere the work looks whether it is to go on. What a stopped job
    still comes to is dropped.
    """

    def __init__(
        self, request_id: str, text: str, work: Callable[[Job], None], audience: Audience
    ) -> None:
        self.id = request_id
        self.text = text
        self.progress: Step | None = None
        self._pace = Pace()
        self.turn: int | None = None  # that has begun; it belongs to the audience
        self.is_discarded = False  # with its chat; it belongs to the audience
        self.is_command = False  # `work` sets it once it has read the text
        self._work = work
        self._stream: Stream | None = None
        self._code: UserCode[Any] | None = None
        self._audience = audience
        self._is_stopped = False
        self._lock = threading.Lock()  # guards what goes on against a stop

    @property
    def data(self) -> PendingData:
        """The job as the front end knows it."""
        return PendingData(id=self.id, text=self.text, progress=self.progress)

    @property
    def is_unanswered(self) -> bool:
        """Whether it was stopped before the first word, or is a prompt that was refused."""
        stream = self._stream
        if stream is None:
            return self.turn is None and not self.is_command
        if not stream.future.done():
            return False
        if stream.future.exception() is not None:
            return not (self.is_command or stream.written or stream.reasoning)
        answer = stream.future.result()
        return answer.finish_reason == "cancelled" and not (answer.text or answer.reasoning)

    def start(self) -> None:
        """Begin on a thread of its own."""
        try:
            start_worker(self._run, f"jupyter-llm-job-{self.id}")
        except RuntimeError as error:  # no more threads
            self._audience.end(self, said_of(error))

    def stop(self) -> None:
        """End it; what there is of a text stays. Returns at once."""
        with self._lock:
            self._is_stopped = True
            stream, code = self._stream, self._code
        if code is not None:
            code.give_up()
        if stream is not None and not stream.future.done():
            stream.cancel()
        else:
            self._audience.end(self, None)

    def check(self) -> None:
        """Go no further if it was stopped: raise `PromptInterrupted`."""
        if self._is_stopped:
            raise PromptInterrupted

    def hold(self, stream: Stream) -> None:
        """Take in what is being written from now on."""
        with self._lock:
            self._stream = stream
            is_stopped = self._is_stopped
        if is_stopped:
            stream.cancel()

    def run(self, call: Callable[[], T]) -> T:
        """Run code of the user's and return what it returns, unless the job is stopped."""
        code = UserCode(call, f"jupyter-llm-code-{self.id}", ending=PromptInterrupted)
        with self._lock:
            self._code = code
        try:
            self.check()
            code.start()
            return code.result()
        finally:
            self._code = None

    def show(self, stream: Stream) -> Completion:
        """Let the text of a stream be shown while it grows, and wait for its end."""
        self.hold(stream)
        self._audience.show(self, stream)
        return stream.result()

    def _run(self) -> None:
        error: str | None = None
        try:
            self.check()
            self._work(self)
        except KeyboardInterrupt:  # ours: nobody else interrupts this thread
            self._is_stopped = True
        except BaseException as failure:  # noqa: BLE001  a prompt may hold any code of the user's
            error = said_of(failure)
        finally:
            self._audience.end(self, error)

    def tell(self, step: Step) -> None:
        """Say what goes on, as loading; a request that was stopped ends there."""
        self.check()
        self.note(step)

    def note(self, step: Step) -> None:
        """Say what goes on, where that takes its time."""
        if self._pace.is_due():
            self.progress = step
            self._audience.tell_progress(self)
