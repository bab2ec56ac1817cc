"""Takes the messages of a front end, on whatever thread they come, and lets others do the work."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.workers import start_worker
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.frontends.comm.messages import Ack, ErrorMessage, read_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.frontends.comm.messages import FromFrontEnd, ToFrontEnd

logger = logging.getLogger(__name__)

_ROUTE = "_reply_subshell_for"


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


class Inbox:
    """The way from a front end: hands each message to those who take its type.

    Whoever takes one returns at once. Several may take the same type: each knows the requests that
    are its own to cancel. `put` sends what is answered.
    """

    def __init__(self, put: Callable[[ToFrontEnd], None]) -> None:
        self.put = put
        self._takers: dict[type[FromFrontEnd], list[Callable[[Any], object]]] = {}

    def add(self, takers: Mapping[type[FromFrontEnd], Callable[[Any], object]]) -> None:
        """Let types of messages be taken from now on."""
        for kind, taker in takers.items():
            self._takers.setdefault(kind, []).append(taker)

    def answer(self, replies: Mapping[type[FromFrontEnd], Callable[[Any], ToFrontEnd]]) -> None:
        """Let types of messages be answered from now on, each on a thread: it may take a while."""
        self.add({kind: partial(self._answer, reply) for kind, reply in replies.items()})

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        request_id = content.get("id") if isinstance(content, dict) else None
        try:
            message = read_message(content)
            takers = self._takers.get(type(message))
            if takers is None:
                raise ValueError("Nobody takes such a message here.")  # noqa: TRY301  told below
            self.put(Ack(id=message.id))
            for taker in takers:
                taker(message)
        except Exception as error:  # noqa: BLE001  whatever it is, the front end must hear of it
            self.refuse(request_id if isinstance(request_id, str) else None, error)

    def _answer(self, reply: Callable[[Any], ToFrontEnd], asked: FromFrontEnd) -> None:
        self.work(asked.id, partial(reply, asked))

    def work(self, request_id: str, work: Callable[[], ToFrontEnd | None]) -> None:
        """Do something on a thread of its own, and send what it returns."""

        def run() -> None:
            try:
                answer = work()
            except BaseException as error:  # noqa: BLE001  it may run code of the user's
                self.refuse(request_id, error)
            else:
                if answer is not None:
                    self.put(answer)

        start_worker(run, f"jupyter-llm-reply-{request_id}")

    def refuse(self, request_id: str | None, error: BaseException) -> None:
        """Say why a request came to nothing."""
        is_known = isinstance(error, JupyterLLMError | ValueError)
        if not is_known:
            logger.error("A message of a front end failed", exc_info=error)
        said = str(error) if is_known else f"{type(error).__name__}: {error}"
        self.put(ErrorMessage(id=request_id, text=said))
