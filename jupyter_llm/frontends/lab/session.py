"""One page that shows a notebook, over one comm: takes its messages and lets others do the work."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm._version import __version__
from jupyter_llm.common.workers import start_worker
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.frontends.comm.outbox import Outbox
from jupyter_llm.frontends.lab.messages import (
    PROTOCOL,
    Ack,
    ErrorMessage,
    FromLab,
    Hello,
    PathMessage,
    ToLab,
    Welcome,
    is_other_hello,
    read_message,
)
from jupyter_llm.frontends.lab.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_llm.api import LLM

logger = logging.getLogger(__name__)


class Part(Protocol):
    """What answers some kinds of messages of one page."""

    def by_type(self) -> Mapping[type[FromLab], Callable[[Any], None]]:
        """What takes each kind of message. Returns at once; see `Session.work`.

        Several parts may take the same kind: each knows the requests that are its own to cancel.
        """

    def close(self) -> None:
        """Take in that the page has gone."""


class Session:
    """A page with a notebook, as the kernel knows it.

    Messages come on a subshell's thread, in their order, also while a cell runs; whoever takes one
    returns at once. `parts` are made for this session, and take all but what is about the session
    itself. `on_hello` is called when the page has said who it is, `on_end` once, when it has gone.
    """

    def __init__(
        self,
        llm: LLM,
        send: Callable[[Any], None],
        parts: Sequence[Callable[[Session], Part]],
        on_hello: Callable[[Session], None],
        on_end: Callable[[Session], None],
    ) -> None:
        self.llm = llm
        self.outbox = Outbox(send)
        self.client = self.path = ""
        self._place = Place(llm.notebook)
        self._on_hello = on_hello
        self._on_end = on_end
        self._is_closed = False
        self._pid = os.getpid()
        self._parts = [make(self) for make in parts]
        self._handlers: dict[type[FromLab], list[Callable[[Any], None]]] = {
            Hello: [self._take_in],
            PathMessage: [self._move],
        }
        for part in self._parts:
            for kind, handler in part.by_type().items():
                self._handlers.setdefault(kind, []).append(handler)

    def take(self, content: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        if self._is_closed or os.getpid() != self._pid:
            return
        self.outbox.listen()
        request_id = content.get("id") if isinstance(content, dict) else None
        request_id = request_id if isinstance(request_id, str) else None
        try:
            if is_other_hello(content):
                self._welcome(str(request_id))
                return
            message = read_message(content)
            handlers = self._handlers_of(message)
            self.outbox.put(Ack(id=message.id))
            for handler in handlers:
                handler(message)
        except Exception as error:  # noqa: BLE001  whatever it is, the page must hear of it
            self.refuse(request_id, error)

    def _handlers_of(self, message: FromLab) -> list[Callable[[Any], None]]:
        handlers = self._handlers.get(type(message), [])
        if not handlers or not (self.client or isinstance(message, Hello)):
            raise ValueError("Nobody here takes such a message, or not before a hello.")
        return handlers

    def work(self, request_id: str, work: Callable[[], ToLab | None]) -> None:
        """Do something on a thread of its own, and send what it returns."""

        def run() -> None:
            try:
                answer = work()
            except BaseException as error:  # noqa: BLE001  it may run code of the user's
                self.refuse(request_id, error)
            else:
                if answer is not None:
                    self.outbox.put(answer)

        start_worker(run, f"jupyter-llm-lab-{request_id}")

    def refuse(self, request_id: str | None, error: BaseException) -> None:
        """Say why a request came to nothing."""
        is_known = isinstance(error, JupyterLLMError | ValueError)
        if not is_known:
            logger.error("A message of the extension failed", exc_info=error)
        try:
            said = str(error) if is_known else f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001  it may be of the user's making
            said = type(error).__name__
        self.outbox.put(ErrorMessage(id=request_id, text=said))

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

    def _take_in(self, hello: Hello) -> None:
        self.client, self.path = hello.client, hello.path
        self._place.take(hello.path)
        self._on_hello(self)
        self._welcome(hello.id)

    def _welcome(self, request_id: str) -> None:
        self.outbox.put(
            Welcome(
                id=request_id,
                protocol=PROTOCOL,
                version=__version__,
                model=self.llm.current.name_for("complete"),
            )
        )

    def _move(self, message: PathMessage) -> None:
        self.path = message.path
        self._place.take(message.path)
