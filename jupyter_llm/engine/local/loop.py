"""The loop of the engine's thread: it runs commands and takes steps."""

from __future__ import annotations

import time
from queue import Empty
from typing import TYPE_CHECKING

from jupyter_llm.engine.local.answering import Answering
from jupyter_llm.engine.local.native.threads import ThreadCount
from jupyter_llm.engine.local.sched.turns import TURNS, Seat

if TYPE_CHECKING:
    from collections.abc import Callable
    from queue import SimpleQueue

    from jupyter_llm.common.watchers import Watchers
    from jupyter_llm.engine.info import EngineStatus, Work
    from jupyter_llm.engine.local.native.threads import CoreLoad
    from jupyter_llm.engine.local.resident import ResidentModel
    from jupyter_llm.engine.request import Priority
    from jupyter_llm.errors import JupyterLLMError

_REST_S = 0.5  # idle for so long, the engine writes checkpoints
_TURN_S = 0.02  # the wait for other engines before commands are run again


class Loop:
    """Runs a model: commands of other threads first, then one step, and so on.

    The queue ends with None. `give_way` aborts a batch under evaluation that is less urgent than a
    class; other engines call it. `watchers` are called whenever `work` changes. `core_load` was
    made before the model was loaded: the first steps leave the cores to programs that were busy
    meanwhile.
    """

    def __init__(
        self,
        model: ResidentModel,
        commands: SimpleQueue[Callable[[], None] | None],
        watchers: Watchers,
        give_way: Callable[[Priority], None],
        core_load: CoreLoad,
    ) -> None:
        self.answering = Answering(model)
        self.work: Work = "idle"
        self.is_awaited = False
        self._model = model
        self._lanes = model.lanes
        self._commands = commands
        self._watchers = watchers
        self._seat = Seat(give_way)
        self._core_load = core_load
        self.threads = ThreadCount(
            model.n_threads, lambda: self._core_load.num_busy(without_us=True)
        )
        self._look_around(without_us=True)

    def run(self) -> None:
        """Run commands and steps until the queue ends."""
        while self._obey():
            self.step()
            self._note_work()

    def close(self, error: JupyterLLMError) -> None:
        """End every request with an error, run the commands that are left, free the model."""
        self.answering.close(error)
        while not self._commands.empty():  # threads wait for them
            if (command := self._commands.get()) is not None:
                command()
        self.work = "idle"
        self._watchers.notify()
        self._model.close()

    def status(self) -> EngineStatus:
        """Return the state of the engine at this moment."""
        return self._model.status(self.threads.count, self.answering.tokens_per_s)

    def step(self) -> None:
        """Run one batch of the lane whose turn it is, if it is this engine's turn."""
        lane, is_guest = self._lanes.next()
        priority = lane.scheduler.priority
        assert priority is not None
        with TURNS.take(self._seat, priority, _TURN_S) as is_ours:
            if not is_ours or not self._commands.empty():
                return  # commands first: one may bring more urgent work
            began_s = time.perf_counter()
            lane.spread()
            lane.context.check()
            lane.context.set_threads(self.threads.count)
            step = lane.scheduler.step(is_guest=is_guest)
            if step.num_tokens:
                step_s = time.perf_counter() - began_s
                self._lanes.note_step(lane, step.num_tokens)
                self.threads.observe(step.num_tokens, step_s)
                lane.learn(step, step_s)
        for event in step.events:
            self.answering.hand_out(event)

    def _obey(self) -> bool:
        """Run the queued commands, waiting for one while idle; False at the end of the queue."""
        for lane in self._lanes.all:
            lane.context.clear_abort()
        was_idle = self._lanes.is_idle
        if was_idle:
            self._core_load.num_busy(without_us=False)  # from now on other programs keep cores busy
        while True:
            try:
                command = self._next_command()
            except Empty:
                if was_idle:
                    self._look_around(without_us=False)
                return True
            if command is None:
                return False
            self._lanes.free_threads = self.threads.count
            command()
            self._note_work()

    def _next_command(self) -> Callable[[], None] | None:
        """Return the next command; raise Empty if there is none and something to do."""
        wait_s: float | None = _REST_S
        while self._lanes.is_idle:
            due_s = self._lanes.give_back()
            try:
                return self._commands.get(timeout=wait_s)
            except Empty:
                wait_s = _REST_S if self._lanes.save() else due_s
        return self._commands.get(block=False)

    def _look_around(self, *, without_us: bool) -> None:
        num_busy = self._core_load.num_busy(without_us=without_us)
        if num_busy is not None:
            self.threads.start(num_busy)

    def _note_work(self) -> None:
        """Note what there is to do, and call the watchers if it changed."""
        work: Work = "reading"
        if self._lanes.is_idle:
            work = "idle"
        elif any(one.times.first_s is not None for one in self.answering.generations.values()):
            work = "writing"
        self.is_awaited = not self._lanes.is_free
        if work != self.work:
            self.work = work
            self._watchers.notify()
