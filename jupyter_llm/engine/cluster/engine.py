"""Answers requests on the workers of a Dask cluster, each of which holds the model."""

from __future__ import annotations

import atexit
import logging
import math
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from jupyter_llm._version import __version__
from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, showing
from jupyter_llm.common.files import open_regular
from jupyter_llm.common.tables import count_of
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.cluster import worker
from jupyter_llm.engine.cluster.worker import Deployed, ModelPlugin, RowId
from jupyter_llm.engine.completion import Chunk, Completion, Progress, PromptInterrupted, Usage
from jupyter_llm.engine.stream import Stream, StreamFeed, check_may_wait
from jupyter_llm.errors import (
    EngineClosedError,
    EngineError,
    JupyterLLMError,
    ModelFileError,
    OptionError,
)

if TYPE_CHECKING:
    import numpy as np

    from jupyter_llm.engine.completion import Score
    from jupyter_llm.engine.info import EngineStatus, ModelInfo, Work
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.engine.request import Prompt, Request
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

_GROUP = 8  # requests a task: what is lost with a worker is few, and what a task costs is shared
_ROOM = 4  # groups that a worker has at once: more than its model works on
_LEAST_AHEAD = 256  # requests that a column hands over at once
_NUM_EMBEDDED = 64  # texts a task
_PIECE = 8 << 20  # bytes of a file that are sent at a time
_GATHER_S = 0.01  # while requests of one group come together
_LOOK_S = 1.0  # between two looks at the workers, while there is something to do
_REST_S = 60.0  # else
_UNLOADED = "The model is not on the cluster any more. Ask again to load it."


@dataclass(eq=False, slots=True)
class _Row:
    """A request on its way."""

    id: RowId
    request: Request
    model: str
    feed: StreamFeed = field(default_factory=StreamFeed)
    is_sent: bool = False
    is_cancelled: bool = False

    def snapshot(self) -> Completion:
        return Completion(text="", finish_reason="cancelled", usage=Usage(), model=self.model)

    def progress(self) -> Progress:
        if self.feed.future.done():
            return Progress(state="finished")
        return Progress(state="reading" if self.is_sent else "waiting")

    def end(self, outcome: Completion | JupyterLLMError) -> None:
        if self.is_cancelled and isinstance(outcome, JupyterLLMError):
            outcome = self.snapshot()
        if isinstance(outcome, JupyterLLMError):
            self.feed.fail(outcome)
        else:
            self.feed.put(Chunk(outcome.text, outcome.reasoning))
            self.feed.finish(outcome)


@dataclass(eq=False, slots=True)
class _Group:
    """Requests that are answered together, and the worker that was meant."""

    rows: list[_Row]
    address: str = ""
    task: Any = None


