"""Runs one model in this process, on a thread of its own."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from jupyter_llm.engine.base import (
    MAX_SEED,
    Chunk,
    Completion,
    EngineOptions,
    EngineStatus,
    FinishReason,
    ModelInfo,
    Prompt,
    Request,
    Usage,
)
from jupyter_llm.engine.detokenizer import Detokenizer
from jupyter_llm.engine.scheduler import Drawn, Scheduler, Sequence
from jupyter_llm.engine.slots import Slots
from jupyter_llm.engine.stream import QueueStream, StreamFeed
from jupyter_llm.engine.threads import CoreLoad, ThreadCount, available_cores
from jupyter_llm.errors import (
    ChatTemplateError,
    EmptyPromptError,
    EngineClosedError,
    EngineError,
    JupyterLLMError,
    PromptInterrupted,
)
from jupyter_llm.models.inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.chat_template import ChatTemplate
    from jupyter_llm.engine.llama import Context, Weights
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NUM_SLOTS = 32  # conversations that stay resident; a slot in itself costs next to nothing
_DEFAULT_N_CTX = 8192  # tokens; more costs memory that most notebooks never use
_CLOSE_TIMEOUT_S = 10.0
_UNLOADED = "The model was unloaded. Ask again to load it."


@dataclass(slots=True)
class _Generation:
    """A request while the engine works on it. Belongs to the engine thread."""

    request: Request
    model: str
    seed: int | None
    feed: StreamFeed = field(default_factory=StreamFeed)
    sequence: Sequence | None = None
    detokenizer: Detokenizer = field(init=False)
    text: list[str] = field(default_factory=list)
    submitted_s: float = field(default_factory=time.perf_counter)
    first_s: float | None = None
    last_s: float = 0.0

    def __post_init__(self) -> None:
        self.detokenizer = Detokenizer(self.request.params.stop)

    def put(self, text: str) -> None:
        if text:
            self.text.append(text)
            self.feed.put(Chunk(text))

    def completion(self, reason: FinishReason) -> Completion:
        """Return what there is; safe from any thread, since lists only grow."""
        sequence = self.sequence
        token_ids = tuple(sequence.completion_ids) if sequence else ()
        first_s = self.first_s or time.perf_counter()
        return Completion(
            text="".join(self.text),
            finish_reason=reason,
            usage=Usage(
                prompt_tokens=sequence.num_prompt if sequence else 0,
                cached_tokens=sequence.num_cached if sequence else 0,
                completion_tokens=len(token_ids),
                prefill_s=first_s - self.submitted_s,
                decode_s=max(0.0, self.last_s - first_s),
            ),
            model=self.model,
            seed=self.seed,
            token_ids=None if self.detokenizer.is_stopped else token_ids,
        )


class LocalEngine:
    """A llama.cpp model that stays loaded, and the prompts it has read with it.

    The thread "jupyter-llm-engine" owns the weights, the KV cache, the scheduler and all
    samplers; no other thread touches them. The public methods put a command on its queue.
    Creating the engine loads the model and returns when it is ready; `on_progress` is called
    with the loaded share from 0 to 1, on the calling thread.

    Raises
    ------
    ModelFileError
        The file is missing, damaged or no GGUF file.
    ModelLoadError
        llama.cpp refused it.
    """

    def __init__(
        self,
        entry: ModelEntry,
        options: EngineOptions | None = None,
        *,
        on_progress: Callable[[float], None] = lambda _share: None,
    ) -> None:
        self._entry = entry
        self._options = options or EngineOptions()
        self._file = inspect(entry.file)
        self._pid = os.getpid()
        # Guards _is_closed against the queue's last command. Reentrant, since a stream that is
        # garbage-collected inside it cancels its request.
        self._lock = threading.RLock()
        self._is_closed = False
        self._commands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._generations: dict[Sequence, _Generation] = {}
        self._abort: Callable[[], None] = lambda: None  # until there is a context
        self._thread = threading.Thread(target=self._run, name="jupyter-llm-engine", daemon=True)
        self._load_model(on_progress)

    # -- the caller's side ---------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return self._info

    def submit(self, request: Request) -> QueueStream:
        """Queue a request; its errors are raised by the stream."""
        params = request.params
        seed = secrets.randbelow(MAX_SEED + 1) if params.seed is None else params.seed
        generation = _Generation(
            request, self._entry.name, seed=seed if params.temperature else None
        )
        stream = QueueStream(
            generation.feed,
            cancel=lambda: self._cancel(generation),
            snapshot=lambda: generation.completion("cancelled"),
        )
        self._put(lambda: self._start(generation))
        return stream

    def format(self, prompt: Prompt) -> str:
        """Return the text the model will read: messages put through its chat template."""
        return self._call(
            lambda: prompt if isinstance(prompt, str) else self._template.format(prompt)
        )

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens the model will read for a prompt."""
        return self._call(lambda: self._tokenize(prompt))

    def count_tokens(self, prompt: Prompt) -> int:
        """Return how many tokens the model will read for a prompt."""
        return len(self.tokenize(prompt))

    def status(self) -> EngineStatus:
        """Return what the engine does at this moment."""
        return self._call(
            lambda: EngineStatus(
                num_running=self._scheduler.num_running,
                num_waiting=self._scheduler.num_waiting,
                resident_tokens=self._slots.resident_tokens,
            )
        )

    @property
    def is_closed(self) -> bool:
        """Whether the model is gone, by `close` or by a failure."""
        return self._is_closed

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""
        if self._pid != os.getpid():  # forked: the thread and the memory are the parent's
            return
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._commands.put(None)
                self._abort()
        self._thread.join(_CLOSE_TIMEOUT_S)
        atexit.unregister(self.close)

    def _load_model(self, on_progress: Callable[[float], None]) -> None:
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
        except BaseException as error:
            self._is_wanted = False  # llama.cpp asks between two tensors
            self._is_closed = True
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
            if self._is_closed:
                raise EngineClosedError(_UNLOADED)
            self._commands.put(command)

    def _call(self, function: Callable[[], T]) -> T:
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

    def _cancel(self, generation: _Generation) -> None:
        try:
            self._put(lambda: self._end(generation, "cancelled"))
        except EngineClosedError:
            return  # whoever closed it ended the stream
        if generation.sequence is not None and generation.sequence.slot is not None:
            self._abort()

    # -- the engine thread's side --------------------------------------------------------------

    def _run(self) -> None:
        try:
            weights, context = self._open()
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
        except Exception as bug:
            logger.exception("The engine stopped")
            end = EngineError(f"The engine stopped ({bug}). Ask again to load the model afresh.")
        self._shut(end)
        context.close()
        weights.close()

    def _open(self) -> tuple[Weights, Context]:
        from jupyter_llm.engine.llama import Context, Weights

        self._core_load = CoreLoad()
        options = self._options
        n_threads = options.n_threads or available_cores()

        def report(share: float) -> bool:
            self._progress.put(share)
            return self._is_wanted

        weights = Weights(
            self._entry.file,
            n_gpu_layers=options.n_gpu_layers,
            on_progress=report,
            repack=options.repack,
        )
        try:
            context = Context(
                weights,
                n_ctx=options.n_ctx or min(weights.n_ctx_train or _DEFAULT_N_CTX, _DEFAULT_N_CTX),
                n_batch=options.batch_size,
                num_slots=_NUM_SLOTS,
                n_threads=n_threads,
                flash_attention=options.has_flash_attention,
            )
        except BaseException:
            weights.close()
            raise
        self._weights, self._context = weights, context
        self._abort = context.abort
        self._threads = ThreadCount(n_threads, lambda: self._core_load.num_busy(without_us=True))
        self._look_around(without_us=True)
        self._slots = Slots(_NUM_SLOTS, can_trim=weights.can_trim)
        self._scheduler = Scheduler(context, self._slots)
        self._chat_template: ChatTemplate | None = None
        self._info = self._describe(weights, context, n_threads)
        return weights, context

    def _describe(self, weights: Weights, context: Context, n_threads: int) -> ModelInfo:
        from jupyter_llm.engine.llama import BUILD

        return ModelInfo(
            name=self._entry.name,
            path=self._entry.path,
            architecture=self._file.architecture,
            quantization=self._file.quantization,
            size_bytes=self._file.size_bytes,
            license=self._file.license,
            n_ctx=context.n_ctx,
            n_ctx_train=weights.n_ctx_train,
            n_vocab=weights.n_vocab,
            n_threads=n_threads,
            flash_attention=self._options.has_flash_attention,
            has_chat_template=weights.chat_template is not None,
            build=BUILD,
            tuned_copy=self._entry.copy,
        )

    @property
    def _template(self) -> ChatTemplate:
        """The model's chat template, made on first need."""
        if self._chat_template is None:
            from jupyter_llm.engine.chat_template import ChatTemplate

            source = self._weights.chat_template
            if source is None:
                raise ChatTemplateError(
                    self._entry.name,
                    "the file has no chat template (a base model?). "
                    "llm.complete(…) continues raw text; `%llm /models` lists other models.",
                )
            self._chat_template = ChatTemplate(
                source,
                model=self._entry.name,
                bos=self._weights.bos,
                eos=self._weights.eos,
                control_texts=self._weights.control_texts(),
            )
        return self._chat_template

    def _tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        if isinstance(prompt, str):
            return tuple(self._weights.tokenize(prompt, is_special=True, add_bos=True))
        return self._template.tokenize(prompt, self._weights.tokenize)

    def _obey(self) -> bool:
        """Run the commands there are, waiting for one while idle; False when it is time to go."""
        self._context.clear_abort()
        was_idle = self._scheduler.is_idle
        if was_idle:
            self._core_load.num_busy(without_us=False)  # from here on, whatever is busy is not us
        while True:
            try:
                command = self._commands.get(block=self._scheduler.is_idle)
            except Empty:
                if was_idle:
                    self._look_around(without_us=False)
                return True
            if command is None:
                return False
            command()

    def _look_around(self, *, without_us: bool) -> None:
        num_busy = self._core_load.num_busy(without_us=without_us)
        if num_busy is not None:
            self._threads.start(num_busy)

    def _step(self) -> None:
        began_s = time.perf_counter()
        self._context.set_threads(self._threads.count)
        drawn = self._scheduler.step()
        if self._scheduler.num_evaluated:
            self._threads.observe(self._scheduler.num_evaluated, time.perf_counter() - began_s)
        for outcome in drawn:
            self._hand_out(outcome)

    def _start(self, generation: _Generation) -> None:
        try:
            if self._is_closed:
                raise EngineClosedError(_UNLOADED)  # noqa: TRY301  all reasons end the same way
            sequence = self._sequence(generation.request, generation.seed)
        except JupyterLLMError as error:
            generation.feed.fail(error)
        except Exception as bug:
            logger.exception("A request could not be started")
            generation.feed.fail(EngineError(f"The prompt could not be read: {bug}."))
        else:
            generation.sequence = sequence
            self._generations[sequence] = generation

    def _sequence(self, request: Request, seed: int | None) -> Sequence:
        token_ids = self._tokenize(request.prompt)
        if not token_ids:
            raise EmptyPromptError
        sampler = self._context.sampler(request.params, seed or 0, token_ids)
        sequence = Sequence(
            list(token_ids),
            max_tokens=request.params.max_tokens or self._context.n_ctx,
            sampler=sampler,
            conversation=request.conversation,
            ignore_eos=request.params.ignore_eos,
        )
        try:
            self._scheduler.submit(sequence)
        except JupyterLLMError:
            sampler.close()
            raise
        return sequence

    def _hand_out(self, drawn: Drawn) -> None:
        generation = self._generations[drawn.sequence]
        if drawn.error is not None:
            del self._generations[drawn.sequence]
            generation.feed.fail(drawn.error)
            return
        generation.last_s = time.perf_counter()
        generation.first_s = generation.first_s or generation.last_s
        if drawn.token_id is not None:
            generation.put(generation.detokenizer.feed(self._weights.bytes_of(drawn.token_id)))
        reason = "stop" if generation.detokenizer.is_stopped else drawn.sequence.finish_reason
        if reason is not None:
            self._end(generation, reason)

    def _end(self, generation: _Generation, reason: FinishReason) -> None:
        sequence = generation.sequence
        if sequence is None or self._generations.pop(sequence, None) is None:
            return  # it ended before
        self._scheduler.finish(sequence, reason)
        generation.put(generation.detokenizer.flush())
        generation.feed.finish(generation.completion(reason))

    def _shut(self, error: JupyterLLMError) -> None:
        """End every stream, and see that no command waits for ever."""
        with self._lock:
            self._is_closed = True
        for sequence, generation in list(self._generations.items()):
            self._scheduler.finish(sequence, "error")
            generation.feed.fail(error)
        self._generations.clear()
        while True:
            try:
                command = self._commands.get(block=False)
            except Empty:
                return
            if command is not None:
                command()
