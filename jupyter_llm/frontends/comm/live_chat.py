"""A chat with the requests that run in it and their notices, once for all front ends."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import uuid4

from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.frontends.comm.jobs import Job

_KERNEL = uuid4().hex
# Between two messages about what is written, at the least. A page that draws costs the model a part
# of the cores, and twice as often is no smoother to read.
_TICK_S = 1 / 15
_GROWTH_S = 0.2  # between two states of a notice, which is sent whole
_MOST_NOTICES = 50
_MOST_TURNS = 50  # that are sent one by one: Jupyter drops messages that flood it


class Member(Protocol):
    """A front end that shows the chat. All methods return at once, from any thread."""

    def hear(self, message: messages.ToFrontEnd) -> None:
        """Send a change of the chat to the views."""

    def refresh(self) -> None:
        """Send the whole state to the views."""

    def settle(self) -> None:
        """React to a finished turn or another path."""

    def measure(self) -> None:
        """Measure the context again: its tokens or its model may have changed."""


class LiveChat:
    """The requests and notices of a chat, and the members of the audience that show them.

    A page may disconnect at any time: its requests run on, and the next page shows them. Each
    change wakes the thread "jupyter-llm-panel", which sends it at most fifteen times a second, and
    only while there is an audience. All methods return at once, from any thread.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = cast("Chat", weakref.proxy(chat))  # `_live` keeps this as long as the chat
        self._mirror = Mirror()
        self._name = chat.name  # as it was sent last
        self._notices: dict[str, messages.Notice] = {}
        self._answers: dict[str, Completion] = {}  # what notices hold, by their ids
        self._running: dict[str, Job] = {}
        self._pending: dict[str, Job] = {}  # those without a turn or a notice
        self._growing: dict[str, tuple[Job, Stream]] = {}
        self._grew_s = 0.0
        self._audience: list[Member] = []
        self._unwatch: Callable[[], None] | None = None
        self.lock = threading.RLock()  # guards all of this, and the order of what is sent
        self._pump = Chore(self._tick, "jupyter-llm-panel")

    # The audience

    def join(self, member: Member) -> None:
        """Send changes to a front end from now on. The caller holds the lock."""
        if member not in self._audience:
            self._publish()
            self._audience.append(member)
        if self._unwatch is None:
            self._unwatch = self._chat.watch(weakly(self._pump.ask))
        self._pump.ask()

    def leave(self, member: Member) -> None:
        """Send nothing more to a front end; its requests run on."""
        with self.lock:
            if member in self._audience:
                self._audience.remove(member)
            if not self._audience and self._unwatch is not None:
                self._unwatch()
                self._unwatch = None

    def snapshot(
        self, status: messages.Status, request_id: str | None = None
    ) -> messages.SnapshotMessage:
        """Return the whole state, for a view that asked or for all."""
        return messages.SnapshotMessage(
            id=request_id,
            kernel=_KERNEL,
            chat=self._chat.name,
            turns=list(self._mirror.turns.values()),
            path=list(self._mirror.turns),
            status=status,
            notices=list(self._notices.values()),
            pending=[job.data for job in self._pending.values()],
        )

    def tell(self, message: messages.ToFrontEnd) -> None:
        """Send a message to all front ends."""
        with self.lock:
            for member in self._audience:
                member.hear(message)

    def _measure(self) -> None:
        for member in tuple(self._audience):
            member.measure()

    # Requests

    def begin(self, job: Job) -> None:
        """Take in a job, and start it."""
        with self.lock:
            self._running[job.id] = self._pending[job.id] = job
            self.tell(messages.PendingMessage(pending=job.data))
        job.start()

    def stop(self, target: str | None) -> None:
        """Stop a job by its id, or all jobs of the chat."""
        with self.lock:
            jobs = list(self._running.values())
        for job in jobs:
            if target in (None, job.id):
                job.stop()

    def tell_progress(self, job: Job) -> None:
        """Send the progress of a job that shows nothing yet."""
        with self.lock:
            if job.id in self._pending and job.progress is not None:
                self.tell(messages.ProgressMessage(id=job.id, progress=job.progress))

    def send_prompt(self, job: Job, asked: Asked) -> Stream:
        """Send a prompt of a job to the chat; the turn that appears is the job's."""
        begin = partial(setattr, job, "turn")
        stream, _ = self._chat.send(asked, show_progress=job.tell, on_begin=begin)
        job.hold(stream)
        return stream

    def show(self, job: Job, stream: Stream) -> None:
        """Show the growing text of a stream as the notice of a job."""
        with self.lock:
            if job.id in self._running:
                self._growing[job.id] = job, stream
        self._pump.ask()

    def notify(
        self, job: Job, markdown: str, answer: Completion | None = None, **more: Any
    ) -> None:
        """Show the result of a job in its final form; `more` are other fields of the notice."""
        with self.lock:
            if job.id not in self._running:
                return  # it was stopped meanwhile
            self._growing.pop(job.id, None)
            if answer is not None:
                self._answers[job.id] = answer
            else:  # it is ours, and in a chat commands are typed without the magic
                markdown = markdown.replace("`%%llm /", "`/").replace("`%llm /", "`/")
            self._put_notice(job, markdown, **more)
        self._measure()

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job has ended or is stopped, and why if it failed."""
        with self.lock:
            if error is not None:
                self.notify(job, error, level="error")
            if self._running.pop(job.id, None) is not None:
                self._drop(job)
            if job.is_wordless:  # its turn is gone, and what was typed with it
                self._give_back(job)
        self._measure()

    def _drop(self, job: Job) -> None:
        """Forget a job; what it shows stays."""
        growing = self._growing.pop(job.id, None)
        if growing is not None and (shown := self._notices.get(job.id)) is not None:
            self._put_notice(job, shown.markdown)
        elif job.id in self._pending and job.turn is None:
            self._give_back(job)  # else it ends when its turn is sent

    def _give_back(self, job: Job) -> None:
        """Say once that a job has come to nothing, so that whoever typed it has it again."""
        self._pending.pop(job.id, None)
        if not job.is_given_back:
            job.is_given_back = True
            self.tell(messages.Cancelled(id=job.id, text=job.text))

    # Notices

    def answer(self, notice: str) -> Completion | None:
        """Return the completion that a notice shows, if it does."""
        return self._answers.get(notice)

    def remove_notice(self, notice: str) -> None:
        """Put a notice away; what still writes it is stopped."""
        with self.lock:
            job = self._running.pop(notice, None)
            self._growing.pop(notice, None)
            self._forget_notice(notice)
        if job is not None:
            job.stop()

    def forget(self) -> None:
        """Put all notices away, and stop all requests."""
        for notice in tuple(self._notices):
            self.remove_notice(notice)
        self.stop(None)

    def _put_notice(self, job: Job, markdown: str, **more: Any) -> None:
        old = self._notices.get(job.id)
        # The mirror may still have a turn that has just failed.
        last = [0, *(exchange.number for exchange in self._chat.exchanges)][-1]
        after = old.after if old is not None else last
        notice = messages.Notice(id=job.id, after=after, prompt=job.text, markdown=markdown, **more)
        if notice == old:
            return
        self._pending.pop(job.id, None)
        self._notices[job.id] = notice
        self.tell(notice)
        while len(self._notices) > _MOST_NOTICES:
            self._forget_notice(next(iter(self._notices)))

    def _forget_notice(self, notice: str) -> None:
        self._notices.pop(notice, None)
        self._answers.pop(notice, None)
        self.tell(messages.Dismissed(id=notice))

    # What is sent by the pump

    def _tick(self) -> tuple[float, bool]:
        """Send what is new; return when to look again, and whether that is needed."""
        with self.lock:
            num_sent = self._publish() + self._grow()
            is_growing = bool(self._mirror.growing or self._growing)
            return _TICK_S * max(num_sent, 1), is_growing and bool(self._audience)

    def _publish(self) -> int:
        """Send what is new of the turns, in as many messages as are returned."""
        exchanges = self._chat.exchanges
        engine = self._chat.current.resident
        model = engine.info.name if engine is not None else None
        jobs = {job.turn: job for job in self._pending.values() if job.turn is not None}
        requests = {number: job.id for number, job in jobs.items()}
        news = list(self._mirror.news(exchanges, model, requests))
        for number, job in jobs.items():
            if number in self._mirror.turns:
                del self._pending[job.id]
            else:  # it has gone, or another branch is shown
                self._give_back(job)
        is_flood = sum(isinstance(message, messages.TurnMessage) for message in news) > _MOST_TURNS
        is_renamed, self._name = self._chat.name != self._name, self._chat.name
        if is_flood or is_renamed:
            for member in tuple(self._audience):
                member.refresh()
        else:
            for message in news:
                self.tell(message)
        if any(map(_settles, news)):
            for member in tuple(self._audience):
                member.settle()
        return 1 if is_flood or is_renamed else len(news)

    def _grow(self) -> int:
        """Send the notices that have grown, in as many messages as are returned."""
        if not self._growing or time.monotonic() - self._grew_s < _GROWTH_S:
            return 0
        self._grew_s = time.monotonic()
        growing = list(self._growing.values())
        for job, stream in growing:
            if text := stream.written:
                self._put_notice(job, text, is_finished=False)
            else:
                job.note(stream.progress.step)
        return len(growing)


def _settles(message: messages.ToFrontEnd) -> bool:
    if isinstance(message, messages.TurnMessage):
        return message.turn.state == "finished"
    return isinstance(message, messages.PathMessage)


_live: weakref.WeakKeyDictionary[Chat, LiveChat] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def live(chat: Chat) -> LiveChat:
    """Return the one live state of a chat in this kernel."""
    with _making:
        if (known := _live.get(chat)) is None:
            known = _live[chat] = LiveChat(chat)
        return known
