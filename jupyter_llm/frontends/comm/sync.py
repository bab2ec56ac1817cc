"""The kernel's side of a panel: keeps all its views equal to the chat."""

from __future__ import annotations

import os
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm.messages import PROTOCOL
from jupyter_llm.frontends.comm.mirror import Mirror, turn_data
from jupyter_llm.frontends.comm.outbox import Outbox
from jupyter_llm.frontends.comm.status import NO_MODEL, status_at_once, status_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.base import Completion, Stream
    from jupyter_llm.frontends.comm.messages import Hello, Snapshot, ToFrontEnd
    from jupyter_llm.frontends.comm.parts import NoticeData, ProposalData, StatusData
    from jupyter_llm.frontends.comm.requests import Request

# Between two messages about what is written, at the least. A page that draws costs the model a part
# of the cores, and twice as often is no smoother to read.
_TICK_S = 1 / 15
_GROWTH_S = 0.2  # between two states of a notice, which is sent whole
_GAUGE_S = 1.0
_MOST_NOTICES = 50
_MOST_TURNS = 50  # that are told one by one: Jupyter drops messages that flood it


class KernelSide:
    """What a panel's views know, and what tells them more.

    The chat is the truth. Whatever changes it, also elsewhere, wakes up the thread
    "jupyter-llm-panel", which says what is new; while something is written it does so fifteen
    times a second, and it ends when nothing is. Where there is no view, as before the first one and
    where the last one has gone, nothing is said. All methods return at once, from any thread; in a
    forked child they do nothing.

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
        self._has_views = False
        self._pid = os.getpid()
        self._lock = threading.RLock()  # guards all of this, and the order of what is sent
        self._pump = Chore(self._tick, "jupyter-llm-panel")
        self._gauge = Chore(self._measure, "jupyter-llm-gauge")
        changed = _weak(self, KernelSide.changed)
        is_fuller = _weak(self, KernelSide.measure)
        self._unwatch = (
            chat.watch(changed),
            chat.llm.watch(is_fuller),
            chat.llm.timeline.watch(is_fuller),
        )

    def close(self) -> None:
        """Watch the chat no more; what is being written goes on."""
        for unwatch in self._unwatch:
            unwatch()
        self._pump.close()
        self._gauge.close()

    # What views ask for

    def welcome(self, hello: Hello) -> None:
        """Tell a view all there is."""
        with self._lock:
            self._publish()
            self._has_views = True
            self.outbox.put(self._snapshot(hello["view"], hello["id"]))
        self._pump.ask()
        self._gauge.ask()

    def farewell(self) -> None:
        """Say nothing more once the last view has gone; if there is another, it says hello."""
        with self._lock:
            self._tell({"type": "anybody"})
            self._has_views = False

    def stop(self, target: int | str | None) -> None:
        """Stop a turn by its number, a request by its id, or all that goes on in the chat."""
        if not isinstance(target, str):
            self.chat.cancel(target)
        with self._lock:
            requests = list(self._running.values())
        for request in requests:
            if target in (None, request.id):
                request.stop()

    def dismiss(self, notice: str) -> None:
        """Put a notice away; what still writes it is stopped."""
        with self._lock:
            request = self._running.pop(notice, None)
            self._growing.pop(notice, None)
            self._forget_notice(notice)
        if request is not None:
            request.stop()

    def answer(self, notice: str) -> Completion | None:
        """Return the completion that a notice shows, if it does."""
        return self._answers.get(notice)

    # How requests go

    def begin(self, request: Request) -> None:
        """Take in a request, and let it run."""
        with self._lock:
            self._running[request.id] = self._pending[request.id] = request
            self._tell({"type": "pending", "pending": request.data})
        try:
            request.start()
        except RuntimeError as error:
            self.end(request, f"The kernel has no room for another thread: {error}.")

    def tell_progress(self, request: Request) -> None:
        """Say how far a pending request is."""
        with self._lock:
            progress = request.progress
            if request.id in self._pending and progress is not None:
                self._tell(
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
        stream = self.chat.stream(
            prompt, context=self.mode, on_begin=partial(self._note_turn, request), **options
        )
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
        self.measure()

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
        self.measure()

    def _drop(self, request: Request) -> None:
        """Forget a request that shows nothing; of one that does, what it shows stays."""
        growing = self._growing.pop(request.id, None)
        if growing is not None and (shown := self._notices.get(request.id)) is not None:
            self._put_notice(request, shown["markdown"], is_finished=True)
        elif request.id not in self._turn_requests.values():  # else it ends when that is told
            self._end_pending(request.id)

    def _end_pending(self, request_id: str) -> None:
        if self._pending.pop(request_id, None) is not None:
            self._tell({"type": "cancelled", "id": request_id})

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
        self._tell({"type": "notice", "notice": notice})
        while len(self._notices) > _MOST_NOTICES:
            self._forget_notice(next(iter(self._notices)))

    def _forget_notice(self, notice: str) -> None:
        self._notices.pop(notice, None)
        self._answers.pop(notice, None)
        self._tell({"type": "dismissed", "id": notice})

    # What is new

    def changed(self) -> None:
        """Take note that the chat has changed; it calls this on whichever thread changed it."""
        if self._is_ours:
            self._pump.ask()

    def measure(self) -> None:
        """Take note that the context may be fuller or emptier, or the model another one."""
        if self._is_ours and self._has_views:
            self._gauge.ask()

    @property
    def _is_ours(self) -> bool:
        """Whether this is the process with the views; a fork has locks that nobody lets go of."""
        return os.getpid() == self._pid

    def _note_turn(self, request: Request, number: int) -> None:
        """Take note of the turn that a request has become."""
        with self._lock:
            if request.id in self._pending:
                self._turn_requests[number] = request.id

    def _tick(self) -> tuple[float, bool]:
        """Send what is new; return when to look again, and whether that is needed."""
        with self._lock:
            num_sent = self._publish() + self._grow()
            is_growing = self._mirror.is_growing or bool(self._growing)
            return _TICK_S * max(num_sent, 1), is_growing and self._has_views

    def _publish(self) -> int:
        """Send what is new of the turns, and return how many messages that took."""
        exchanges = self.chat.exchanges
        engine = self.chat.llm.resident_engine
        model = engine.info.name if engine is not None else None
        requests, self._turn_requests = self._turn_requests, {}
        news = list(self._mirror.news(exchanges, model, requests))
        for number, request_id in requests.items():
            if number in self._mirror:
                self._pending.pop(request_id, None)
            else:
                self._tell_elsewhere(number, request_id, model)
        is_flood = sum(message["type"] == "turn" for message in news) > _MOST_TURNS
        told: list[ToFrontEnd] = [self._snapshot()] if is_flood else news
        for message in told:
            self._tell(message)
        if any(map(_settles, news)):
            self.measure()
            self._on_settled()
        return len(told)

    def _tell_elsewhere(self, number: int, request_id: str, model: str | None) -> None:
        """Say that a request has become a turn of another branch, or one that has gone."""
        exchange = self.chat.exchange(number)
        if exchange is None:
            self._end_pending(request_id)
        else:
            self._pending.pop(request_id, None)
            turn = turn_data(exchange, model)
            self._tell({"type": "turn", "turn": turn, "id": request_id})

    def _snapshot(self, view: str | None = None, request_id: str | None = None) -> Snapshot:
        """Return all there is, for the view that asked or for all."""
        return {
            "type": "snapshot",
            "id": request_id,
            "view": view,
            "protocol": PROTOCOL,
            "chat": self.chat.name,
            "turns": self._mirror.turns,
            "path": self._mirror.path,
            "status": self._status,
            "notices": list(self._notices.values()),
            "pending": [request.data for request in self._pending.values()],
        }

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
        """Send how full the context is. Waits for the engine, so it has a thread of its own.

        While an answer is written it only says which model writes: the engine has other things to
        do than to count tokens, and is asked again when the answer is there.
        """
        is_writing = any(not exchange.is_finished for exchange in self.chat.exchanges)
        status = (
            status_at_once(self.chat, self._status)
            if is_writing
            else status_data(self.chat, self.mode)
        )
        with self._lock:
            if status != self._status:
                self._status = status
                self._tell({"type": "status", "status": status})
        return _GAUGE_S, False

    def _tell(self, message: ToFrontEnd) -> None:
        """Send something that no view has asked for, if there is one."""
        if self._has_views:
            self.outbox.put(message)


def _settles(message: ToFrontEnd) -> bool:
    if message["type"] == "turn":
        return message["turn"]["state"] == "finished"
    return message["type"] == "path"


def _weak(side: KernelSide, method: Callable[[KernelSide], None]) -> Callable[[], None]:
    """Return what calls a method of a side, and does not keep it alive."""
    reference = weakref.ref(side)

    def call() -> None:
        alive = reference()
        if alive is not None:
            method(alive)

    return call
