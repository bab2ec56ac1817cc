"""The lanes of a loaded model: which there are, which one a request takes, whose turn it is."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from jupyter_llm.common.tables import human_size
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.local.native.llama import BUILD, HAS_GPU, Context, EmbeddingContext, Weights
from jupyter_llm.engine.local.native.memory import (
    NUM_SEQUENCES,
    LoadPlan,
    Streams,
    context_need,
    divisions,
    exact_batch_size,
    exact_need,
    num_spares,
    padded,
)
from jupyter_llm.engine.local.sched.turns import Rota
from jupyter_llm.engine.local.trials.exactness import make_exact
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.errors import ModelLoadError, NotEnoughMemoryError
from jupyter_llm.models.inspect import ModelFile
from jupyter_llm.models.machine import free_memory
from jupyter_llm.models.neighbours import leave_room

logger = logging.getLogger(__name__)

IDLE_S = 300.0  # without a request for so long, a lane gives its memory back
_MAX_PARKED_BYTES, _PARKED_SHARE = 1 << 30, 0.1  # the latter of the free memory
_EXACT_SHARE = 0.75  # of the free memory
_MIN_STREAM_COPY = 64  # tokens; copying a stream costs as much as reading a few dozen
_EMBEDDING_N_CTX = 2048
_EMBEDDING_N_BATCH = 128  # tokens; each takes memory for logits, which llama.cpp always computes
_MIN_SECOND_READING = 256  # tokens; nobody notices fewer
_SMALL_FILE_BYTES = 500_000_000  # the self-test takes about a second with such a model


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A model file that was loaded: its weights, its options, and the plan of its memory."""

    path: Path
    file: ModelFile
    weights: Weights
    options: EngineOptions
    plan: LoadPlan
    n_threads: int

    @property
    def is_on_gpu(self) -> bool:
        """Whether a GPU computes some of its layers."""
        return HAS_GPU and self.plan.n_gpu_layers != 0

    @property
    def num_mapped(self) -> int:
        """The bytes of the weights that are pages of the file."""
        # Weights that llama.cpp has laid out anew are no pages of the file any more.
        mapped = getattr(psutil.Process().memory_info(), "shared", self.file.size_bytes)
        return min(mapped, self.file.size_bytes)

    @property
    def free_bytes(self) -> int:
        """The memory that another context may take, while all of the weights are in use."""
        free = free_memory(needed_bytes=self.num_mapped)
        return leave_room(free, self.path).ram_bytes


