"""Runs one model in this process, on a thread of its own."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.info import EngineStatus, Work
from jupyter_llm.engine.local.generation import Generation
from jupyter_llm.engine.local.loop import Loop
from jupyter_llm.engine.local.native.threads import CoreLoad
from jupyter_llm.engine.options import MAX_SEED, EngineOptions, SamplingParams
from jupyter_llm.engine.request import Priority, Prompt, Request, check_text
from jupyter_llm.engine.stream import Stream, check_may_wait, run_the_model_here
from jupyter_llm.errors import (
    EngineClosedError,
    EngineError,
    JupyterLLMError,
    ModelFileError,
    OptionError,
)

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable

    from jupyter_llm.engine.completion import Score
    from jupyter_llm.engine.local.embedding import TextGroup
    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.masks.grammar import Grammars
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.models.machine import FreeMemory

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CLOSE_TIMEOUT_S = 10.0
_NUM_TOKENIZED = 256  # texts at a time
_NOT_ALL_READ = "stopped before all texts were read."
_UNLOADED = "The model was unloaded. Ask again to load it."


class LocalEngine:
    """A llama.cpp model that stays loaded, and the prompts that it has read.

    The thread "jupyter-llm-engine" owns the weights, the KV cache, the scheduler and all samplers;
    no other thread touches them. The public methods put commands on its queue (see `Loop`).
    Creating the engine loads the model. `on_progress` is called with the loaded share from 0 to 1,
    then `on_ready` with the engine, both on the calling thread. An interrupt before `on_ready`
    returns closes the engine.

    Raises
    ------
    ModelFileError
        The file is missing, damaged or no GGUF file.
    ModelLoadError
        llama.cpp refused it.
    NotEnoughMemoryError
        It is too large for what is free; nothing was loaded.
    """

    def __init__(
        self,
        entry: ModelEntry,
        options: EngineOptions | None = None,
        *,
        on_progress: Callable[[float], None] = lambda _share: None,
        on_ready: Callable[[LocalEngine], None] = lambda _engine: None,
    ) -> None:
        self._entry = entry
        self._options = options or EngineOptions()
        self._pid = os.getpid()
        # Guards is_closed against the queue's last command. Reentrant, since a stream that is
        # garbage-collected inside it cancels its request.
        self._lock = threading.RLock()
        self.is_closed = False
        """Whether the model was freed, by `close` or by a failure."""
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._embedding = threading.Lock()  # one group of texts at a time
        self._watchers = Watchers()
        self._thread = threading.Thread(target=self._run, name="jupyter-llm-engine", daemon=True)
        self._load_model(on_progress, on_ready)

    # -- the caller's side ---------------------------------------------------------------------

    @property
    def work(self) -> Work:
        """Whether it reads, writes, or has nothing to do."""
        return self._loop.work

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for an answer; otherwise it reads ahead at the most."""
        return self._loop.is_awaited

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `work` changes or the engine closes; the result ends that."""
        return self._watchers.add(callback)

    def submit(self, request: Request) -> Stream:
        """Queue a request; its errors are raised by the stream."""
        request = self._filled(request)
        params = request.params
        seed = secrets.randbelow(MAX_SEED + 1) if params.seed is None else params.seed
        generation = Generation(
            request, self._entry.name, seed=seed if params.temperature else None
        )
        stream = Stream(
            generation.feed,
            cancel=lambda: self._cancel(generation),
            snapshot=lambda: generation.completion("cancelled"),
            progress=generation.progress,
        )
        try:
            if isinstance(request.constraint, Grammar):  # on this thread, since it may take a while
                generation.mask = self._grammars.mask(request.constraint)
        except OptionError as error:
            generation.fail(error)
            return stream
        self._put(lambda: self._begin(partial(self._answering.start, generation), generation.fail))
        self._make_way(request.priority)
        return stream

    @cached_property
    def _grammars(self) -> Grammars:
        """The compiled grammars of answers, made on first need."""
        from jupyter_llm.engine.local.masks.grammar import Grammars

        weights = self._model.weights
        return self._call(lambda: Grammars(weights.vocabulary, weights.end_ids))

    def prefill(self, request: Request, *, is_draft: bool = False) -> None:
        """Read a prompt while there is nothing else to do; see `Engine.prefill`."""
        tokenizer = self._model.tokenizer
        tokenize = partial(
            tokenizer.tokenize if is_draft else tokenizer.tokenize_open, think=request.think
        )
        if self._model.can_trim or not is_draft:
            request, num_forgets = self._filled(request), self._answering.num_forgets
            self._put(lambda: self._start_prefill(request, tokenize, num_forgets))

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background until it is allowed again."""
        self._put(lambda: self._answering.hold_background(is_held=is_held))
        if is_held:
            self._make_way(Priority.BULK)

    def forget(self) -> None:
        """Forget all that was read, but not what is on the disk; running prompts go on."""
        self._call(self._answering.forget)

    def score(self, prompt: Prompt, continuations: collections.abc.Sequence[str]) -> list[Score]:
        """Return how likely each continuation is after a prompt, all judged in one batch."""
        texts = [check_text(text, is_raw=True) for text in continuations]
        if not texts:
            return []
        constraint = OneOf(tuple(dict.fromkeys(texts)), is_whole=False)
        params = SamplingParams(exact=False)
        request = Request(prompt=prompt, params=params, constraint=constraint)
        choice = self.submit(request).result().choice
        assert choice is not None
        scores = {score.text: score for score in choice.scores}
        return [scores[text] for text in texts]

    def embed(self, texts: collections.abc.Sequence[str]) -> np.ndarray:
        """Return a vector of length one for each text, as an array (num_texts, n_embd)."""
        for text in texts:
            check_text(text, is_raw=True)
        groups: list[TextGroup] = []
        for start in range(0, len(texts), _NUM_TOKENIZED):  # others get their turn in between
            some = texts[start : start + _NUM_TOKENIZED]
            groups += self._call(partial(self._answering.embedder.groups, some))
        vectors: list[np.ndarray] = []
        try:
            for group in groups:
                with self._embedding:
                    vectors += self._vectors(group)
        except KeyboardInterrupt:  # also while others embed
            raise PromptInterrupted(said=_NOT_ALL_READ) from None
        return np.array(vectors, np.float32).reshape(len(texts), self._model.weights.n_embd)

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """Return the text that the model reads: messages put through its chat template."""
        return self._call(lambda: self._model.tokenizer.format(prompt, think=think))

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens that the model reads for a prompt."""
        return self._call(lambda: self._model.tokenizer.tokenize(prompt))

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:
        """Return how many tokens the model reads for a prompt."""
        return self._call(lambda: len(self._model.tokenizer.tokenize(prompt, think=think)))

    def tokenize_texts(self, texts: collections.abc.Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of plain texts: no begin token, and control texts mean nothing."""
        return self._call(lambda: [self._model.tokenizer.plain(text) for text in texts])

    def status(self) -> EngineStatus:
        """Return the state of the engine at this moment."""
        return self._call(self._loop.status)

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file was replaced or changed."""
        return self._model.is_outdated

    @property
    def held(self) -> FreeMemory:
        """The memory that is free again when it has closed."""
        return self._model.held

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""
        if self._pid != os.getpid():  # forked: the thread and the memory are the parent's
            return
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                self._is_wanted = False  # if it is still being loaded
                self._commands.put(None)
                for lane in self._model.lanes.all if hasattr(self, "_model") else ():
                    lane.context.abort()
        self._thread.join(_CLOSE_TIMEOUT_S)
        atexit.unregister(self.close)

    def _filled(self, request: Request) -> Request:
        """Return the request with all sampling options set."""
        return replace(request, params=request.params.filled(self.info.sampling.params))

    def _load_model(
        self, on_progress: Callable[[float], None], on_ready: Callable[[LocalEngine], None]
    ) -> None:
        self._progress: SimpleQueue[float | JupyterLLMError | None] = SimpleQueue()
        self._is_wanted = True
        # A daemon thread inside llama.cpp must not be alive when C++ destructors run.
        atexit.register(self.close)
        self._thread.start()
        try:
            while (share := self._progress.get()) is not None:
                if isinstance(share, JupyterLLMError):
                    raise share  # noqa: TRY301  the handler is for interrupts as well
                on_progress(share)
            on_ready(self)
        except BaseException as error:
            self._is_wanted = False  # llama.cpp asks between two tensors
            self.is_closed = True
            self._commands.put(None)
            if isinstance(error, JupyterLLMError):
                atexit.unregister(self.close)  # the thread is over
            raise

    def _put(self, command: Callable[[], None]) -> None:
        if self._pid != os.getpid():
            raise EngineClosedError(
                "The model was loaded by the parent process, and a forked process cannot use it. "
                "Ask from the notebook itself, use threads, or start processes with 'spawn'."
            )
        with self._lock:
            if self.is_closed:
                raise EngineClosedError(_UNLOADED)
            self._commands.put(command)

    def _call(self, function: Callable[[], T]) -> T:
        check_may_wait()
        future: Future[T] = Future()

        def command() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001  raised on the calling thread
                future.set_exception(error)

        self._put(command)
        try:
            return future.result()
        except KeyboardInterrupt:
            raise PromptInterrupted from None

    def _vectors(self, group: TextGroup) -> list[np.ndarray]:
        """Wait for the vectors of a group of texts."""
        check_may_wait()

        def fail(error: JupyterLLMError) -> None:
            self._answering.embedder.end(group)
            group.fail(error)

        self._put(lambda: self._begin(lambda: self._answering.embedder.begin(group), fail))
        self._make_way(Priority.BULK)
        try:
            return group.future.result()
        except KeyboardInterrupt:
            self._stop(lambda: self._answering.embedder.end(group), group.lane, Priority.BULK)
            raise PromptInterrupted(said=_NOT_ALL_READ) from None

    def _cancel(self, generation: Generation) -> None:
        run = generation.run
        lane = run.lane if run is not None and run.sequence.slot is not None else None
        self._stop(
            lambda: self._answering.end(generation, "cancelled"), lane, generation.request.priority
        )

    def _stop(self, end: Callable[[], None], lane: Lane | None, priority: Priority) -> None:
        """Queue the command `end`, and abort the batch if its class steps in a lane now."""
        try:
            self._put(end)
        except EngineClosedError:
            return  # closing ended all requests
        if lane is None:
            return
        # A memory that cannot trim would lose the tokens of the batch's other sequences.
        is_cheap = self._model.can_trim or lane.scheduler.num_running == 1
        if is_cheap and lane.scheduler.stepping is priority:
            lane.context.abort()

    def _make_way(self, priority: Priority) -> None:
        """Abort the batch under evaluation if its class is lower; it is run again later."""
        for lane in self._model.lanes.all:
            running = lane.scheduler.stepping
            if running is not None and running > priority and self._model.can_trim:
                lane.context.abort()

    # -- the engine thread's side --------------------------------------------------------------

    def _run(self) -> None:
        run_the_model_here()
        try:
            self._open()
        except JupyterLLMError as error:
            self._progress.put(error)
            return
        except Exception as bug:
            logger.exception("Loading %s failed", self._entry.path)
            self._progress.put(EngineError(f"Loading {self._entry.name} failed: {bug}."))
            return
        self._progress.put(None)
        end: JupyterLLMError = EngineClosedError(_UNLOADED)
        try:
            self._loop.run()
        except ModelFileError as error:  # the file was written to
            end = error
        except Exception as bug:
            logger.exception("The engine stopped")
            end = EngineError(f"The engine stopped ({bug}). Ask again to load the model afresh.")
        with self._lock:
            self.is_closed = True
        self._loop.close(end)

    def _open(self) -> None:
        from jupyter_llm.engine.local.resident import ResidentModel

        def report(share: float) -> bool:
            self._progress.put(share)
            return self._is_wanted

        core_load = CoreLoad()
        model = ResidentModel(self._entry, self._options, report)
        self._loop = Loop(model, self._commands, self._watchers, self._make_way, core_load)
        self._answering = self._loop.answering
        self.info = model.info
        self._model = model

    def _begin(self, begin: Callable[[], None], fail: Callable[[JupyterLLMError], None]) -> None:
        """Call `begin`, and report to `fail` why it failed."""
        try:
            if self.is_closed:
                raise EngineClosedError(_UNLOADED)  # noqa: TRY301  all reasons end the same way
            begin()
        except JupyterLLMError as error:
            fail(error)
        except Exception as bug:
            logger.exception("A request could not be started")
            fail(EngineError(f"The text could not be read: {bug}."))

    def _start_prefill(
        self, request: Request, tokenize: Callable[[Prompt], tuple[int, ...]], num_forgets: int
    ) -> None:
        try:
            if not self.is_closed:
                self._answering.read_ahead(request, tokenize, num_forgets)
        except JupyterLLMError as error:  # the error is raised when an answer is asked for
            logger.debug("A prompt cannot be read in the background: %s", error)
        except Exception:
            if not self.is_closed:  # at the end of a script neither threads nor processes start
                logger.exception("A prompt could not be read in the background")
