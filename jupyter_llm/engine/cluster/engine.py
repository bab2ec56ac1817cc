"""Answers requests on the workers of a Dask cluster, each of which holds the model."""

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

_GROUP = 8  # calls a task: what is lost with a worker is few, and what a task costs is shared
# Groups that a worker has at once. Its model works on fewer, but what rows have in common is read
# once only as long as they are there together.
_ROOM = 16
_LEAST_AHEAD = 256  # requests that a column hands over at once
_NUM_EMBEDDED = 64  # texts a call
PIECE = 8 << 20  # bytes of a file that are sent at a time
_GATHER_S = 0.01  # while calls of one group come together
_LOOK_S = 0.5  # between two looks at a worker, while there is something to do
_REST_S = 60.0  # else
_GONE_S = 3.0  # that a scheduler has to come back
_MOST_LOST = 3  # workers: what kills one may kill all
_CLOSE_S = 5.0  # that workers have to let the model go
_UNLOADED = "The model is not on the cluster any more. Ask again to load it."


@dataclass(eq=False, slots=True)
class _Call:
    """What the model's engine on some worker is to do: answer a request, for example."""

    method: str
    value: Any
    id: str = field(default_factory=lambda: uuid4().hex)
    feed: StreamFeed = field(default_factory=StreamFeed)
    is_cancelled: bool = False
    num_lost: int = 0  # tasks


