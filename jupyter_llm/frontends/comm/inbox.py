"""Takes the messages of a front end, on whatever thread they come, and lets others do the work."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.workers import start_worker
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.frontends.comm.drafting import Drafting
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.messages import (
    Ack,
    Bye,
    Choose,
    Dismiss,
    DraftMessage,
    ErrorMessage,
    Hello,
    Regenerate,
    Remove,
    Send,
    Stop,
    read_message,
)
from jupyter_llm.frontends.comm.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.frontends.comm.asker import Asker
    from jupyter_llm.frontends.comm.messages import FromFrontEnd, ToFrontEnd
    from jupyter_llm.frontends.comm.sync import KernelSide

logger = logging.getLogger(__name__)


class Inbox:
    """The way from the front end.

    What may take its time runs on workers; nothing here waits for anything.
    """

    def __init__(self, side: KernelSide, asker: Asker) -> None:
        self._side = side
        self._asker = asker
        self._questions = Questions(side.chat, side.answer)
        self._drafting = Drafting(side.chat, asker.draft)
        self._handlers: dict[type[FromFrontEnd], Callable[[Any], None]] = {
            Hello: side.welcome,
            Bye: self._farewell,
            DraftMessage: self._drafting.take,
            Send: self._send,
            Regenerate: self._regenerate,
            Stop: lambda message: side.stop(message.target),
            Choose: lambda message: side.chat.choose(message.number),
            Remove: lambda message: side.chat.remove(message.number),
            Dismiss: lambda message: side.dismiss(message.notice),
            **{
                kind: partial(self._answer, reply)
                for kind, reply in self._questions.by_type().items()
            },
        }

    def close(self) -> None:
        """Let no code land any more, and nothing be read ahead."""
        self._questions.close()
        self._drafting.close()

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        self._side.outbox.listen()
        request_id = content.get("id") if isinstance(content, dict) else None
        try:
            message = read_message(content)
            self._side.outbox.put(Ack(id=message.id))
            self._handlers[type(message)](message)
        except Exception as error:  # noqa: BLE001  whatever it is, the front end must hear of it
            self._refuse(request_id if isinstance(request_id, str) else None, error)

    def _farewell(self, _message: Bye) -> None:
        self._drafting.drop()
        self._side.farewell()

    def _send(self, message: Send) -> None:
        self._drafting.drop()
        self._begin(message.id, message.text, partial(self._asker.send, message))

    def _regenerate(self, message: Regenerate) -> None:
        turn = self._side.chat.turn(message.number)
        self._begin(message.id, turn.prompt, partial(self._asker.regenerate, message, turn))

    def _begin(self, request_id: str, text: str, work: Callable[[Job], None]) -> None:
        self._side.begin(Job(request_id, text, work, self._side))

    def _answer(self, reply: Callable[[Any], ToFrontEnd], message: FromFrontEnd) -> None:
        """Answer a question on a thread of its own: it may take a while to know."""

        def work() -> None:
            try:
                self._side.outbox.put(reply(message))
            except Exception as error:  # noqa: BLE001  as above
                self._refuse(message.id, error)

        start_worker(work, f"jupyter-llm-reply-{message.id}")

    def _refuse(self, request_id: str | None, error: Exception) -> None:
        if not isinstance(error, JupyterLLMError | ValueError):
            logger.error("A message of the front end failed", exc_info=error)
        self._side.outbox.put(ErrorMessage(id=request_id, text=str(error)))
