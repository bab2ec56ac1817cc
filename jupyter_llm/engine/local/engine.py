"""Runs one model in this process, on a thread of its own."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.constraint import BeginsWith, Exactly, Grammar, OneOf
from jupyter_llm.engine.info import EngineStatus, Work
from jupyter_llm.engine.local.generation import Generation, ReadTogether
from jupyter_llm.engine.local.masks.beginning import BeginningMask
from jupyter_llm.engine.local.native.sampler import LogprobScorer, MaskedSampler, RecordingSampler
from jupyter_llm.engine.local.native.threads import CoreLoad, ThreadCount
from jupyter_llm.engine.local.sched.scheduler import Drawn, Mask, Sampler, Sequence
from jupyter_llm.engine.local.sched.slots import Senders
from jupyter_llm.engine.local.sched.turns import TURNS, Seat
from jupyter_llm.engine.options import MAX_SEED, EngineOptions, FinishReason, SamplingParams
from jupyter_llm.engine.request import Priority, Prompt, RawPrompt, Request, check_text
from jupyter_llm.engine.stream import Stream, check_may_wait, run_the_model_here
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.errors import (
    ContextOverflowError,
    EmptyPromptError,
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
    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.masks.grammar import Grammars
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.models.machine import FreeMemory

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REST_S = 0.5  # idle for so long, the engine writes checkpoints
_CLOSE_TIMEOUT_S = 10.0
_TURN_S = 0.02  # how long other engines are waited for before commands are looked for again
_NUM_TOKENIZED = 256  # texts at a time
_NUM_ASKED = 256  # tokens that may follow what was read ahead, before the answer
_NOT_ALL_READ = "stopped before all texts were read."
_UNLOADED = "The model was unloaded. Ask again to load it."


class LocalEngine:
    """A llama.cpp model that stays loaded, and the prompts it has read with it.

    The thread "jupyter-llm-engine" owns the weights, the KV cache, the scheduler and all
    samplers; no other thread touches them. The public methods put a command on its queue.
    Creating the engine loads the model and returns when it is ready; `on_progress` is called
    with the loaded share from 0 to 1, and `on_ready` with the engine, on the calling thread:
    whatever interrupts that ends the engine, or somebody knows it by then.

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
        """Whether the model is gone, by `close` or by a failure."""
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._generations: dict[Sequence, Generation] = {}
        self._together: dict[Sequence, ReadTogether] = {}
        self._senders = Senders()
        self._embedding = threading.Lock()  # one group of texts at a time
        self._num_steps = 0
        self._num_forgets = 0
        self._tokens_per_s = 0.0
        self.work: Work = "idle"
        self.is_awaited = False
        """Whether somebody waits for what it writes, and it does not only read ahead."""
        self._seat = Seat(self._make_way)
        self._watchers = Watchers()
        self._thread = threading.Thread(target=self._run, name="jupyter-llm-engine", daemon=True)
        self._load_model(on_progress, on_ready)

    # -- the caller's side ---------------------------------------------------------------------

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `work` is another one, or the engine has closed; end that again."""
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
            if isinstance(request.constraint, Grammar):  # here, since that may take a while
                generation.mask = self._grammars.mask(request.constraint)
        except OptionError as error:
            generation.fail(error)
            return stream
        self._put(lambda: self._begin(partial(self._start, generation), generation.fail))
        self._make_way(request.priority)
        return stream

    @cached_property
    def _grammars(self) -> Grammars:
        """The grammars that answers are asked to be of, made on first need."""
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
            request, num_forgets = self._filled(request), self._num_forgets
            self._put(lambda: self._start_prefill(request, tokenize, num_forgets))

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background until it is allowed again."""
        self._put(lambda: self._model.hold_background(is_held=is_held))
        if is_held:
            self._make_way(Priority.BULK)

    def forget(self) -> None:
        """Forget all that was read but for what is on the disk; prompts that run go on."""

        def forget() -> None:
            self._num_forgets += 1
            self._senders = Senders()
            self._end_background()
            for sequence in self._generations:
                sequence.is_private = True  # also where it waits, or goes on in another slot
            self._model.forget()

        self._call(forget)

    def score(self, prompt: Prompt, continuations: collections.abc.Sequence[str]) -> list[Score]:
        """How likely each continuation is after a prompt, all judged in one batch."""
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
        """A vector of length one for each text, as an array (num_texts, n_embd)."""
        for text in texts:
            check_text(text, is_raw=True)
        groups: list[list[list[int]]] = []
        for start in range(0, len(texts), _NUM_TOKENIZED):  # others get their turn in between
            some = texts[start : start + _NUM_TOKENIZED]
            groups += self._call(partial(self._model.embedding_groups, some))
        vectors: list[np.ndarray] = []
        try:
            for group in groups:
                with self._embedding:
                    vectors += self._read_together(group)
        except KeyboardInterrupt:  # also while others embed
            raise PromptInterrupted(said=_NOT_ALL_READ) from None
        return np.array(vectors, np.float32).reshape(len(texts), self._model.weights.n_embd)

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """The text the model will read: messages put through its chat template."""
        return self._call(lambda: self._model.tokenizer.format(prompt, think=think))

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens the model will read for a prompt."""
        return self._call(lambda: self._model.tokenizer.tokenize(prompt))

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:
        """How many tokens the model will read for a prompt."""
        return self._call(lambda: len(self._model.tokenizer.tokenize(prompt, think=think)))

    def tokenize_texts(self, texts: collections.abc.Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of plain texts: no begin token, and control texts mean nothing."""
        return self._call(lambda: [self._model.tokenizer.plain(text) for text in texts])

    def status(self) -> EngineStatus:
        """What the engine does at this moment."""
        return self._call(lambda: self._model.status(self._threads.count, self._tokens_per_s))

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file is another one now, or has other contents."""
        return self._model.is_outdated

    @property
    def held(self) -> FreeMemory:
        """What is free again when it has closed."""
        return self._model.held

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""
        if self._pid != os.getpid():  # forked: the thread and the memory are the parent's
            return
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                self._is_wanted = False  # where it is still being loaded
                self._commands.put(None)
                for lane in self._model.lanes if hasattr(self, "_model") else ():
                    lane.context.abort()
        self._thread.join(_CLOSE_TIMEOUT_S)
        atexit.unregister(self.close)

    def _filled(self, request: Request) -> Request:
        """A request that says how each token is drawn."""
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
                    raise share  # noqa: TRY301  the handler is for whatever comes from outside
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

    def _read_together(self, texts: list[list[int]]) -> list[np.ndarray]:
        """Wait for the vectors of some texts."""
        check_may_wait()
        together = ReadTogether()

        def fail(error: JupyterLLMError) -> None:
            self._end_together(together)
            together.fail(error)

        self._put(lambda: self._begin(lambda: self._embed(texts, together), fail))
        self._make_way(Priority.BULK)
        try:
            return together.future.result()
        except KeyboardInterrupt:
            self._stop(lambda: self._end_together(together), together.lane, Priority.BULK)
            raise PromptInterrupted(said=_NOT_ALL_READ) from None

    def _cancel(self, generation: Generation) -> None:
        sequence, lane = generation.sequence, generation.lane
        is_running = sequence is not None and sequence.slot is not None
        self._stop(
            lambda: self._end(generation, "cancelled"),
            lane if is_running else None,
            generation.request.priority,
        )

    def _stop(self, end: Callable[[], None], lane: Lane | None, priority: Priority) -> None:
        """Let something be ended, and the batch of its class in a lane be torn off."""
        try:
            self._put(end)
        except EngineClosedError:
            return  # whoever closed it ended all there was
        if lane is None:
            return
        # A memory that cannot trim would lose what the others of the batch have read.
        is_cheap = self._model.can_trim or lane.scheduler.num_running == 1
        if is_cheap and lane.scheduler.step_priority is priority:
            lane.context.abort()

    def _make_way(self, priority: Priority) -> None:
        """Let a batch of a lower class that is under evaluation go, to be run again later."""
        for lane in self._model.lanes:
            running = lane.scheduler.step_priority
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
            while self._obey():
                self._step()
                self._note_work()
        except ModelFileError as error:  # somebody wrote to it
            end = error
        except Exception as bug:
            logger.exception("The engine stopped")
            end = EngineError(f"The engine stopped ({bug}). Ask again to load the model afresh.")
        self._shut(end)
        self.work = "idle"
        self._watchers.notify()
        self._model.close()

    def _open(self) -> None:
        from jupyter_llm.engine.local.resident import ResidentModel

        def report(share: float) -> bool:
            self._progress.put(share)
            return self._is_wanted

        self._core_load = CoreLoad()
        model = ResidentModel(self._entry, self._options, report)
        self._threads = ThreadCount(
            model.n_threads, lambda: self._core_load.num_busy(without_us=True)
        )
        self._look_around(without_us=True)
        self.info = model.info
        self._model = model

    def _obey(self) -> bool:
        """Run the commands there are, waiting for one while idle; False when it is time to go."""
        for lane in self._model.lanes:
            lane.context.clear_abort()
        was_idle = self._model.is_idle
        if was_idle:
            self._core_load.num_busy(without_us=False)  # from here on, whatever is busy is not us
        while True:
            try:
                command = self._next_command()
            except Empty:
                if was_idle:
                    self._look_around(without_us=False)
                return True
            if command is None:
                return False
            command()
            self._note_work()

    def _next_command(self) -> Callable[[], None] | None:
        """Return the next command; raise Empty if there is none and something to do."""
        wait_s: float | None = _REST_S
        while self._model.is_idle:
            due_s = self._model.give_back()
            try:
                return self._commands.get(timeout=wait_s)
            except Empty:
                wait_s = _REST_S if self._model.save() else due_s
        return self._commands.get(block=False)

    def _look_around(self, *, without_us: bool) -> None:
        num_busy = self._core_load.num_busy(without_us=without_us)
        if num_busy is not None:
            self._threads.start(num_busy)

    def _step(self) -> None:
        lane, is_guest = self._model.next_lane()
        priority = lane.scheduler.priority
        assert priority is not None
        with TURNS.take(self._seat, priority, _TURN_S) as is_ours:
            if not is_ours:
                return  # there may be commands meanwhile
            began_s = time.perf_counter()
            lane.spread()
            lane.context.check()
            lane.context.set_threads(self._threads.count)
            drawn = lane.scheduler.step(is_guest=is_guest)
            num_tokens = lane.scheduler.num_evaluated
            if num_tokens:
                self._account(lane, num_tokens, time.perf_counter() - began_s)
        for outcome in drawn:
            self._hand_out(outcome)

    def _note_work(self) -> None:
        """Take note of what there is to do, and tell whoever watches if that is news."""
        work: Work = "reading"
        if self._model.is_idle:
            work = "idle"
        elif any(generation.first_s is not None for generation in self._generations.values()):
            work = "writing"
        self.is_awaited = not self._model.is_free
        if work != self.work:
            self.work = work
            self._watchers.notify()

    def _account(self, lane: Lane, num_tokens: int, step_s: float) -> None:
        self._num_steps += 1
        lane.last_step = self._num_steps
        self._model.pass_over(lane, num_tokens)
        self._threads.observe(num_tokens, step_s)
        lane.learn(step_s)

    def _begin(self, begin: Callable[[], None], fail: Callable[[JupyterLLMError], None]) -> None:
        """Begin something, and let whoever waits for it know if that fails."""
        try:
            if self.is_closed:
                raise EngineClosedError(_UNLOADED)  # noqa: TRY301  all reasons end the same way
            begin()
        except JupyterLLMError as error:
            fail(error)
        except Exception as bug:
            logger.exception("A request could not be started")
            fail(EngineError(f"The text could not be read: {bug}."))

    def _start(self, generation: Generation) -> None:
        self._end_background()
        generation.sequence = sequence = self._sequence(generation)
        if sender := generation.request.sender:
            generation.most_cached = self._senders.num_known(sender, sequence.token_ids)
        self._generations[sequence] = generation

    def _sequence(self, generation: Generation) -> Sequence:
        request = generation.request
        tokenizer = self._model.tokenizer
        generation.is_led = is_led = self._is_led(request)
        # What an answer begins with would be thought, and not answered.
        is_begun = bool(request.answer_prefix) or request.constraint is not None
        think = request.think
        most_read = 2 * self.info.n_ctx  # up to there they are counted, for who shortens a prompt
        token_ids: list[int] = []
        is_long = isinstance(request.prompt, tuple) and len(request.prompt) > most_read
        if not is_long:
            token_ids += tokenizer.tokenize(request.prompt, think=think, most=most_read)
        if is_long or len(token_ids) > most_read:
            raise ContextOverflowError(most_read, self.info.n_ctx, is_least=True)
        if not token_ids:
            raise EmptyPromptError
        has_room = is_led and request.params.reason > 0  # beside the answer's
        generation.request = request = self._with_room(request, think=think and not has_room)
        stops = tokenizer.stops(request.prompt)
        thinking = None if is_begun else tokenizer.thinking(request.prompt, token_ids)
        tokenize = partial(self._model.weights.tokenize, is_special=False)
        if is_led or request.reasoning:
            opening, closing, closes = tokenizer.around_thoughts(request.prompt, token_ids)
            token_ids += opening
            if is_led:
                thinking = Thinking(closes)
            else:
                token_ids += [*tokenize(request.reasoning), *closing]
        generation.begin(stops, thinking)
        token_ids += tokenize(request.answer_prefix, goes_on=bool(request.reasoning))
        if len(token_ids) >= self.info.n_ctx:
            raise ContextOverflowError(len(token_ids), self.info.n_ctx)
        self._model.free_threads = self._threads.count
        lane, generation.is_exact = self._model.lane_for(request, token_ids)
        generation.lane = lane
        generation.writer = partial(self._model.writer, lane)
        generation.file_key = self._model.file_key
        if isinstance(request.constraint, BeginsWith):
            generation.mask = BeginningMask(request.constraint, self._model.weights.vocabulary)
        most = self._leading(request, token_ids, len(closing), lane.n_ctx) if is_led else {}
        return self._queue(request, lane, token_ids, **self._way(generation, token_ids) | most)

    def _way(self, generation: Generation, token_ids: list[int]) -> dict[str, Any]:
        """How what comes after these tokens is written: drawn, or one of some texts judged."""
        request, lane = generation.request, generation.lane
        assert lane is not None
        params = request.params
        if isinstance(request.constraint, OneOf | Exactly) and not generation.is_led:
            scorer = generation.scorer = self._scorer(generation, token_ids)
            return {"scorer": scorer, "paths": scorer.paths, "max_tokens": scorer.num_tokens}
        # Wrong guesses are to be forgotten, and only one that decodes alone has time for them.
        may_draft = params.lookup and request.priority < Priority.BULK and self._model.can_trim
        mask = None if generation.is_led else generation.mask
        return {
            "max_tokens": params.max_tokens or lane.n_ctx,
            "sampler": self._sampler(generation, lane, token_ids, mask),
            "ignore_eos": params.ignore_eos,
            "drafter": lane.drafter(token_ids) if may_draft else None,
            "mask": mask,
            "needs_logits": params.logprobs is not None,
        }

    def _leading(
        self, request: Request, token_ids: list[int], num_closing: int, n_ctx: int
    ) -> dict[str, int]:
        """How many tokens are written freely before an answer, and how many there are in all.

        A quarter of the room is left to the answer, and so it is of all tokens where thoughts
        count, too.
        """
        texts = request.constraint.texts if isinstance(request.constraint, OneOf) else ()
        sizes = map(len, self._model.tokenizer.following(token_ids, texts).values())
        num_more = max(sizes, default=0) + num_closing
        room = n_ctx - len(token_ids) - num_more - 1
        if room < 1:
            raise ContextOverflowError(len(token_ids) + num_more, n_ctx)
        params, room = request.params, room * 3 // 4
        num_led = params.reason or (params.max_tokens or room) * 3 // 4 - num_closing
        num_led = max(1, min(num_led, room))
        num_answer = params.max_tokens or n_ctx
        if texts:  # which are read and not drawn
            num_answer = num_led + num_more
        elif params.reason:
            num_answer += num_led + num_closing
        return {"num_led": num_led, "max_tokens": num_answer}

    def _answer(self, generation: Generation, sequence: Sequence) -> None:
        """Go on with the answer after what was written freely."""
        request, lane = generation.request, generation.lane
        assert lane is not None
        num_prompt, params = sequence.num_prompt, request.params
        read = sequence.token_ids[:num_prompt]
        _, closing, _ = self._model.tokenizer.around_thoughts(request.prompt, read)
        if generation.num_closed:
            closing = self._model.weights.tokenize("\n\n", is_special=False, goes_on=True)
        num_free = generation.num_closed or generation.num_tokens
        token_ids = [*read, *sequence.completion_ids[:num_free], *closing]
        generation.start_answer(len(token_ids) - num_prompt)
        most = sequence.max_tokens
        if params.reason and params.max_tokens:  # however few tokens came before
            most = min(most, generation.num_tokens + params.max_tokens)
        way = self._way(generation, token_ids) | {"max_tokens": most}
        lane.scheduler.go_on(sequence, token_ids, way)

    @staticmethod
    def _queue(
        request: Request, lane: Lane, token_ids: list[int], *, num_more: int = 0, **more: Any
    ) -> Sequence:
        """Let a request's tokens be read; `num_more` may come after them, or its `max_tokens`."""
        sequence = Sequence(
            token_ids,
            conversation=request.conversation,
            priority=request.priority,
            is_pinned=request.is_pinned,
            is_private=request.is_private,
            **more,
        )
        try:
            num_more = num_more or sequence.max_tokens
            lane.prepare(token_ids, request.conversation, num_more=num_more)
            lane.scheduler.submit(sequence)
        except BaseException:
            if sequence.sampler is not None:
                sequence.sampler.close()
            raise
        return sequence

    def _scorer(self, generation: Generation, token_ids: list[int]) -> LogprobScorer:
        """What judges the texts of a choice after these tokens."""
        request, lane, tokenizer = generation.request, generation.lane, self._model.tokenizer
        assert lane is not None
        if isinstance(request.constraint, Exactly):
            ids, num_top = request.constraint.token_ids, request.params.logprobs or 0
            generation.texts = {tokenizer.format(RawPrompt.of_tokens(ids)): ids}
            return LogprobScorer(lane.context, [ids], num_top=num_top)
        assert isinstance(request.constraint, OneOf)
        ends = set(self._model.weights.end_ids)
        stops = tokenizer.stops(request.prompt)
        if stops:
            ends.update(self._model.weights.vocabulary.fitting([s.encode() for s in stops]))
        # What blanks a model puts before its answer there is none of it.
        is_first = not (request.answer_prefix or request.reasoning or generation.num_thought)
        has_blank = stops and is_first and request.constraint.is_whole
        texts = {f" {text}" if has_blank else text: text for text in request.constraint.texts}
        found = tokenizer.following(token_ids, texts)
        generation.texts = {texts[text]: ids for text, ids in found.items()}
        ends = ends if request.constraint.is_whole else set()
        return LogprobScorer(lane.context, found.values(), ends)

    def _is_led(self, request: Request) -> bool:
        """Whether an answer with a shape comes after free text."""
        has_shape = isinstance(request.constraint, Grammar | OneOf) and not request.answer_prefix
        can_think = isinstance(request.prompt, tuple) and self._model.tokenizer.can_think
        thinks = bool(request.params.think) and can_think
        return has_shape and (request.params.reason > 0 or thinks)

    def _with_room(self, request: Request, *, think: bool | None) -> Request:
        """A request whose prompt was tokenized, with room for thoughts where some may come."""
        may_think = think is not False and isinstance(request.prompt, tuple)
        if not may_think or not self._model.tokenizer.can_think:
            return request
        return replace(request, params=request.params.with_room_to_think())

    def _sampler(
        self, generation: Generation, lane: Lane, token_ids: list[int], mask: Mask | None
    ) -> Sampler:
        params = generation.request.params
        sampler = lane.context.sampler(params, generation.seed or 0, token_ids)
        if mask is not None:
            sampler = MaskedSampler(sampler, lane.context, mask)
        if params.logprobs is not None and not generation.is_led:
            bytes_of = self._model.weights.bytes_of
            sampler = RecordingSampler(sampler, lane.context, params.logprobs, bytes_of)
            generation.records = sampler.records
        return sampler

    def _start_prefill(
        self, request: Request, tokenize: Callable[[Prompt], tuple[int, ...]], num_forgets: int
    ) -> None:
        if self.is_closed or num_forgets != self._num_forgets:  # what was forgotten stays so
            return
        if request.conversation is not None:
            self._end_background(request.conversation)  # what it has read, this one begins with
        if not self._model.is_free:
            return
        try:
            token_ids = list(tokenize(request.prompt))
            self._read_ahead(self._with_room(request, think=request.think), token_ids)
        except JupyterLLMError as error:  # whoever asks for an answer is told
            logger.debug("A prompt cannot be read in the background: %s", error)
        except Exception:
            if not self.is_closed:  # at the end of a script neither threads nor processes start
                logger.exception("A prompt could not be read in the background")

    def _read_ahead(self, request: Request, token_ids: list[int]) -> None:
        if not token_ids:
            return
        self._model.free_threads = self._threads.count
        for lane in self._model.lanes_to_read_in(request):
            if len(token_ids) >= lane.n_ctx:
                continue
            num_more = _NUM_ASKED + (request.params.max_tokens or lane.n_ctx)
            background = replace(request, priority=Priority.BACKGROUND)
            self._queue(background, lane, list(token_ids), max_tokens=0, num_more=num_more)

    def _end_background(self, conversation: str | None = None) -> None:
        """Stop reading in the background, everything or for one conversation."""
        for lane in self._model.lanes:
            for sequence in lane.scheduler.of_class(Priority.BACKGROUND):
                if conversation is None or sequence.conversation == conversation:
                    lane.scheduler.finish(sequence, "cancelled")

    def _embed(self, texts: list[list[int]], together: ReadTogether) -> None:
        lane = together.lane = self._model.embedding_lane
        if lane.scheduler.is_idle:
            lane.clear()
        for token_ids in texts:
            pooler = self._model.pooler()
            # Each token from the first one on counts.
            sequence = Sequence(
                token_ids[:1],
                0,
                scorer=pooler,
                paths=[tuple(token_ids[1:])],
                priority=Priority.BULK,
            )
            lane.scheduler.submit(sequence)
            together.poolers[sequence] = pooler
            self._together[sequence] = together

    def _end_together(self, together: ReadTogether) -> None:
        for sequence in together.poolers:
            if self._together.pop(sequence, None) is not None and together.lane is not None:
                together.lane.scheduler.finish(sequence, "cancelled")

    def _hand_out(self, drawn: Drawn) -> None:
        together = self._together.pop(drawn.sequence, None)
        if together is not None and drawn.error is not None:
            self._end_together(together)
            together.fail(drawn.error)
        elif together is not None:
            together.finish_one()
        generation = self._generations.get(drawn.sequence)
        if generation is None:
            return  # a prefill, or it ended at an earlier token of this step
        if drawn.error is not None:
            del self._generations[drawn.sequence]
            generation.fail(drawn.error)
            return
        generation.touch()
        if drawn.token_id is not None:
            bytes_of, marks = self._model.weights.bytes_of, self._model.tokenizer.mark_bytes
            generation.take(drawn.token_id, bytes_of, marks)
        else:
            generation.has_ended = True
        sequence = drawn.sequence
        is_last = drawn.token_id is None or generation.num_tokens == len(sequence.completion_ids)
        reason = sequence.finish_reason if is_last else None
        if reason == "error":
            return  # which comes next
        if generation.is_led:
            if is_last and (sequence.is_held or generation.num_closed or generation.is_looping):
                self._answer(generation, sequence)
            return
        if generation.is_looping and reason is None:
            reason = "repetition"
        if generation.scorer is not None:
            generation.choose(self._model.tokenizer.named)
        if generation.detokenizer.is_stopped:
            reason = "stop"
        if reason is not None:
            self._end(generation, reason)

    def _end(self, generation: Generation, reason: FinishReason) -> None:
        sequence, lane = generation.sequence, generation.lane
        if sequence is None or lane is None or self._generations.pop(sequence, None) is None:
            return  # it ended before
        lane.scheduler.finish(sequence, reason)
        completion = generation.end(reason)
        self._tokens_per_s = completion.usage.tokens_per_s or self._tokens_per_s

    def _shut(self, error: JupyterLLMError) -> None:
        """End every stream, and see that no command waits for ever."""
        with self._lock:
            self.is_closed = True
        for generation in list(self._generations.values()):
            if generation.lane is not None and generation.sequence is not None:
                generation.lane.scheduler.finish(generation.sequence, "error")
            generation.fail(error)
        self._generations.clear()
        for together in set(self._together.values()):
            together.fail(error)
        self._together.clear()
        while True:
            try:
                command = self._commands.get(block=False)
            except Empty:
                return
            if command is not None:
                command()
