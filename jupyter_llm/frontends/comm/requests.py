"""What is asked for in a panel and takes its time: prompts and commands, each on its thread."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_llm.common.workers import UserCode, start_worker
from jupyter_llm.errors import JupyterLLMError, PromptInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.engine.base import Completion, Stream
    from jupyter_llm.frontends.comm.parts import PendingData, ProgressData
    from jupyter_llm.frontends.comm.sync import KernelSide

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BAR = re.compile(r"(?P<what>.*?):?\s+(?P<percent>\d{1,3})%\|")


class Request:
    """A prompt or a command on its way.

    `work` is given the request and runs on a thread of its own. `stop` ends what it writes or the
    code of the user's that it runs; elsewhere the work itself looks whether it is to go on. Nobody
    waits for that: whatever a stopped request still comes to is dropped.
    """

    def __init__(
        self, request_id: str, text: str, work: Callable[[Request], None], side: KernelSide
    ) -> None:
        self.id = request_id
        self.text = text
        self.progress: ProgressData | None = None
        self._work = work
        self._stream: Stream | None = None
        self._code: UserCode[Any] | None = None
        self._side = side
        self._is_stopped = False
        self._lock = threading.Lock()  # guards what goes on against a stop

    @property
    def data(self) -> PendingData:
        """The request as the front end knows it."""
        return {"id": self.id, "text": self.text, "progress": self.progress}

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it."""
        return self._is_stopped

    def start(self) -> None:
        """Begin the work. Returns at once.

        Raises
        ------
        RuntimeError
            There is no room for another thread.
        """
        start_worker(self._run, f"jupyter-llm-request-{self.id}")

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
            self._side.give_up(self)

    def check(self) -> None:
        """Go no further if it was stopped.

        Raises
        ------
        PromptInterrupted
        """
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
        """Run code of the user's and return what it returns, unless the request is stopped."""
        code = UserCode(call, f"jupyter-llm-code-{self.id}")
        with self._lock:
            self._code = code
        try:
            self.check()
            return code.result()
        finally:
            self._code = None

    def show(self, stream: Stream) -> Completion:
        """Let the text of a stream be shown while it grows, and wait for its end."""
        self.hold(stream)
        self._side.show(self, stream)
        return stream.result()

    def _run(self) -> None:
        error: str | None = None
        try:
            self.check()
            self._work(self)
        except KeyboardInterrupt:  # ours: nobody else interrupts this thread
            self._is_stopped = True
        except JupyterLLMError as refusal:
            error = str(refusal)
        except BaseException as failure:  # a prompt may hold any code of the user's
            logger.debug("A request of the panel failed", exc_info=True)
            error = f"{type(failure).__name__}: {failure}"
        finally:
            self._side.end(self, error)

    # As a `View`: where a loading bar appears

    def progress_text(self, text: str) -> None:
        """Take in how far a model is loaded."""
        self.check()
        bar = _BAR.match(text)
        share = int(bar["percent"]) / 100 if bar is not None else None
        words = text if bar is None else f"{bar['what']}: {bar['percent']}%"
        self.progress = {"text": words, "share": share}
        self._side.tell_progress(self)


class LoadingView:
    """Where the loading bar of a request appears; a request that was stopped ends the loading."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def progress(self, text: str) -> None:
        """Show how far the model is."""
        self._request.progress_text(text)

    def update(self, text: str) -> None:
        """Do nothing: the chat shows its turns."""

    def close(self, text: str, note: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""
