"""Answers requests on the workers of a Dask cluster, each of which has the model."""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from jupyter_llm._version import __version__
from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, showing
from jupyter_llm.common.files import open_regular
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.cluster import worker
from jupyter_llm.engine.cluster.worker import Deployed, ModelPlugin
from jupyter_llm.engine.completion import Completion, Progress, PromptInterrupted, Usage
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

    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.engine.request import Prompt, Request
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

_GROUP = 8  # calls a task: a lost worker costs few, and they share a task's overhead
# Simultaneous groups of a worker. Its model works on fewer, but a common prefix is read only once
# if the groups wait there together.
_ROOM = 16
_LEAST_AHEAD = 256  # requests that a column submits at once
_NUM_EMBEDDED = 64  # texts in a call
PIECE = 8 << 20  # bytes of a file in a message
_GATHER_S = 0.01  # time to collect the calls of a group
_LOOK_S = 0.5  # between polls of a busy worker; _REST_S of an idle one
_REST_S = 60.0
_RECONNECT_S = 3.0  # time for a scheduler to reconnect
_MOST_LOST = 3  # workers: a call that kills one may kill all
_CLOSE_S = 5.0  # time for workers to free the model
_UNLOADED = "The model is not on the cluster any more. Ask again to load it."


@dataclass(eq=False, slots=True)
class _Call:
    """A method call for the model's engine on some worker, for example to answer a request."""

    method: str
    value: Any
    id: str = field(default_factory=lambda: uuid4().hex)
    feed: StreamFeed = field(default_factory=StreamFeed)
    is_cancelled: bool = False
    num_lost: int = 0  # lost tasks