class ClusterEngine:
    """A model on every worker of a cluster, as what columns ask. Safe from any thread.

    Each worker takes calls in groups of a few that come one after another, so that it reads what
    they share once, and others when it is done. What a worker had that dies is answered by others.
    One that comes later is given the model, and its part. A stream has no chunks, only its end.
    Creating the engine returns when one worker can answer; `show` is told how far it is.

    All that goes on is a coroutine on the client's loop; other threads only put calls in a queue.

    Raises
    ------
    OptionError
        The client is no good.
    JupyterLLMError
        No worker is of use: why the last one is not. Of one among others that are a warning tells.
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
        self._called = asyncio.Event()  # that something waits
        self._hurry = asyncio.Event()  # that somebody has cancelled something, or closed the engine
        self._places: dict[str, Deployed] = {}  # by the worker's address
        self._info: ModelInfo | None = None
        self._is_closed = False
        with showing(show) as tell:

            def on_progress(share: float) -> bool:
                tell(Step("Looking which model it is", share))
                return True

            self._plugin = ModelPlugin(entry, options, on_progress)
            self._name = self._plugin.name
            self._life = asyncio.run_coroutine_threadsafe(self._live(), client.loop.asyncio_loop)
            atexit.register(self.close)  # or the workers would have it for some minutes more
            try:
                first = self._put("tokenize_texts", [])  # done as soon as somebody can answer
                while not wait([first.feed.future], TICK_S / 5).done:
                    tell(self._step())
                first.feed.future.result()
            except BaseException:
                self.close()
                raise

    def _step(self) -> Step:
        """How far the model is on the workers, in words."""
        places = list(self._places.values())
        if not places:
            return Step("Waiting for a worker of the cluster")
        name, share = self._entry.name, sum(place.share for place in places) / len(places)
        is_sent = any(place.wanted for place in places)
        what = f"Sending {name} to" if is_sent else f"Loading {name} on"
        return Step(f"{what} {count_of(len(places), 'worker')}: {share:.0%}", share)

    # -- what it is asked --------------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        """What is known of the model, as one worker has it."""
        num_ahead = max(_LEAST_AHEAD, 2 * _GROUP * _ROOM * len(self._places))
        return replace(cast("ModelInfo", self._info), num_at_once=num_ahead)

    @property
    def is_closed(self) -> bool:
        """Whether the model has been unloaded, or the cluster has gone."""
        return self._is_closed or self._client.status != "running"

    def submit(self, request: Request) -> Stream:
        """Queue a request; its errors are raised by the stream."""
        call, progress = self._put("submit", request), partial(Progress, state="waiting")
        return Stream(call.feed, partial(self._cancel, call), self._cancelled, progress)

    def count_tokens(self, prompt: Prompt) -> int:
        """How many tokens the model will read for a prompt."""
        return cast("int", self._ask("count_tokens", prompt)[0])

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of plain texts."""
        return cast("list[tuple[int, ...]]", self._ask("tokenize_texts", list(texts))[0])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """A vector of length one for each text; each worker reads some of them."""
        import numpy as np

        starts = range(0, len(texts) or 1, _NUM_EMBEDDED)
        parts = [list(texts[start : start + _NUM_EMBEDDED]) for start in starts]
        return np.concatenate(self._ask("embed", *parts))

    def close(self) -> None:
        """Cancel everything and free the model where nobody else needs it. May be called twice."""
        self._is_closed = True
        atexit.unregister(self.close)
        self._client.loop.add_callback(self._end, EngineClosedError(_UNLOADED))
        wait([self._life], _CLOSE_S)

    def _ask(self, method: str, *values: Any) -> list[Any]:
        """What comes of a method of the model's engine for each of some values."""
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
        if self.is_closed:  # asked last: whoever closes it ends what waits by then
            raise EngineClosedError(_UNLOADED)
        if not self._called.is_set():
            self._client.loop.add_callback(self._called.set)
        return call

    def _cancel(self, call: _Call) -> None:
        call.is_cancelled = True
        self._client.loop.add_callback(self._let_go, call)

    def _let_go(self, call: _Call) -> None:
        if call in self._sent:
            self._hurry_up()
        else:
            self._settle(call, self._cancelled())

    def _cancelled(self) -> Completion:
        name = self._entry.name
        return Completion(text="", finish_reason="cancelled", usage=Usage(), model=name)

    def _hurry_up(self) -> None:
        """Let all workers be looked at now."""
        self._hurry.set()
        self._hurry = asyncio.Event()

    # -- on the client's loop ----------------------------------------------------------------------

    async def _live(self) -> None:
        """Use all workers there are, until the engine is closed."""
        using: dict[str, asyncio.Task[None]] = {}
        try:
            while not self._is_closed:
                there = await self._workers()
                for address in using.keys() - there.keys():  # which have died
                    using.pop(address).cancel()
                for address in there.keys() - using.keys():
                    using[address] = asyncio.create_task(self._use(address))
                await self._rest(_LOOK_S)
        except Exception as failure:  # noqa: BLE001  whatever a client raises without its cluster
            said = str(failure).partition("\n")[0].removesuffix(".") or type(failure).__name__
            self._end(EngineClosedError(f"The cluster cannot be reached any more: {said}."))
        finally:
            self._end(EngineClosedError(_UNLOADED))
            if using:
                await asyncio.wait(using.values())

    async def _workers(self) -> dict[str, int]:
        """The threads of each worker; `OSError` soon after the scheduler has died.

        A client tries for half a minute to connect again. A scheduler that is only busy is waited
        for: its client still runs.
        """
        asked = asyncio.ensure_future(self._client.nthreads())
        while not (await asyncio.wait({asked}, timeout=_GONE_S))[0]:
            if self._client.status != "running":
                asked.cancel()
                raise OSError("its scheduler has gone")
        return cast("dict[str, int]", asked.result())

    async def _use(self, address: str) -> None:
        """Have the model on a worker, and let it answer, until it has died or nobody needs it."""
        # Every other one takes the latest, so that what has much in common comes to one worker.
        take = self._waiting.pop if len(self._places) % 2 else self._waiting.popleft
        place = self._places[address] = Deployed()
        answering: list[asyncio.Task[None]] = []
        try:
            while not self._is_closed:
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
        """What comes of a function on a worker, beside its tasks; its error where it fails."""
        try:
            return (await self._client.run(function, *values, workers=[address]))[address]
        except Exception as error:  # noqa: BLE001  of whatever kind
            return error

    async def _look(self, address: str, piece: tuple[int, int, bytes] | None) -> Deployed | None:
        """Tell a worker what was cancelled, and see how far it is; None where it cannot say."""
        stopped = [call.id for call in self._sent if call.is_cancelled]
        asked = pickle.dumps((self._plugin, self._id, stopped, piece))
        found = await self._run(address, worker.look, __version__, asked)
        if found is None or type(found) is Exception:  # as dask says that it cannot be read there
            install = f"Install jupyter-llm=={__version__} where the workers run."
            raise OptionError(f"It has no jupyter_llm {__version__}. {install}")
        if not isinstance(found, Deployed):  # it has died, perhaps
            return None
        if found.error is not None:
            raise found.error
        if found.info is not None:
            known = replace(found.info, path=self._entry.path, host=self._host)
            self._info = self._info or known
            n_ctx = self._plugin.n_ctx = self._info.n_ctx  # as the first one has
            if found.info.n_ctx != n_ctx:
                said = f"It has n_ctx={found.info.n_ctx}, others {n_ctx}. Say n_ctx=… for all."
                raise OptionError(said)
        return found

    def _piece(self, place: Deployed) -> tuple[int, int, bytes] | None:
        """The piece of a file that a worker wants; of those with one store the first one has it."""
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
            if self._waiting:  # looked at last: another thread may put something in just now
                self._called.set()
            if calls := [call for call in taken if not call.feed.future.done()]:
                await self._answer_together(address, calls)

    async def _answer_together(self, address: str, calls: list[_Call]) -> None:
        """Let a worker answer calls; where it dies, or has no model any more, they wait again."""
        self._sent.update(calls)
        outcomes: Sequence[Any] = ()
        try:
            asked = pickle.dumps([(call.id, call.method, call.value) for call in calls])
            values = worker.answer, self._name, asked
            if data := await _result(self._client.submit(*values, workers=[address], pure=False)):
                outcomes = pickle.loads(data)  # noqa: S301  as all that dask sends
            else:
                self._hurry_up()
                await asyncio.sleep(_LOOK_S)
        except Exception as error:  # noqa: BLE001  of whatever kind
            if not isinstance(error, CancelledError):  # else the client has restarted its workers
                said = str(error).partition(". ")[0]
                outcomes = [EngineError(f"The cluster has given a task up: {said}.")] * len(calls)
        finally:
            self._sent.difference_update(calls)
            for call, outcome in zip(calls, outcomes, strict=False):
                self._settle(call, outcome)
            for call in () if outcomes else reversed(calls):
                call.num_lost += 1
                if call.is_cancelled or call.num_lost > _MOST_LOST:
                    said = f"{call.num_lost} workers that were to answer this have lost the model."
                    self._settle(call, EngineError(said))
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
        """Close, and say why to all who wait."""
        self._is_closed = True
        for call in (*self._sent, *self._waiting):
            self._settle(call, error)
        self._hurry_up()


async def _result(task: Any) -> Any:
    """What comes of a task, which is let go where nobody waits for it any more.

    Results come by one coroutine of the client's for all who wait. To cancel one of these would
    cancel it for all, and for whoever asks for a result later.
    """
    coming = asyncio.ensure_future(task)
    # Its error is taken here, or asyncio would print it where nobody waits for it any more.
    coming.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(coming)
    finally:
        task.release()
