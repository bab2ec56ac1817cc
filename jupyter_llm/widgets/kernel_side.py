"""The kernel's side of a panel: keeps all its views equal to the chat."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from jupyter_llm.widgets.gauge import NO_MODEL, status_data
from jupyter_llm.widgets.messages import PROTOCOL
from jupyter_llm.widgets.mirror import Mirror
from jupyter_llm.widgets.outbox import Outbox
from jupyter_llm.widgets.workers import Chore

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from jupyter_llm.chat import Chat
    from jupyter_llm.engine.base import Completion, Stream
    from jupyter_llm.notebook.budget import ContextMode
    from jupyter_llm.widgets.messages import Hello, ToFrontEnd
    from jupyter_llm.widgets.parts import NoticeData, ProposalData, StatusData
    from jupyter_llm.widgets.requests import Request

# Between two messages about what is written, at the least. A page that draws costs the model a part
# of the cores, and twice as often is no smoother to read.
_TICK_S = 1 / 15
_GROWTH_S = 0.2  # between two states of a notice, which is sent whole
_GAUGE_S = 1.0
_MOST_NOTICES = 50


class KernelSide:
    """What a panel's views know, and what tells them more.

    The chat is the truth. Whatever changes it, also elsewhere, wakes up the thread
    "jupyter-llm-panel", which says what is new; while something is written it does so fifteen
    times a second, and it ends when nothing is. All methods return at once, from any thread.

    `on_settled` is called when a turn has ended or the path has changed, on that thread.
    """

    def __init__(
        self,
        chat: Chat,
        mode: ContextMode,
        send: Callable[[Any], None],
        on_settled: Callable[[], None],
    ) -> None:
        self.chat = chat
        self.mode = mode
        self.outbox = Outbox(send)
        self._on_settled = on_settled
        self._mirror = Mirror()
        self._notices: dict[str, NoticeData] = {}
        self._answers: dict[str, Completion] = {}  # what notices hold, by their ids
        self._running: dict[str, Request] = {}
        self._pending: dict[str, Request] = {}  # those without a turn or a notice
        self._turn_requests: dict[int, str] = {}  # ids by the numbers of turns, not told yet
        self._growing: dict[str, tuple[Request, Stream]] = {}
        self._grew_s = 0.0
        self._status: StatusData = NO_MODEL
        self._beginning = threading.local()
        self._lock = threading.RLock()  # guards all of this, and the order of what is sent
        self._pump = Chore(self._tick, "jupyter-llm-panel")
        self._gauge = Chore(self._measure, "jupyter-llm-gauge")
        self._unwatch = chat.watch(_weak(self))

    def close(self) -> None:
        """Watch the chat no more; what is being written goes on."""
        self._unwatch()
        self._pump.close()
        self._gauge.close()

    # What views ask for

    def welcome(self, hello: Hello) -> None:
        """Tell a view all there is."""
        with self._lock:
            self._publish()
            self.outbox.put(
                {
                    "type": "snapshot",
                    "id": hello["id"],
                    "view": hello["view"],
                    "protocol": PROTOCOL,
                    "chat": self.chat.name,
                    "turns": self._mirror.turns,
                    "path": self._mirror.path,
                    "status": self._status,
                    "notices": list(self._notices.values()),
                    "pending": [request.data for request in self._pending.values()],
                }
            )
        self._pump.ask()
        self._gauge.ask()

    def stop(self, target: int | str | None) -> None:
        """Stop a turn by its number, a request by its id, or all that goes on in the chat."""
        for exchange in self.chat.exchanges:
            if target in (None, exchange.number) and (stream := exchange.stream) is not None:
                stream.cancel()
        with self._lock:
            requests = list(self._running.values())
        for request in requests:
            if target in (None, request.id):
                request.stop()

    def dismiss(self, notice: str) -> None:
        """Put a notice away."""
        with self._lock:
            self._notices.pop(notice, None)
            self._answers.pop(notice, None)
            self.outbox.put({"type": "dismissed", "id": notice})

    def answer(self, notice: str) -> Completion | None:
        """Return the completion that a notice shows, if it does."""
        return self._answers.get(notice)

    # How requests go

    def begin(self, request: Request) -> None:
        """Take in a request, and let it run."""
        with self._lock:
            self._running[request.id] = self._pending[request.id] = request
            self.outbox.put({"type": "pending", "pending": request.data})
        request.start()

    def tell_progress(self, request: Request) -> None:
        """Say how far a pending request is."""
        with self._lock:
            progress = request.progress
            if request.id in self._pending and progress is not None:
                self.outbox.put(
                    {
                        "type": "progress",
                        "id": request.id,
                        "number": None,
                        "text": progress["text"],
                        "share": progress["share"],
                    }
                )

    def send_prompt(self, request: Request, prompt: str, **options: Any) -> Stream:
        """Send a prompt of a request to the chat; the turn that appears is the request's.

        Waits for the engine, and only returns early in an error.
        """
        known = frozenset(exchange.number for exchange in self.chat.exchanges)
        self._beginning.request, self._beginning.known = request, known
        try:
            stream = self.chat.stream(prompt, context=self.mode, **options)
        finally:
            self._beginning.request = None
        request.hold(stream)
        return stream

    def show(self, request: Request, stream: Stream) -> None:
        """Show the growing text of a stream as the notice of a request."""
        with self._lock:
            if request.id in self._running:
                self._growing[request.id] = request, stream
        self._pump.ask()

    def notify(
        self,
        request: Request,
        markdown: str,
        *,
        is_error: bool = False,
        proposal: ProposalData | None = None,
        answer: Completion | None = None,
    ) -> None:
        """Show what a request has come to, in its final form."""
        with self._lock:
            if request.id not in self._running:
                return  # it was stopped meanwhile
            self._growing.pop(request.id, None)
            if answer is not None:
                self._answers[request.id] = answer
            self._put_notice(
                request, markdown, is_finished=True, is_error=is_error, proposal=proposal
            )
        self._gauge.ask()

    def give_up(self, request: Request) -> None:
        """Say that a request was stopped; whatever it still comes to is dropped."""
        with self._lock:
            self._running.pop(request.id, None)
            self._drop(request)

    def end(self, request: Request, error: str | None) -> None:
        """Take in that a request's work has ended, and why if it came to nothing."""
        with self._lock:
            if error is not None:
                self.notify(request, error, is_error=True)
            if self._running.pop(request.id, None) is not None:
                self._drop(request)
        self._gauge.ask()

    def _drop(self, request: Request) -> None:
        """Forget a request that shows nothing; of one that does, what it shows stays."""
        growing = self._growing.pop(request.id, None)
        if growing is not None and (shown := self._notices.get(request.id)) is not None:
            self._put_notice(request, shown["markdown"], is_finished=True)
        elif self._pending.pop(request.id, None) is not None:
            self.outbox.put({"type": "cancelled", "id": request.id})

    def _put_notice(
        self,
        request: Request,
        markdown: str,
        *,
        is_finished: bool,
        is_error: bool = False,
        proposal: ProposalData | None = None,
    ) -> None:
        old = self._notices.get(request.id)
        path = self._mirror.path
        notice: NoticeData = {
            "id": request.id,
            "after": old["after"] if old is not None else path[-1] if path else 0,
            "prompt": request.text,
            "markdown": markdown,
            "level": "error" if is_error else "info",
            "is_finished": is_finished,
            "proposal": proposal,
        }
        if notice == old:
            return
        self._pending.pop(request.id, None)
        self._notices[request.id] = notice
        while len(self._notices) > _MOST_NOTICES:
            oldest = next(iter(self._notices))
            self._answers.pop(oldest, None)
            del self._notices[oldest]
        self.outbox.put({"type": "notice", "notice": notice})

    # What is new

    def changed(self) -> None:
        """Take note that the chat has changed; it calls this on whichever thread changed it."""
        request: Request | None = getattr(self._beginning, "request", None)
        if request is not None:
            self._note_turn(request, self._beginning.known)
        self._pump.ask()

    def _note_turn(self, request: Request, known: Container[int]) -> None:
        """Find the turn of a request that has begun just now: the last one that is new."""
        with self._lock:
            for exchange in reversed(self.chat.exchanges):
                number = exchange.number
                if number not in known and number not in self._turn_requests:
                    self._turn_requests[number] = request.id
                    self._pending.pop(request.id, None)
                    self._beginning.request = None
                    return

    def _tick(self) -> tuple[float, bool]:
        """Send what is new; return when to look again, and whether that is needed."""
        with self._lock:
            num_sent = self._publish() + self._grow()
            goes_on = bool(self._growing)
        goes_on = goes_on or any(not exchange.is_finished for exchange in self.chat.exchanges)
        return _TICK_S * max(num_sent, 1), goes_on

    def _publish(self) -> int:
        exchanges = self.chat.exchanges
        engine = self.chat.llm.resident_engine
        model = engine.info.name if engine is not None else None
        messages = list(self._mirror.news(exchanges, model, self._turn_requests))
        for exchange in exchanges:
            self._turn_requests.pop(exchange.number, None)
        for message in messages:
            self.outbox.put(message)
        if any(map(_settles, messages)):
            self._gauge.ask()
            self._on_settled()
        return len(messages)

    def _grow(self) -> int:
        """Send the notices that have grown."""
        if not self._growing or time.monotonic() - self._grew_s < _GROWTH_S:
            return 0
        self._grew_s = time.monotonic()
        texts = [(request, stream.written) for request, stream in self._growing.values()]
        for request, text in texts:
            if text:
                self._put_notice(request, text, is_finished=False)
        return len(texts)

    def _measure(self) -> tuple[float, bool]:
        """Send how full the context is. Waits for the engine, so it has a thread of its own."""
        status = status_data(self.chat, self.mode)
        with self._lock:
            if status != self._status:
                self._status = status
                self.outbox.put({"type": "status", "status": status})
        return _GAUGE_S, False


def _settles(message: ToFrontEnd) -> bool:
    if message["type"] == "turn":
        return message["turn"]["state"] == "finished"
    return message["type"] == "path"


def _weak(side: KernelSide) -> Callable[[], None]:
    """Return what tells a side that its chat has changed, and does not keep it alive."""
    reference = weakref.ref(side)

    def changed() -> None:
        alive = reference()
        if alive is not None:
            alive.changed()

    return changed