class ClusterEngine:
    """A model on every worker of a cluster, with the interface that columns need.

    Any thread may use it. Each worker takes calls in groups of neighbours, so that it reads their
    common prefix once, and more when it is done. Calls of a worker that dies are answered by
    others. A worker that joins later gets the model and its share. A stream has no chunks, only its
    end. Creating the engine returns when one worker can answer; `show` shows the progress.

    All work is done by coroutines on the client's loop; other threads only put calls in a queue.

    Raises
    ------
    OptionError
        The client cannot be used.
    JupyterLLMError
        No worker can be used; this is the last worker's error. If only some cannot, a warning is
        logged.
    """

    def __init__(
        self,
        client: Any,
        entry: ModelEntry,
        options: EngineOptions,
        *,
        show: ShowProgress | None = None,
    ) -> None:
        self._host = worker.check_client(client)
        self._client = client
        self._entry, self._id = entry, uuid4().hex
        self._waiting: deque[_Call] = deque()
        self._sent: set[_Call] = set()
        self._called = asyncio.Event()  # set while calls wait
        self._hurry = asyncio.Event()  # set at a cancellation or the end
        self._places: dict[str, Deployed] = {}  # by worker address
        self._info: ModelInfo | None = None
        self._end_error: JupyterLLMError | None = None  # why the engine is closed
        with showing(show) as report:

            def on_progress(share: float) -> bool:
                report(Step("Looking which model it is", share))
                return True

            self._plugin = ModelPlugin(entry, options, on_progress)
            self._name = self._plugin.name
            self._life = asyncio.run_coroutine_threadsafe(self._live(), client.loop.asyncio_loop)
            atexit.register(self.close)  # or the workers would keep it for some minutes
            try:
                first = self._put("tokenize_texts", [])  # answered when the first worker is ready
                while not wait([first.feed.future], TICK_S / 5).done:
                    report(self._step())
                first.feed.future.result()
            except BaseException:
                self.close()
                raise

    def _step(self) -> Step:
        """Return the progress of loading the model on the workers."""
        places = list(self._places.values())
        if not places:
            return Step("Waiting for a worker of the cluster")
        name, share = self._entry.name, sum(place.share for place in places) / len(places)
        is_sent = any(place.wanted for place in places)
        text = f"Sending {name} to" if is_sent else f"Loading {name} on"
        return Step(f"{text} {count_of(len(places), 'worker')}: {share:.0%}", share)

    # -- calls
    # -----------------------------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        """Return the facts about the model, from one worker."""
        num_ahead = max(_LEAST_AHEAD, 2 * _GROUP * _ROOM * len(self._places))
        return replace(cast("ModelInfo", self._info), num_at_once=num_ahead)

    @property
    def is_closed(self) -> bool:
        """Whether the model was unloaded, or the cluster is gone."""
        return self._end_error is not None or self._client.status != "running"

    def submit(self, request: Request) -> Stream:
        """Queue a request; the stream raises its errors."""
        call, progress = self._put("submit", request), partial(Progress, state="waiting")
        return Stream(call.feed, partial(self._cancel, call), self._cancelled, progress)

    def count_tokens(self, prompt: Prompt) -> int:
        """Return the number of tokens of a prompt."""
        return cast("int", self._ask("count_tokens", prompt)[0])

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of plain texts."""
        return cast("list[tuple[int, ...]]", self._ask("tokenize_texts", list(texts))[0])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector of length one for each text; the workers share the texts."""
        import numpy as np

        starts = range(0, len(texts) or 1, _NUM_EMBEDDED)
        parts = [list(texts[start : start + _NUM_EMBEDDED]) for start in starts]
        return np.concatenate(self._ask("embed", *parts))

    def close(self) -> None:
        """Cancel everything and free the model unless others use it. May be called twice."""
        self._end_error = self._end_error or EngineClosedError(_UNLOADED)
        atexit.unregister(self.close)
        self._client.loop.add_callback(self._end, self._end_error)
        wait([self._life], _CLOSE_S)

    def _ask(self, method: str, *values: Any) -> list[Any]:
        """Return the results of a method of the model's engine for some values."""
        check_may_wait()
        calls = [self._put(method, value) for value in values]
        try:
            return [call.feed.future.result() for call in calls]
        except KeyboardInterrupt:
            for call in calls:
                self._cancel(call)
            raise PromptInterrupted from None

    # -- from any thread to the client's loop ------------------------------------------------------

    def _put(self, method: str, value: Any) -> _Call:
        call = _Call(method, value)
        self._waiting.append(call)
        if self.is_closed:  # checked last: `close` ends all calls in the queue by then
            raise self._end_error or EngineClosedError(_UNLOADED)
        if not self._called.is_set():
            self._client.loop.add_callback(self._called.set)
        return call

    def _cancel(self, call: _Call) -> None:
        call.is_cancelled = True
        self._client.loop.add_callback(self._drop, call)

    def _drop(self, call: _Call) -> None:
        if call in self._sent:
            self._hurry_up()
        else:
            self._settle(call, self._cancelled())

    def _cancelled(self) -> Completion:
        name = self._entry.name
        return Completion(text="", finish_reason="cancelled", usage=Usage(), model=name)

    def _hurry_up(self) -> None:
        """Poll all workers now."""
        self._hurry.set()
        self._hurry = asyncio.Event()

    # -- on the client's loop ----------------------------------------------------------------------

    async def _live(self) -> None:
        """Use all present workers, until the engine is closed."""
        using: dict[str, asyncio.Task[None]] = {}
        try:
            while self._end_error is None:
                present = await self._workers()
                for address in using.keys() - present.keys():  # they have died
                    using.pop(address).cancel()
                for address in present.keys() - using.keys():
                    using[address] = asyncio.create_task(self._use(address))
                await self._rest(_LOOK_S)
        except Exception as failure:  # noqa: BLE001 a client without its cluster raises any error
            reason = str(failure).partition("\n")[0].removesuffix(".") or type(failure).__name__
            self._end(EngineClosedError(f"The cluster cannot be reached any more: {reason}."))
        finally:
            self._end(EngineClosedError(_UNLOADED))
            if using:
                await asyncio.wait(using.values())

    async def _workers(self) -> dict[str, int]:
        """Return the threads of each worker; raise `OSError` soon after the scheduler has died.

        A client tries to reconnect for half a minute. A scheduler that is only busy is waited for:
        its client still runs.
        """
        asked = asyncio.ensure_future(self._client.nthreads())
        while not (await asyncio.wait({asked}, timeout=_RECONNECT_S))[0]:
            if self._client.status != "running":
                asked.cancel()
                raise OSError("its scheduler has gone")
        return cast("dict[str, int]", asked.result())

    async def _use(self, address: str) -> None:
        """Load the model on a worker and send it calls until the engine is closed.

        This task is cancelled when the worker dies.
        """
        # Every other worker takes the latest calls, so that neighbours go to the same worker.
        take = self._waiting.pop if len(self._places) % 2 else self._waiting.popleft
        place = self._places[address] = Deployed()
        answering: list[asyncio.Task[None]] = []
        try:
            while self._end_error is None:
                before, piece = place, None
                try:
                    piece = self._piece(place)
                    place = await self._look(address, piece) or place
                except JupyterLLMError as error:
                    place = Deployed(error=error)
                self._places[address] = place
                if place.error and all(one.error for one in self._places.values()):
                    self._end(place.error)
                elif place.error and str(place.error) != str(before.error):
                    logger.warning("The worker %s is not used: %s", address, place.error)
                if place.info is None:
                    while answering:
                        answering.pop().cancel()
                elif not answering:
                    answering = [
                        asyncio.create_task(self._answer(address, take)) for _ in range(_ROOM)
                    ]
                if piece is None or place is before:
                    is_calm = place.error or (place.info and not self._sent)
                    await self._rest(_REST_S if is_calm else _LOOK_S)
        finally:
            del self._places[address]
            for one in answering:
                one.cancel()
        await self._run(address, worker.leave, self._name, self._id)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _run(self, address: str, function: Any, *values: Any) -> Any:
        """Return the result of a function on a worker, outside its tasks, or its error."""
        try:
            return (await self._client.run(function, *values, workers=[address]))[address]
        except Exception as error:  # noqa: BLE001  of whatever kind
            return error

    async def _look(self, address: str, piece: tuple[int, int, bytes] | None) -> Deployed | None:
        """Send cancellations to a worker, and return its progress; None if it does not answer."""
        stopped = [call.id for call in self._sent if call.is_cancelled]
        asked = pickle.dumps((self._plugin, self._id, stopped, piece))
        state = await self._run(address, worker.look, __version__, asked)
        # dask's error if the worker cannot unpickle it
        if state is None or type(state) is Exception:
            install = f"Install jupyter-llm=={__version__} where the workers run."
            raise OptionError(f"It has no jupyter_llm {__version__}. {install}")
        if not isinstance(state, Deployed):  # it may have died
            return None
        if state.error is not None:
            raise state.error
        if state.info is not None:
            info = replace(state.info, path=self._entry.path, host=self._host)
            self._info = self._info or info
            n_ctx = self._plugin.n_ctx = self._info.n_ctx  # as on the first worker
            if state.info.n_ctx != n_ctx:
                reason = f"It has n_ctx={state.info.n_ctx}, others {n_ctx}. Say n_ctx=… for all."
                raise OptionError(reason)
        return state

    def _piece(self, place: Deployed) -> tuple[int, int, bytes] | None:
        """Return the next piece of a file for a worker.

        Of workers with one store, only the first gets it.
        """
        wanting = (one for one in self._places.values() if one.wanted and one.store == place.store)
        if place.wanted is None or place is not next(wanting):
            return None
        number, offset = place.wanted
        path = self._plugin.paths[number]
        try:
            with open_regular(path) as file:
                file.seek(offset)
                return number, offset, file.read(PIECE)
        except OSError as error:
            raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None

    async def _answer(self, address: str, take: Callable[[], _Call]) -> None:
        """Let a worker answer one group of calls after another."""
        while True:
            await self._called.wait()
            await asyncio.sleep(_GATHER_S)
            share = math.ceil(len(self._waiting) / len(self._places) / _ROOM)
            taken = [take() for _ in range(min(_GROUP, share))]
            self._called.clear()
            if self._waiting:  # checked last: another thread may add a call meanwhile
                self._called.set()
            if calls := [call for call in taken if not call.feed.future.done()]:
                await self._answer_together(address, calls)

    async def _answer_together(self, address: str, calls: list[_Call]) -> None:
        """Let a worker answer calls; if it dies or has no model any more, they are queued again."""
        self._sent.update(calls)
        outcomes: Sequence[Any] = ()
        try:
            asked = pickle.dumps([(call.id, call.method, call.value) for call in calls])
            values = worker.answer, self._name, asked
            if data := await _result(self._client.submit(*values, workers=[address], pure=False)):
                outcomes = pickle.loads(data)  # noqa: S301 dask unpickles everything it receives
            else:
                self._hurry_up()
                await asyncio.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001  of whatever kind
            # cancelled when the client restarts its workers
            if not isinstance(error, CancelledError):
                reason = str(error).partition(". ")[0]
                outcomes = [EngineError(f"The cluster has given a task up: {reason}.")] * len(calls)
        finally:
            self._sent.difference_update(calls)
            for call, outcome in zip(calls, outcomes, strict=False):
                self._settle(call, outcome)
            for call in () if outcomes else reversed(calls):
                call.num_lost += 1
                if call.is_cancelled or call.num_lost > _MOST_LOST:
                    reason = (
                        f"{call.num_lost} workers that were to answer this have lost the model."
                    )
                    self._settle(call, EngineError(reason))
                else:
                    self._waiting.appendleft(call)
                    self._called.set()

    def _settle(self, call: _Call, outcome: Any) -> None:
        if not isinstance(outcome, JupyterLLMError):
            call.feed.finish(outcome)
        elif call.is_cancelled:
            call.feed.finish(self._cancelled())
        else:
            call.feed.fail(outcome)

    def _end(self, error: JupyterLLMError) -> None:
        """Close, and end all waiting calls with an error."""
        self._end_error = self._end_error or error
        for call in (*self._sent, *self._waiting):
            self._settle(call, error)
        self._hurry_up()


async def _result(task: Any) -> Any:
    """Return the result of a task, and release the task if nobody waits any more.

    One coroutine of the client collects results for all waiting calls. Cancelling one of these
    waits would cancel it for all of them, and for later calls.
    """
    result = asyncio.ensure_future(task)
    # Retrieves the error, or asyncio would print it if nobody waits any more.
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(result)
    finally:
        task.release()