class ClusterEngine:
    """A model on every worker of a cluster, as one engine. Safe from any thread.

    Requests go out in groups of a few that come one after another, so that a worker reads what they
    share once, and to whoever has the fewest. A worker that dies loses the groups it had: they are
    answered by others. One that comes later is given the model, and its part. An answer comes
    whole, as one chunk. Creating the engine returns when the model is ready on one worker; `show`
    is told how far it is.

    Raises
    ------
    OptionError
        The client is no good.
    JupyterLLMError
        No worker is of use: why the first one is not. Of one among others that are a warning tells.
    """

    def __init__(
        self,
        client: Any,
        entry: ModelEntry,
        options: EngineOptions,
        *,
        show: ShowProgress | None = None,
    ) -> None:
        host = worker.check_client(client)
        self._client = client
        self._entry, self._options = entry, options
        self._id, self._numbers = uuid4().hex, count()
        self._lock = threading.RLock()  # as the one of a LocalEngine
        self._waiting: deque[_Row] = deque()
        self._groups: set[_Group] = set()
        self._to_stop: list[RowId] = []
        self._ready: dict[str, ModelInfo] = {}  # by the worker's address
        self._said: set[str] = set()
        self._telling = threading.Lock()  # workers that the model is needed, or not any more
        self._is_closed = False
        self._work: Work = "idle"
        self._watchers = Watchers()
        self._sending = Chore(self._send, "jupyter-llm-cluster-send")
        self._looking = Chore(self._look_after, "jupyter-llm-cluster-look")
        self._stopping = Chore(self._stop, "jupyter-llm-cluster-stop")
        self._staying = Chore(self._stay, "jupyter-llm-cluster-stay")
        with showing(show) as tell:
            self._open(tell)
        self._info = replace(next(iter(self._ready.values())), path=entry.path, host=host)
        self._staying.ask()

    def _open(self, tell: ShowProgress) -> None:
        def on_progress(share: float) -> bool:
            tell(Step("Looking which model it is", share))
            return True

        self._plugin = ModelPlugin(self._entry, self._options, on_progress)
        self._name = self._plugin.name
        atexit.register(self.close)  # or the workers would have it for some minutes more
        try:
            while not self._ready:
                places = self._look()
                tell(self._step(places))
                if not any(place.wanted for place in places):
                    time.sleep(TICK_S / 5)
        except BaseException:
            self.close()
            raise

    def _step(self, places: Sequence[Deployed]) -> Step:
        """How far the model is on the workers, in words."""
        if not places:
            return Step("Waiting for a worker of the cluster")
        name, where = self._entry.name, count_of(len(places), "worker")
        is_sent = any(place.wanted for place in places)
        what = f"Sending {name} to {where}" if is_sent else f"Loading {name} on {where}"
        share = sum(place.share for place in places) / len(places)
        return Step(f"{what}: {share:.0%}", share)

    # -- what an engine is asked -----------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        """What is known of the model, as one worker has it."""
        num_ahead = 2 * _GROUP * _ROOM * len(self._ready)
        return replace(self._info, num_at_once=max(_LEAST_AHEAD, num_ahead))

    @property
    def work(self) -> Work:
        """What it does, known at once."""
        return self._work

    @property
    def is_closed(self) -> bool:
        """Whether the model has been unloaded, or the cluster has gone."""
        return self._is_closed or self._client.status != "running"

    def serves(self, client: object, entry: ModelEntry, options: EngineOptions) -> bool:
        """Whether it is that model on that cluster."""
        is_it = self._client is client and self._entry.path == entry.path
        return is_it and self._options == options and not self.is_closed

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `work` is another one, or the engine has closed; end that again."""
        return self._watchers.add(callback)

    def submit(self, request: Request) -> Stream:
        """Queue a request; its errors are raised by the stream."""
        row = _Row((self._id, next(self._numbers)), request, self._info.name)
        with self._lock:
            self._check_open()
            self._waiting.append(row)
        self._sending.ask()
        self._looking.ask()
        self._note_work()
        return Stream(row.feed, partial(self._cancel, row), row.snapshot, row.progress)

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """The text the model will read."""
        return cast("str", self._ask("format", prompt, think=think))

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens the model will read for a prompt."""
        return cast("tuple[int, ...]", self._ask("tokenize", prompt))

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:
        """How many tokens the model will read for a prompt."""
        return cast("int", self._ask("count_tokens", prompt, think=think))

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of plain texts."""
        return cast("list[tuple[int, ...]]", self._ask("tokenize_texts", list(texts)))

    def prefill(self, request: Request, *, is_draft: bool = False) -> None:  # noqa: ARG002
        """Read nothing ahead: nobody knows which worker a request comes to."""
        self._check_open()

    def hold_background(self, *, is_held: bool) -> None:  # noqa: ARG002
        """Read nothing in the background in any case."""
        self._check_open()

    def forget(self) -> None:
        """Forget all that was read."""
        self._check_open()
        self._run(worker.tell, self._name, "forget")

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """How likely each continuation is after a prompt."""
        return cast("list[Score]", self._ask("score", prompt, list(continuations)))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """A vector of length one for each text; each worker reads some of them."""
        import numpy as np

        starts = range(0, len(texts) or 1, _NUM_EMBEDDED)
        calls = [(list(texts[start : start + _NUM_EMBEDDED]),) for start in starts]
        return np.concatenate(self._ask_all("embed", calls))

    def status(self) -> EngineStatus:
        """What a worker's engine does at this moment, and how much all have to do."""
        status: EngineStatus = self._ask("status")
        num_running = sum(len(group.rows) for group in list(self._groups))
        num_waiting = sum(not row.is_cancelled for row in list(self._waiting))
        return replace(status, num_running=num_running, num_waiting=num_waiting)

    def close(self) -> None:
        """Cancel everything and free the model where nobody else needs it. May be called twice."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._end_all(EngineClosedError(_UNLOADED))
        for chore in (self._sending, self._looking, self._stopping, self._staying):
            chore.close()
        atexit.unregister(self.close)
        if self._client.status == "running":  # or nobody would answer
            with suppress(EngineClosedError), self._telling:
                self._run(worker.leave, self._name, self._id)
        self._watchers.tell()

    # -- how it comes about ------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.is_closed:
            raise EngineClosedError(_UNLOADED)

    def _run(self, function: Callable[..., Any], *values: Any, **more: Any) -> dict[str, Any]:
        """Call a function on all workers, or some, beside their tasks."""
        with _reached():
            found: dict[str, Any] = self._client.run(function, *values, on_error="return", **more)
        return found

    def _look(self) -> list[Deployed]:
        """Look how far the workers are, and send what they want next.

        Raises what `__init__` does.
        """
        groups = list(self._groups)
        with self._telling:
            self._check_open()  # or the model would stay
            sent = self._name, self._id, pickle.dumps(self._plugin)
            found = self._run(worker.look, __version__, *sent)
        for group in groups:
            if group.address not in found and group.task is not None:  # that worker has died
                self._end(group, None)
                with _reached():
                    self._client.cancel(group.task)
        troubles = {at: self._trouble(one) for at, one in found.items()}
        errors = {at: error for at, error in troubles.items() if error is not None}
        places = {at: found[at] for at in found.keys() - errors if isinstance(found[at], Deployed)}
        with self._lock:
            self._ready = {at: one.info for at, one in places.items() if one.info is not None}
        for address, error in errors.items():
            if not places:
                raise error
            if (said := f"The worker {address} is not used: {error}") not in self._said:
                self._said.add(said)
                logger.warning("%s", said)
        wanted: dict[tuple[int, int], dict[str, str]] = {}
        for address, place in places.items():
            if place.wanted is not None:
                wanted.setdefault(place.wanted, {}).setdefault(place.store, address)
        for (number, offset), stores in wanted.items():
            path = self._plugin.paths[number]
            try:
                with open_regular(path) as file:
                    file.seek(offset)
                    piece = number, offset, file.read(_PIECE)
            except OSError as error:
                raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None
            self._run(worker.tell, self._name, "receive", *piece, workers=list(stores.values()))
        return list(places.values())

    def _trouble(self, found: object) -> JupyterLLMError | None:
        """Why a worker is of no use; None where it is, or has only gone."""
        if found is None or type(found) is Exception:  # as dask says that it cannot be read there
            install = f"Install jupyter-llm=={__version__} where the workers run."
            return OptionError(f"It has no jupyter_llm {__version__}. {install}")
        if not isinstance(found, Deployed) or found.info is None:
            return found.error if isinstance(found, Deployed) else None
        n_ctx = self._plugin.n_ctx = self._plugin.n_ctx or found.info.n_ctx  # as the first one has
        if found.info.n_ctx == n_ctx:
            return None
        return OptionError(f"It has n_ctx={found.info.n_ctx}, others {n_ctx}. Say n_ctx=… for all.")

    def _look_after(self) -> tuple[float, bool]:
        """Keep what is known of the workers up to date while there is something to do."""
        try:
            places = self._look()
        except JupyterLLMError as error:
            self._end_all(error)
            return 0.0, False
        self._sending.ask()
        is_sending = any(place.wanted is not None for place in places)
        return 0.0 if is_sending else _LOOK_S, bool(self._groups or self._waiting)

    def _stay(self) -> tuple[float, bool]:
        """Let the workers know that somebody needs the model still."""
        self._looking.ask()
        return _REST_S, not self.is_closed

    def _send(self) -> tuple[float, bool]:
        while (group := self._next_group()) is not None:
            rows = [(row.id, row.request) for row in group.rows]
            try:
                group.task = self._task("answer", (rows,), {}, [group.address])
                group.task.add_done_callback(partial(self._take, group))
            except EngineClosedError as error:
                self._end(group, [error] * len(rows))
        self._note_work()
        return _GATHER_S, False

    def _next_group(self) -> _Group | None:
        """The next requests for the worker that has the fewest, if one has room."""
        with self._lock:
            while self._waiting and self._waiting[0].is_cancelled:
                self._waiting.popleft()
            load = dict.fromkeys(self._ready, 0)
            for group in self._groups:
                if group.address in load:
                    load[group.address] += 1
            free = [address for address, number in load.items() if number < _ROOM]
            if not free or not self._waiting:
                return None
            size = min(_GROUP, math.ceil(len(self._waiting) / len(free)))
            group = _Group(self._taken(size), min(free, key=lambda address: load[address]))
            self._groups.add(group)
            return group

    def _taken(self, size: int) -> list[_Row]:
        """So many of the rows that wait, which do so no more, without the cancelled ones."""
        taken = [self._waiting.popleft() for _ in range(size)]
        rows = [row for row in taken if not row.is_cancelled]
        for row in rows:
            row.is_sent = True
        return rows

    def _task(
        self, method: str, values: Sequence[Any], more: dict[str, Any], addresses: list[str]
    ) -> Any:
        """Let a worker do something; any other does it, too, if that one has gone, but no rows."""
        with _reached():
            return self._client.submit(
                worker.ask,
                *(self._name, method, pickle.dumps((values, more))),
                workers=addresses or None,
                allow_other_workers=bool(addresses) and method != "answer",
                pure=False,
            )

    def _take(self, group: _Group, task: Any) -> None:
        """Hand out what came of a group; called on a thread of dask's."""
        try:
            outcomes = self._outcome(task)
        except JupyterLLMError as error:
            outcomes = [error] * len(group.rows)
        self._end(group, outcomes)
        self._sending.ask()  # which notes what is left

    def _end(self, group: _Group, outcomes: list[Completion | JupyterLLMError] | None) -> None:
        """End the rows of a group; where there was no model for it they wait again."""
        with self._lock:
            if group not in self._groups:  # all was ended before
                return
            self._groups.discard(group)
            if outcomes is None:
                self._ready.pop(group.address, None)  # until somebody looks again
                left = [row for row in group.rows if not row.is_cancelled]
                for row in left:
                    row.is_sent = False
                self._waiting.extendleft(reversed(left))
                group.rows = [row for row in group.rows if row.is_cancelled]
                outcomes = [row.snapshot() for row in group.rows]
        for row, outcome in zip(group.rows, outcomes, strict=True):
            row.end(outcome)

    def _end_all(self, error: JupyterLLMError) -> None:
        with self._lock:
            self._groups.add(_Group(self._taken(len(self._waiting))))
            groups = list(self._groups)
        for group in groups:
            self._end(group, [error] * len(group.rows))
        self._note_work()

    def _cancel(self, row: _Row) -> None:
        with self._lock:
            row.is_cancelled = True
            if row.is_sent:
                self._to_stop.append(row.id)
        if row.is_sent:
            self._stopping.ask()
        else:
            row.feed.finish(row.snapshot())
            self._sending.ask()  # which notes what is left

    def _stop(self) -> tuple[float, bool]:
        with self._lock:
            rows, self._to_stop = self._to_stop, []
        with suppress(EngineClosedError):
            self._run(worker.tell, self._name, "stop", rows)
        return 0.0, False

    def _outcome(self, task: Any) -> Any:
        """What came of a task; None where there was no model for it."""
        if task.cancelled():
            raise EngineClosedError(_UNLOADED)
        try:
            data = task.result()
            outcome = None if data is None else pickle.loads(data)  # noqa: S301  as dask's own
        except (Exception, CancelledError) as error:  # noqa: BLE001  of whatever kind
            said = str(error).partition(". ")[0]
            raise EngineError(f"The cluster has given a task up: {said}.") from None
        if isinstance(outcome, JupyterLLMError):
            raise outcome
        return outcome

    def _ask(self, method: str, *values: Any, **more: Any) -> Any:
        """What comes of a method of the model's engine, on any worker."""
        return self._ask_all(method, [values], **more)[0]

    def _ask_all(self, method: str, calls: Sequence[tuple[Any, ...]], **more: Any) -> list[Any]:
        """What comes of several calls, made at once."""
        check_may_wait()
        found: list[Any] = [None] * len(calls)
        tasks: dict[int, Any] = {}
        try:
            while left := [number for number, one in enumerate(found) if one is None]:
                self._check_open()
                addresses = list(self._ready)
                tasks = {n: self._task(method, calls[n], more, addresses) for n in left}
                for number, task in tasks.items():
                    found[number] = self._outcome(task)
                if any(one is None for one in found):  # where it came to there is no model (yet)
                    self._look()
                    time.sleep(TICK_S)
        except KeyboardInterrupt:
            self._client.cancel(list(tasks.values()))
            raise PromptInterrupted from None
        return found

    def _note_work(self) -> None:
        work: Work = "writing" if self._groups else "reading" if self._waiting else "idle"
        if work != self._work:
            self._work = work
            self._watchers.tell()


@contextmanager
def _reached() -> Iterator[None]:
    """Let whatever a client raises without its cluster be one exception."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        said = str(error).partition("\n")[0].removesuffix(".") or type(error).__name__
        raise EngineClosedError(f"The cluster cannot be reached any more: {said}.") from None
