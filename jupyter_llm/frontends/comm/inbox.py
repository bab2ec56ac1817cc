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
        try:
            said = str(error) if is_known else f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001  it may be of the user's making
            said = type(error).__name__
        self.put(ErrorMessage(id=request_id, text=said))
