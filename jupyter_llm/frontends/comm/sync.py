"""The kernel's side of a chat over a comm: keeps all its views equal to the chat."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.comm.mirror import Mirror, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.frontends.comm.jobs import Job
    from jupyter_llm.frontends.comm.line import Line

_KERNEL = uuid4().hex
# Between two messages about what is written, at the least. A page that draws costs the model a part
# of the cores, and twice as often is no smoother to read.
_TICK_S = 1 / 15
_GROWTH_S = 0.2  # between two states of a notice, which is sent whole
_GAUGE_S = 1.0
_MOST_NOTICES = 50
_MOST_TURNS = 50  # that are told one by one: Jupyter drops messages that flood it


class KernelSide(Part):
    """What the views of a chat know, and what tells them more.

    The chat is the truth. Whatever changes it wakes up the thread "jupyter-llm-panel", which says
    what is new: at most fifteen times a second, and nothing where there is no view. All methods
    return at once, from any thread; in a forked child they do nothing.

    `on_settled` is called when a view has come, a turn has ended or the path has changed.
    """

    def __init__(
        self, line: Line, chat: Chat, mode: ContextMode, on_settled: Callable[[], object]
    ) -> None:
        super().__init__(line)
        self.chat = chat
        self.mode = mode
        self.writer: str | None = None  # the last `follow` of a page that can write cells
        self._on_settled = on_settled
        self._mirror = Mirror()
        self._name = chat.name  # as it was told last
        self._notices: dict[str, messages.Notice] = {}
        self._answers: dict[str, Completion] = {}  # what notices hold, by their ids
        self._running: dict[str, Job] = {}
        self._pending: dict[str, Job] = {}  # those without a turn or a notice
        self._growing: dict[str, tuple[Job, Stream]] = {}
        self._grew_s = 0.0
        self._status = messages.Status()
        self._has_views = False
        self._lock = threading.RLock()  # guards all of this, and the order of what is sent
        self._pump = Chore(self._tick, "jupyter-llm-panel")
        self._gauge = Chore(self._measure, "jupyter-llm-gauge")
        is_fuller = weakly(self.measure)
        self._unwatch = (
            chat.watch(weakly(self._pump.ask)),
            chat.current.watch(is_fuller),
            chat.timeline.watch(is_fuller),
        )
        line.add(
            {
                messages.Follow: self._welcome,
                messages.Bye: self._farewell,
                messages.Stop: self._stop,
                messages.Choose: lambda message: chat.choose(message.number),
                messages.Remove: self._remove,
            }
        )

    def close(self) -> None:
        """Watch the chat no more; what is being written goes on."""
        for unwatch in self._unwatch:
            unwatch()
        self._pump.close()
        self._gauge.close()

    def _welcome(self, message: messages.Follow) -> None:
        """Tell a view all there is."""
        with self._lock:
            self.writer = message.id if message.can_write_cells else self.writer
            self._publish()
            self._has_views = True
            self._put(self._snapshot(message.id))
        self._pump.ask()
        self._gauge.ask()
        self._on_settled()

    def _farewell(self, _message: messages.Bye) -> None:
        """Say nothing more once the last view has gone; if there is another, it says hello."""
        with self._lock:
            self._tell(messages.Anybody())
            self._has_views, self.writer = False, None

    def _stop(self, message: messages.Stop) -> None:
        """Stop a turn by its number, a job by its id, or all that goes on in the chat."""
        if not isinstance(target := message.target, str):
            self.chat.cancel(target)
        with self._lock:
            jobs = list(self._running.values())
        for job in jobs:
            if target in (None, job.id):
                job.stop()

    def _remove(self, message: messages.Remove) -> None:
        """Forget a turn, or put a notice away; what still writes it is stopped."""
        if isinstance(target := message.target, int):
            self.chat.remove(target)
            return
        with self._lock:
            job = self._running.pop(target, None)
            self._growing.pop(target, None)
            self._forget_notice(target)
        if job is not None:
            job.stop()

    def answer(self, notice: str) -> Completion | None:
        """The completion that a notice shows, if it does."""
        return self._answers.get(notice)

    def begin(self, job: Job) -> None:
        """Take in a job, and let it run."""
        with self._lock:
            self._running[job.id] = self._pending[job.id] = job
            self._tell(messages.PendingMessage(pending=job.data))
        job.start()

    def tell_progress(self, job: Job) -> None:
        """Say how far a job is that shows nothing yet."""
        with self._lock:
            if job.id in self._pending and job.progress is not None:
                self._tell(messages.ProgressMessage(id=job.id, progress=job.progress))

    def send_prompt(self, job: Job, asked: Asked) -> Stream:
        """Send a prompt of a job to the chat; the turn that appears is the job's."""
        begin = partial(setattr, job, "turn")
        stream, _ = self.chat.send(asked, show_progress=job.tell, on_begin=begin)
        job.hold(stream)
        return stream

    def show(self, job: Job, stream: Stream) -> None:
        """Show the growing text of a stream as the notice of a job."""
        with self._lock:
            if job.id in self._running:
                self._growing[job.id] = job, stream
        self._pump.ask()

    def notify(
        self, job: Job, markdown: str, answer: Completion | None = None, **more: Any
    ) -> None:
        """Show what a job has come to, in its final form; `more` is what the notice has besides."""
        with self._lock:
            if job.id not in self._running:
                return  # it was stopped meanwhile
            self._growing.pop(job.id, None)
            if answer is not None:
                self._answers[job.id] = answer
            else:  # it is ours, and in a chat commands are typed without the magic
                markdown = markdown.replace("`%%llm /", "`/").replace("`%llm /", "`/")
            self._put_notice(job, markdown, **more)
        self.measure()

    def end(self, job: Job, error: str | None) -> None:
        """Take in that a job has ended or is stopped, and why if it failed."""
        with self._lock:
            if error is not None:
                self.notify(job, error, level="error")
            if self._running.pop(job.id, None) is not None:
                self._drop(job)
            if job.is_wordless:  # its turn is gone, and what was typed with it
                self._give_back(job)
        self.measure()

    def _drop(self, job: Job) -> None:
        """Forget a job; what it shows stays."""
        growing = self._growing.pop(job.id, None)
        if growing is not None and (shown := self._notices.get(job.id)) is not None:
            self._put_notice(job, shown.markdown)
        elif job.id in self._pending and job.turn is None:
            self._give_back(job)  # else it ends when its turn is told

    def _give_back(self, job: Job) -> None:
        """Say once that a job has come to nothing, so that whoever typed it has it again."""
        self._pending.pop(job.id, None)
        if not job.is_given_back:
            job.is_given_back = True
            self._tell(messages.Cancelled(id=job.id, text=job.text))

    def _put_notice(self, job: Job, markdown: str, **more: Any) -> None:
        old = self._notices.get(job.id)
        # The mirror may still have a turn that has just failed.
        last = [0, *(exchange.number for exchange in self.chat.exchanges)][-1]
        after = old.after if old is not None else last
        notice = messages.Notice(id=job.id, after=after, prompt=job.text, markdown=markdown, **more)
        if notice == old:
            return
        self._pending.pop(job.id, None)
        self._notices[job.id] = notice
        self._tell(notice)
        while len(self._notices) > _MOST_NOTICES:
            self._forget_notice(next(iter(self._notices)))

    def _forget_notice(self, notice: str) -> None:
        self._notices.pop(notice, None)
        self._answers.pop(notice, None)
        self._tell(messages.Dismissed(id=notice))

    def measure(self) -> None:
        """Take note that the context may be fuller or emptier, or the model another one."""
        if self._has_views:
            self._gauge.ask()

    def _tick(self) -> tuple[float, bool]:
        """Send what is new; return when to look again, and whether that is needed."""
        with self._lock:
            num_sent = self._publish() + self._grow()
            is_growing = bool(self._mirror.growing or self._growing)
            return _TICK_S * max(num_sent, 1), is_growing and self._has_views

    def _publish(self) -> int:
        """Send what is new of the turns, in as many messages as are returned."""
        exchanges = self.chat.exchanges
        engine = self.chat.current.resident
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
        is_renamed, self._name = self.chat.name != self._name, self.chat.name
        told: list[messages.ToFrontEnd] = [self._snapshot()] if is_flood or is_renamed else news
        for message in told:
            self._tell(message)
        if any(map(_settles, news)):
            self.measure()
            self._on_settled()
        return len(told)

    def _snapshot(self, request_id: str | None = None) -> messages.SnapshotMessage:
        return messages.SnapshotMessage(
            id=request_id,
            kernel=_KERNEL,
            chat=self.chat.name,
            turns=list(self._mirror.turns.values()),
            path=list(self._mirror.turns),
            status=self._status,
            notices=list(self._notices.values()),
            pending=[job.data for job in self._pending.values()],
        )

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

    def _measure(self) -> tuple[float, bool]:
        """Send how full the context is."""
        status = status_of(self.chat, self.mode, self._status)
        with self._lock:
            if status != self._status:
                self._status = status
                self._tell(status)
        return _GAUGE_S, False

    def _tell(self, message: messages.ToFrontEnd) -> None:
        if self._has_views:
            self._put(message)


def _settles(message: messages.ToFrontEnd) -> bool:
    if isinstance(message, messages.TurnMessage):
        return message.turn.state == "finished"
    return isinstance(message, messages.PathMessage)
