"""Sends messages to the front end, numbered, from any thread."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from msgspec import to_builtins

from jupyter_llm.frontends.comm.messages import ToFrontEnd

logger = logging.getLogger(__name__)


class Outbox:
    """Sends messages to one front end, numbered in the order in which they are sent.

    Any thread sends in the context of the last message that the front end sent: ipykernel reads
    there which request the new message belongs to, and through which subshell answers come. Before
    the front end's first message nothing is sent, and a forked child never sends: its messages
    would seem to be its parent's.
    """

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._context: contextvars.Context | None = None
        self._num_sent = 0
        self._pid = os.getpid()
        self._lock = threading.Lock()  # so that what is numbered in an order is sent in it

    def listen(self) -> None:
        """Take the context of this thread, where a message of the front end is being handled."""
        self._context = contextvars.copy_context()

    def put(self, message: ToFrontEnd | dict[str, Any]) -> None:
        """Send a message, or one of another line. Returns at once; fails only if it is no JSON."""
        context = self._context
        if context is None or os.getpid() != self._pid:
            return
        content = to_builtins(message)  # first: a number without a message is a gap
        with self._lock:
            self._num_sent += 1
            numbered = {**content, "seq": self._num_sent}
            # A copy, since a context can be entered by one thread at a time.
            run = context.copy().run
            try:
                try:
                    run(self._send, numbered)
                except UnicodeEncodeError:
                    run(self._send, well_formed(numbered))
            except Exception:  # closed, or the kernel ends
                logger.debug("A message could not be sent", exc_info=True)


def well_formed(value: Any) -> Any:
    """JSON in which every text is Unicode: half of a surrogate pair cannot be sent."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {key: well_formed(item) for key, item in value.items()}
    return [well_formed(item) for item in value] if isinstance(value, list) else value
