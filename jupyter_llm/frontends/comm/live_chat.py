"""A chat with the requests that run in it and their notices, once for all front ends."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast
from uuid import uuid4

from jupyter_llm.chat.branches import Exchange
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import Completion
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.documents import growth, merge_patch, turn_data
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.messages import NoticeData, TurnData

_KERNEL = uuid4().hex
# Between two messages about what is written, at the least. A page that draws costs the model a part
# of the cores, and twice as often is no smoother to read.
_TICK_S = 1 / 15
_GROWTH_S = 0.2  # between two states of a notice, whose text is sent whole
_MOST_NOTICES = 50
_MOST_RETURNED = 20


class Member(Protocol):
    """A front end that shows the chat. All methods return at once, from any thread."""

    has_views: bool  # whether a page shows the chat now

    def hear(self, message: messages.ToFrontEnd) -> None:
        """Send a change of the chat to the views."""

    def settle(self) -> None:
        """React to a finished turn or another path."""

    def measure(self) -> None:
        """Measure the context again: its tokens or its model may have changed."""


class LiveChat:
    """The requests and notices of a chat, and its document for the audience that shows them.

    A page may disconnect at any time: its requests run on, and the next page shows them. Each
    change wakes the thread "jupyter-llm-panel", which sends it at most fifteen times a second.
    While no page shows the chat, the thread looks only when a turn begins or ends. All methods
    return at once, from any thread.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = cast("Chat", weakref.proxy(chat))  # `_live` keeps this as long as the chat
        self._notices: dict[str, NoticeData] = {}
        self._answers: dict[str, Completion] = {}  # the completions of notices, by their ids
        self._running: dict[str, Job] = {}
        self._pending: dict[str, Job] = {}  # those without a turn or a notice
        self._returned: dict[str, str] = {}
        self._growing: dict[str, tuple[Job, Stream]] = {}
        self._grew_s = 0.0
        self._exchanges: Sequence[Exchange] = ()
        self._turns: dict[str, TurnData] = {}
        self._requests: dict[int, str] = {}  # which turns answer, on all branches
        self._sent: dict[str, Any] = {}  # the document as the audience has it
        self._audience: list[Member] = []
        self._unwatch: Callable[[], None] | None = None
        self.lock = threading.RLock()  # guards all of this, and the order of messages
        self._pump = Chore(self._tick, "jupyter-llm-panel")
        chat.watch_resets(weakly(self.clear))

    # The audience

    def join(self, member: Member) -> None:
        """Send changes to a front end from now on."""
        with self.lock:
            self._publish()
            self._audience.append(member)
            if self._unwatch is None:
                self._unwatch = self._chat.watch(weakly(self._pump.ask))

    def current(self) -> dict[str, Any]:
        """Return the document without its status. The caller holds the lock until it is sent."""
        self._publish()
        self._pump.ask()
        return self._sent

    def leave(self, member: Member) -> None:
        """Send nothing more to a front end; its requests run on."""
        with self.lock:
            if member in self._audience:
                self._audience.remove(member)
            if not self._audience and self._unwatch is not None:
                self._unwatch()
                self._unwatch = None

    def _measure(self) -> None:
        for member in tuple(self._audience):
            member.measure()

    # Requests

    def begin(self, job: Job) -> None:
        """Take in a job, and start it."""
        with self.lock:
            self._running[job.id] = self._pending[job.id] = job
        self._pump.ask()
        job.start()

    def stop(self, target: str | None) -> None:
        """Stop a job by its id, or all jobs of the chat."""
        with self.lock:
            jobs = list(self._running.values())
        for job in jobs:
            if target in (None, job.id):
                job.stop()

    def discard(self) -> None:
        """Stop all jobs of the chat, which is deleted, and return none of their texts."""
        with self.lock:
            jobs = list(self._running.values())
            for job in jobs:
                job.is_discarded = True
            for held in (self._running, self._pending, self._growing):
                held.clear()
        for job in jobs:
            job.stop()
        self._pump.ask()

    def tell_progress(self, _job: Job) -> None:
        """Send the progress of a job that shows nothing yet."""
        self._pump.ask()

    def send_prompt(self, job: Job, question: ChatQuestion) -> Stream:
        """Send a prompt of a job to the chat; the turn that appears is the job's."""
        begin = partial(setattr, job, "turn")
        stream, _ = self._chat.send(question, show_progress=job.tell, on_begin=begin)
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
        self._pump.ask()
        self._measure()

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job has ended or is stopped, and why if it failed."""
        with self.lock:
            if error is not None:
                self.notify(job, error, level="error")
            if self._running.pop(job.id, None) is not None:
                self._drop(job)
            if job.is_unanswered:  # no turn contains its text
                self._give_back(job)
        self._pump.ask()
        self._measure()

    def _drop(self, job: Job) -> None:
        """Forget a job; what it shows stays."""
        growing = self._growing.pop(job.id, None)
        if growing is not None and (shown := self._notices.get(job.id)) is not None:
            self._put_notice(job, shown.markdown)
        elif job.id in self._pending and job.turn is None:
            self._give_back(job)  # else it ends when its turn is sent

    def _give_back(self, job: Job) -> None:
        """Return the text of a job that has come to nothing to whoever typed it."""
        self._pending.pop(job.id, None)
        if job.is_discarded:
            return
        self._returned[job.id] = job.text
        while len(self._returned) > _MOST_RETURNED:
            del self._returned[next(iter(self._returned))]

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
        self._pump.ask()
        if job is not None:
            job.stop()

    def clear(self) -> None:
        """Put all notices, returned texts and ids of requests away; requests run on."""
        with self.lock:
            for held in (self._notices, self._answers, self._returned, self._requests):
                held.clear()
        self._pump.ask()

    def _put_notice(self, job: Job, markdown: str, **more: Any) -> None:
        old = self._notices.get(job.id)
        # The document may still have a turn that has just failed.
        last = [0, *(exchange.number for exchange in self._chat.exchanges)][-1]
        after = old.after if old is not None else last
        fields = {"after": after, "prompt": job.text, "markdown": markdown, **more}
        self._pending.pop(job.id, None)
        self._notices[job.id] = NoticeData(id=job.id, **fields)
        while len(self._notices) > _MOST_NOTICES:
            self._forget_notice(next(iter(self._notices)))

    def _forget_notice(self, notice: str) -> None:
        self._notices.pop(notice, None)
        self._answers.pop(notice, None)

    # The document

    def _tick(self) -> tuple[float, bool]:
        """Send what is new; return when to look again, and whether that is needed."""
        with self.lock:
            if not self._audience:
                return 0.0, False
            self._grow()
            num_sent = self._publish()
            is_growing = bool(self._growing) or any(not e.is_finished for e in self._exchanges)
            is_seen = any(member.has_views for member in self._audience)
            return _TICK_S * max(num_sent, 1), is_growing and is_seen

    def _publish(self) -> int:
        """Send the changes of the document, in as many messages as are returned."""
        now = self._document()
        turns = dict(self._sent.get("turns", {}))
        news: list[messages.ToFrontEnd] = []
        for name, turn in now["turns"].items():
            if turn is not turns.get(name) and (more := growth(turns.get(name), turn)) is not None:
                news.append(more)
                turns[name] = turn
        patch = merge_patch({**self._sent, "turns": turns}, now)
        if patch:
            news.append(messages.Patch(patch))
        self._sent = now
        for member in tuple(self._audience):
            for message in news:
                member.hear(message)
            if _settles(patch, now["turns"]):
                member.settle()
                member.measure()
        return len(news)

    def _document(self) -> dict[str, Any]:
        """Return the document as it is now, without the status, which each front end measures."""
        begun = {job.turn: job for job in self._pending.values() if job.turn is not None}
        exchanges = self._chat.exchanges  # now, so it holds the turns that have begun
        engine = self._chat.current.resident
        self._take_turns(exchanges, engine.info.name if engine is not None else None, begun)
        for number, job in begun.items():
            if str(number) in self._turns:
                del self._pending[job.id]
            else:  # it has gone, or another branch is shown
                self._give_back(job)
        return {
            "kernel": _KERNEL,
            "name": self._chat.name,
            "path": [exchange.number for exchange in exchanges],
            "turns": self._turns,
            "notices": dict(self._notices),
            "pending": {name: job.data for name, job in self._pending.items()},
            "returned": dict(self._returned),
        }

    def _take_turns(
        self, exchanges: Sequence[Exchange], model: str | None, begun: Mapping[int, Job]
    ) -> None:
        before, is_same = self._turns, exchanges is self._exchanges
        self._exchanges, self._turns = exchanges, {}
        self._requests.update({number: job.id for number, job in begun.items()})
        for exchange in exchanges:
            number, old = exchange.number, before.get(str(exchange.number))
            if old is not None and is_same and exchange.is_finished and number not in begun:
                self._turns[str(number)] = old  # many times a second, in long chats
                continue
            turn = turn_data(exchange, model, self._requests.get(number), old)
            self._turns[str(number)] = old if old == turn else turn

    def _grow(self) -> None:
        """Show how far the notices have grown."""
        if not self._growing or time.monotonic() - self._grew_s < _GROWTH_S:
            return
        self._grew_s = time.monotonic()
        for job, stream in self._growing.values():
            if text := stream.written:
                self._put_notice(job, text, is_finished=False)
            else:
                job.note(stream.progress.step)


def _settles(patch: dict[str, Any], turns: dict[str, TurnData]) -> bool:
    """Whether a turn has finished, a finished turn has changed, or another path is shown."""
    changed = [turn for name, turn in turns.items() if name in patch.get("turns", {})]
    return "path" in patch or any(turn.state == "finished" for turn in changed)


_live: weakref.WeakKeyDictionary[Chat, LiveChat] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def live(chat: Chat) -> LiveChat:
    """Return the one live state of a chat in this kernel."""
    with _making:
        if (known := _live.get(chat)) is None:
            known = _live[chat] = LiveChat(chat)
        return known