class Lanes:
    """The lanes of a model: a fast or an exact one, and the others on first need.

    Belongs to the engine thread. `keep` gives a new lane its store; `on_change` is called when a
    lane was made or freed later.
    """

    def __init__(
        self,
        loaded: LoadedFile,
        *,
        keep: Callable[[Lane], None],
        on_change: Callable[[], None],
    ) -> None:
        self._loaded = loaded
        self._keep = keep
        self._on_change = on_change
        self._can_trim = loaded.weights.can_trim
        self._rota: Rota[Lane] = Rota()
        self._is_short = False  # of memory for an exact lane, when one was asked for last
        self._used: dict[str, set[bool]] = {}  # conversation → lanes: exact, or not, or both
        self.is_background_held = False
        self.is_exact: bool | None = None
        """Whether the exact lane is exact, by its self-test; None without one."""
        self.free_threads = loaded.n_threads
        """How many threads a new lane computes with: what the machine has free now."""
        self.all: tuple[Lane, ...] = ()
        if loaded.options.exact:
            self.all = (self._open_exact(),)
        else:
            self.all = (self._open(is_exact=False, num_slots=NUM_SEQUENCES),)

    @property
    def is_idle(self) -> bool:
        """Whether no lane has anything to do."""
        return all(lane.scheduler.is_idle for lane in self.all)

    @property
    def is_free(self) -> bool:
        """Whether nobody waits for an answer; prompts may be read in the background."""
        return all(lane.scheduler.priority in (None, Priority.BACKGROUND) for lane in self.all)

    # -- which lane ------------------------------------------------------------------------------

    def lane_for(self, request: Request, token_ids: list[int]) -> tuple[Lane, bool]:
        """Return the lane of a request, and whether its text is the same every time there."""
        wants_exact, options = self._wants_exact(request), self._loaded.options
        if request.conversation is not None and options.exact is None:
            if not request.params.is_promised and request.params.exact is None:
                wants_exact = self._follow(token_ids, wants_exact=wants_exact)
            self._used.setdefault(request.conversation, set()).add(wants_exact)
        lane = self.get(is_exact=wants_exact)
        return lane, lane.is_exact and bool(self.is_exact)

    def lanes_to_read_in(self, request: Request) -> list[Lane]:
        """Return where a prompt is read ahead: where its conversation was answered, or will be.

        So nobody waits for reading in a chat that has some answers with a seed and some without. A
        prompt that is exact only because its temperature is 0 is read where the chat is.
        """
        wants_exact = self._wants_exact(request)
        wanted = set(self._used.get(request.conversation or "", ()))
        if not wanted or not wants_exact or request.params.is_promised:
            wanted.add(wants_exact)
        lanes = [self.get(is_exact=is_exact) for is_exact in sorted(wanted)]
        return list(dict.fromkeys(lanes))

    def _wants_exact(self, request: Request) -> bool:
        wanted = self._loaded.options.exact
        return request.params.wants_exact if wanted is None else wanted

    def _follow(self, token_ids: list[int], *, wants_exact: bool) -> bool:
        """Whether an answer that is not promised comes from the exact lane.

        It comes from the lane that it asks for, unless its prompt would be read a second time.
        """
        exact = self.open_exact
        num_known = {
            False: self.all[0].num_known(token_ids),
            True: exact.num_known(token_ids) if exact is not None else 0,
        }
        is_far = num_known[not wants_exact] - num_known[wants_exact] >= _MIN_SECOND_READING
        return wants_exact is not is_far

    def get(self, *, is_exact: bool) -> Lane:
        """Return the exact lane, or the first one."""
        return self.exact if is_exact else self.all[0]

    # -- whose turn ------------------------------------------------------------------------------

    def next(self) -> tuple[Lane, bool]:
        """Return the lane whose turn it is, and whether another has more urgent work."""
        classes = {lane: lane.scheduler.priority for lane in self.all}
        return self._rota.next({k: v for k, v in classes.items() if v is not None})

    def note_step(self, stepped: Lane, num_tokens: int) -> None:
        """Note that a lane evaluated tokens; lanes that only read ahead may wait for ever."""
        idle = (None, Priority.BACKGROUND)
        waiting = [lane for lane in self.all if lane.scheduler.priority not in idle]
        self._rota.note(stepped, num_tokens, waiting)

    def hold_background(self, *, is_held: bool) -> None:
        """Let the lanes read nothing in the background, or let them again."""
        self.is_background_held = is_held
        for lane in self.all:
            lane.scheduler.is_background_held = is_held

    # -- making lanes ----------------------------------------------------------------------------

    @property
    def open_exact(self) -> Lane | None:
        """The exact lane if it was made."""
        return next((lane for lane in self.all if lane.is_exact), None)

    @property
    def exact(self) -> Lane:
        """The exact lane, made on first need; the fast one while there is no room for it."""
        if (lane := self.open_exact) is not None:
            return lane
        self._make_way()
        loaded = self._loaded
        trouble = "Memory is too short to promise texts: the same seed may give another one."
        need = exact_need(loaded.file.shape, loaded.options, loaded.plan.n_ctx)
        if need.total <= _EXACT_SHARE * loaded.free_bytes:
            try:
                lane = self._open_exact()
            except ModelLoadError as error:
                trouble = f"No text is promised, the same seed may give another one: {error}"
            else:
                self.all = (*self.all, lane)
                self._on_change()
                self._is_short = False
                return lane
        if not self._is_short:  # one warning, though each such text tries again
            logger.warning("%s", trouble)
        self._is_short = True
        return self.all[0]

    def _open_exact(self) -> Lane:
        loaded = self._loaded
        ways = divisions(loaded.plan.n_ctx, has_streams=loaded.weights.can_have_streams)
        lane = self._open(is_exact=True, num_slots=ways[0].num_streams, ways=ways)
        self.is_exact = self._passes_self_test(lane.context)  # which must be empty
        return lane

    def _passes_self_test(self, context: Context) -> bool:
        """Whether an exact context is exact on this machine."""
        file, options = self._loaded.file, self._loaded.options
        key = {
            "build": BUILD,
            "architecture": file.architecture,
            "quantization": file.quantization,
            "n_gpu_layers": options.n_gpu_layers,
            "repack": options.repack,
            "has_company": context.num_slots > 1,
        }
        return make_exact(
            context,
            key=json.dumps(key),
            num_tokens=96 if file.size_bytes < _SMALL_FILE_BYTES else 48,
        )

    def _open(self, *, is_exact: bool, num_slots: int, ways: tuple[Streams, ...] = ()) -> Lane:
        loaded, options, plan = self._loaded, self._loaded.options, self._loaded.plan
        largest = min(options.batch_size, plan.n_ctx)
        context = Context(
            loaded.weights,
            n_ctx=ways[0].n_ctx if ways else plan.n_ctx,
            n_batch=exact_batch_size(options) if is_exact else options.batch_size,
            num_slots=num_slots,
            n_threads=self.free_threads,
            flash_attention=options.has_flash_attention and not is_exact,
            is_unified=not is_exact,
            kv_type="f16" if is_exact else options.kv_type,
            num_spares=0 if is_exact else num_spares(loaded.file.shape, largest),
        )
        max_parked_bytes = 0  # streams do not slow one another
        if not (is_exact or loaded.is_on_gpu):
            share = int(_PARKED_SHARE * free_memory().ram_bytes)
            max_parked_bytes = min(_MAX_PARKED_BYTES, share)
        has_window = loaded.weights.has_window
        lane = Lane(
            context,
            num_slots=num_slots,
            can_trim=self._can_trim,
            can_cut=self._can_trim and not has_window,  # states hold one window only
            is_exact=is_exact,
            min_copy=_MIN_STREAM_COPY if is_exact else 1,
            max_parked_bytes=max_parked_bytes,
            divisions=ways,
            can_move=not has_window,
        )
        lane.scheduler.is_background_held = self.is_background_held
        self._keep(lane)
        return lane

    @property
    def embedding_n_ctx(self) -> int:
        """The number of tokens of the longest text that can be embedded."""
        return min(_EMBEDDING_N_CTX, self.all[0].n_ctx)

    @cached_property
    def embedding(self) -> Lane:
        """The lane where texts are embedded, made on first need.

        Raises `NotEnoughMemoryError`.
        """
        self._make_way()
        loaded, longest = self._loaded, self.embedding_n_ctx
        n_ctx, shape = padded(longest + 1), loaded.file.shape
        n_batch = _EMBEDDING_N_BATCH if self.all[0].context.is_causal else longest
        need = context_need(shape, n_ctx, num_sequences=NUM_SEQUENCES, n_batch=n_batch)
        outputs_bytes = 4 * n_batch * (shape.n_vocab + shape.n_embd)  # with logits
        if need.total + outputs_bytes > (free_bytes := loaded.free_bytes):
            raise NotEnoughMemoryError(
                loaded.path,
                f"to embed texts it needs {human_size(need.total + outputs_bytes)} more, and "
                f"{human_size(free_bytes)} are free. Free some, or use a smaller model.",
                needed_bytes=need.total + outputs_bytes,
                free_bytes=free_bytes,
                n_ctx=None,
            )
        context = EmbeddingContext(
            loaded.weights,
            n_ctx=n_ctx,
            n_batch=n_batch,
            num_slots=NUM_SEQUENCES,
            n_threads=loaded.n_threads,
            flash_attention=loaded.options.has_flash_attention,
        )
        self.pooler = context.pooler
        lane = Lane(
            context,
            num_slots=NUM_SEQUENCES,
            can_trim=self._can_trim,
            can_cut=False,
            is_exact=False,
            embeds=True,
        )
        self.all = (*self.all, lane)
        return lane

    # -- freeing lanes ---------------------------------------------------------------------------

    def forget(self) -> None:
        """Forget all that was read, but not what is on the disk."""
        for lane in self.all:
            lane.forget()

    def save(self) -> bool:
        """Write the prefix that has grown most recently to disk; False if there is none."""
        return any(lane.save() for lane in self.all)

    def give_back(self) -> float | None:
        """Free the lanes that were idle for long; return in how many seconds to try again.

        The first lane stays, and lanes with a pinned prompt. The others are saved before.
        """
        now_s = time.monotonic()
        idle = [lane for lane in self.all[1:] if not lane.slots.has_pinned]
        old = [lane for lane in idle if now_s - lane.used_s >= IDLE_S]
        self._free(old)
        left = [lane for lane in idle if lane not in old]
        return min((IDLE_S - now_s + lane.used_s for lane in left), default=None)

    def _make_way(self) -> None:
        """Free other lanes that were made on need: memory is planned for one at a time."""
        others = (lane for lane in self.all[1:] if not lane.slots.has_pinned)
        self._free([lane for lane in others if lane.scheduler.is_idle])

    def _free(self, lanes: Sequence[Lane]) -> None:
        self.all = tuple(lane for lane in self.all if lane not in lanes)
        for lane in lanes:
            if lane.embeds:
                del self.embedding
            for used in self._used.values() if lane.is_exact else ():
                used -= {True}  # reading ahead does not open the lane again
            while lane.save():
                pass
            lane.close()
            self._rota.drop(lane)
        if lanes:
            self._on_change()

    def close(self, most_bytes: int) -> None:
        """Keep states of up to `most_bytes` on disk, and free the memory."""
        for lane in self.all:
            lane.save(most_bytes=most_bytes)
            lane.close()
