"""A model in memory: its weights, its lanes, and what turns text into its tokens."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING

from jupyter_llm.engine.base import EngineOptions, EngineStatus, Message, ModelInfo, Prompt, Request
from jupyter_llm.engine.slots import common_prefix
from jupyter_llm.engine.threads import available_cores
from jupyter_llm.errors import ChatTemplateError, ContextOverflowError, ModelLoadError
from jupyter_llm.models.inspect import inspect

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable

    import numpy as np

    from jupyter_llm.engine.chat_template import ChatTemplate
    from jupyter_llm.engine.lane import Lane
    from jupyter_llm.engine.llama import Embedder
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

_NUM_SLOTS = 32  # sequences that stay resident; a slot in itself costs next to nothing
_NUM_STREAMS = 4  # of the exact lane; each takes the memory of a whole context window
_MIN_STREAM_COPY = 64  # tokens; copying a stream costs as much as reading a few dozen
_DEFAULT_N_CTX = 8192  # tokens; more costs memory that most notebooks never use
_EMBEDDING_N_CTX = 2048
_PATIENCE = 240  # tokens that one lane evaluates before one with lesser work gets a step
_SMALL_FILE_BYTES = 500_000_000  # the self-test takes about a second with such a model
_CLOSING_STATE_BYTES = 256 << 20  # more would hold up the end of the kernel


class ResidentModel:
    """A loaded model with a fast lane, and an exact one on first need.

    Belongs to the engine thread. `on_progress` hears the loaded share and returns False to give
    up.

    Raises
    ------
    ModelFileError
        The file is missing, damaged or no GGUF file.
    ModelLoadError
        llama.cpp refused it.
    """

    def __init__(
        self, entry: ModelEntry, options: EngineOptions, on_progress: Callable[[float], bool]
    ) -> None:
        from jupyter_llm.engine.llama import Weights

        self._entry = entry
        self._options = options
        self._file = inspect(entry.path)
        self.n_threads = options.n_threads or available_cores()
        self.is_background_held = False
        self.weights = Weights(
            entry.path, n_gpu_layers=options.n_gpu_layers, on_progress=on_progress
        )
        self.can_trim = self.weights.can_trim
        try:
            self.lanes: tuple[Lane, ...] = (self._open_lane(is_exact=bool(options.exact)),)
        except BaseException:
            self.weights.close()
            raise
        self.info = self._describe()

    @property
    def is_idle(self) -> bool:
        """Whether no lane has anything to do."""
        return all(lane.scheduler.is_idle for lane in self.lanes)

    def lane_for(self, request: Request) -> tuple[Lane, bool]:
        """Return where a request runs, and whether its text is the same every time there."""
        wants_exact = self._options.exact
        if wants_exact is None:
            wants_exact = request.params.wants_exact
        lane = self._exact_lane if wants_exact else self.lanes[0]
        return lane, lane.is_exact and self._is_exact

    @cached_property
    def _exact_lane(self) -> Lane:
        """The exact lane, made on first need; the fast one where there is no room for it."""
        if self.lanes[0].is_exact:
            return self.lanes[0]
        try:
            lane = self._open_lane(is_exact=True)
        except ModelLoadError as error:
            logger.warning("There is no exact context: %s", error)
            return self.lanes[0]
        self.lanes = (*self.lanes, lane)
        return lane

    @cached_property
    def _is_exact(self) -> bool:
        """Whether the exact lane is exact on this machine, by a self-test."""
        import platformdirs

        from jupyter_llm.engine.exactness import is_exact
        from jupyter_llm.engine.llama import BUILD

        context = self._exact_lane.context
        is_small = self._file.size_bytes < _SMALL_FILE_BYTES
        file = self._file
        return is_exact(
            context,
            key=f"{BUILD} {file.architecture} {file.quantization} {self._options.n_gpu_layers}",
            num_tokens=min(64 if is_small else 40, context.n_ctx // 2, context.n_batch),
            folder=platformdirs.user_cache_path("jupyter_llm"),
        )

    def next_lane(self) -> Lane:
        """Return the lane with the most urgent work; equals take turns, and none starves."""
        lanes = [lane for lane in self.lanes if not lane.scheduler.is_idle]
        for lane in lanes:
            if lane.num_passed >= _PATIENCE:
                return lane
        return min(lanes, key=lambda lane: (lane.scheduler.priority, lane.last_step))

    def pass_over(self, stepped: Lane, num_tokens: int) -> None:
        """Note that a lane evaluated tokens while the others did not."""
        for lane in self.lanes:
            is_left_out = lane is not stepped and not lane.scheduler.is_idle
            lane.num_passed = lane.num_passed + num_tokens if is_left_out else 0

    def hold_background(self, *, is_held: bool) -> None:
        """Let the lanes read nothing in the background, or let them again."""
        self.is_background_held = is_held
        for lane in self.lanes:
            lane.scheduler.is_background_held = is_held

    @cached_property
    def template(self) -> ChatTemplate:
        """The model's chat template, made on first need."""
        from jupyter_llm.engine.chat_template import ChatTemplate

        source = self.weights.chat_template
        if source is None:
            raise ChatTemplateError(
                self._entry.name,
                "the file has no chat template (a base model?). "
                "llm.complete(…) continues raw text; `%llm /models` lists other models.",
            )
        return ChatTemplate(
            source,
            model=self._entry.name,
            bos=self.weights.bos,
            eos=self.weights.eos,
            control_texts=self.weights.control_texts(),
        )

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens the model will read for a prompt."""
        if isinstance(prompt, str):
            return tuple(self.weights.tokenize(prompt, is_special=True, add_bos=True))
        return self.template.tokenize(prompt, self.weights.tokenize)

    def tokenize_open(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens of a prompt, and if it ends with an answer those of any next message.

        The latter are what two different messages have in common.
        """
        if isinstance(prompt, str) or not prompt or prompt[-1].role != "assistant":
            return self.tokenize(prompt)
        one, other = (self.tokenize((*prompt, Message("user", text))) for text in ("a", "Z"))
        return one[: common_prefix(one, other)]

    @cached_property
    def _embedder(self) -> Embedder:
        from jupyter_llm.engine.llama import Embedder

        n_ctx = min(_EMBEDDING_N_CTX, self.info.n_ctx)
        return Embedder(self.weights, n_ctx=n_ctx, n_threads=self.n_threads)

    def embedding_groups(self, texts: collections.abc.Sequence[str]) -> list[list[list[int]]]:
        """Return the tokens of texts, in groups that can be embedded at once."""
        tokenized = [self.weights.tokenize(text, is_special=False, add_bos=True) for text in texts]
        longest = max(map(len, tokenized), default=0)
        if longest > self._embedder.n_ctx:
            raise ContextOverflowError(longest, self._embedder.n_ctx)
        return [[tokenized[i] for i in group] for group in self._embedder.batches(tokenized)]

    def embed(self, group: list[list[int]]) -> np.ndarray:
        """Return the vectors of a group of tokenized texts."""
        return self._embedder.embed(group)

    def status(self, *, n_threads: int, tokens_per_s: float) -> EngineStatus:
        """Return what goes on in the lanes."""
        import psutil

        lanes = self.lanes
        return EngineStatus(
            num_running=sum(lane.scheduler.num_running for lane in lanes),
            num_waiting=sum(lane.scheduler.num_waiting for lane in lanes),
            prefixes=tuple(prefix for lane in lanes for prefix in lane.prefixes()),
            num_cells=sum(lane.context.num_cells for lane in lanes),
            n_threads=n_threads,
            tokens_per_s=tokens_per_s,
            process_bytes=psutil.Process().memory_info().rss,
            is_exact=self._is_exact if "_is_exact" in self.__dict__ else None,
        )

    def _open_lane(self, *, is_exact: bool) -> Lane:
        from jupyter_llm.engine.lane import Lane
        from jupyter_llm.engine.llama import Context

        options, weights = self._options, self.weights
        num_slots = _NUM_STREAMS if is_exact else _NUM_SLOTS
        context = Context(
            weights,
            n_ctx=options.n_ctx or min(weights.n_ctx_train or _DEFAULT_N_CTX, _DEFAULT_N_CTX),
            n_batch=options.n_batch,
            num_slots=num_slots,
            n_threads=self.n_threads,
            flash_attention=self._flash_attention and not is_exact,
            is_unified=not is_exact,
            full_window=options.full_window,
        )
        lane = Lane(
            context,
            num_slots=num_slots,
            can_trim=self.can_trim,
            is_exact=is_exact,
            min_copy=_MIN_STREAM_COPY if is_exact else 1,
        )
        lane.scheduler.is_background_held = self.is_background_held
        return lane

    @property
    def _flash_attention(self) -> bool:
        """Whether to use flash attention.

        On CPUs it is the slower one for the few tokens of a follow-up and of a step of a bulk.
        """
        from jupyter_llm.engine.llama import HAS_GPU

        if self._options.flash_attention is not None:
            return self._options.flash_attention
        return HAS_GPU and self._options.n_gpu_layers != 0

    def _describe(self) -> ModelInfo:
        from jupyter_llm.engine.llama import BUILD

        weights = self.weights
        return ModelInfo(
            name=self._entry.name,
            path=self._entry.path,
            architecture=self._file.architecture,
            quantization=self._file.quantization,
            size_bytes=self._file.size_bytes,
            license=self._file.license,
            n_ctx=self.lanes[0].context.n_ctx,
            n_ctx_train=weights.n_ctx_train,
            n_vocab=weights.n_vocab,
            n_threads=self.n_threads,
            flash_attention=self._flash_attention,
            has_chat_template=weights.chat_template is not None,
            build=BUILD,
        )

    def save(self) -> bool:
        """Write the prefix that has grown most recently to disk; False if there is none."""
        return any(lane.save() for lane in self.lanes)

    def close(self) -> None:
        """Keep what is worth it on disk, and free the memory."""
        for lane in self.lanes:
            lane.save(most_bytes=_CLOSING_STATE_BYTES)
            lane.close()
        if "_embedder" in self.__dict__:
            self._embedder.close()
        self.weights.close()
