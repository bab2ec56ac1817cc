"""A model in memory: its weights, its lanes, and what turns prompts into its tokens."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING

import psutil

from jupyter_llm.common.tables import human_size
from jupyter_llm.engine.attention import AttentionTimes, keep_times, stored_times
from jupyter_llm.engine.info import EngineStatus, ModelInfo
from jupyter_llm.engine.local.kept.checkpoint import CheckpointStore, checkpoint_folder
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.local.native.llama import (
    BUILD,
    HAS_GPU,
    Context,
    EmbeddingContext,
    Weights,
    device_memory,
)
from jupyter_llm.engine.local.native.memory import (
    NUM_SEQUENCES,
    Streams,
    context_need,
    divisions,
    exact_batch_size,
    exact_need,
    kv_bytes,
    num_spares,
    padded,
    plan_load,
    sum_of,
)
from jupyter_llm.engine.local.text.tokenizer import Tokenizer
from jupyter_llm.engine.local.trials import flash_attention
from jupyter_llm.engine.local.trials.exactness import make_exact
from jupyter_llm.engine.local.trials.model_file import try_file
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.provenance import ContextSettings, ModelFacts, Writer
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.errors import (
    ContextOverflowError,
    EmptyPromptError,
    ModelFileError,
    ModelLoadError,
    NotEnoughMemoryError,
)
from jupyter_llm.models.fingerprint import FileState, check_promise, file_sha256, stored_sha256
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import (
    FreeMemory,
    available_cores,
    free_memory,
    is_written_by_others,
    this_machine,
)
from jupyter_llm.models.neighbours import Claim, leave_room

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable

    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

IDLE_S = 300.0  # without a request for so long, a lane gives its memory back
_MAX_CHECKPOINT_BYTES = 2 << 30  # on disk, all models together
_MAX_PARKED_BYTES, _PARKED_SHARE = 1 << 30, 0.1  # the latter of the free memory
_EXACT_SHARE = 0.75  # of the free memory
_MIN_STREAM_COPY = 64  # tokens; copying a stream costs as much as reading a few dozen
_EMBEDDING_N_CTX = 2048
_EMBEDDING_N_BATCH = 128  # tokens; each takes memory for the logits that come along
_MIN_SECOND_READING = 256  # tokens; fewer are not felt
_PATIENCE = 240  # tokens that one lane evaluates before one with lesser work gets a step
_SMALL_FILE_BYTES = 500_000_000  # the self-test takes about a second with such a model
_UNMAPPED_SHARE = 0.5  # of the free memory
_CLOSING_STATE_BYTES = 256 << 20  # more would hold up the end of the kernel


def free_beside(
    sizes: collections.abc.Sequence[int], held: collections.abc.Sequence[FreeMemory] = ()
) -> FreeMemory:
    """What is free beside models of so many bytes that are loaded and go on being read.

    With what they have `held` it is what would be free without them.
    """
    # As far as their files' pages are mapped; the rest is memory of our own, which is not free.
    mapped = getattr(psutil.Process().memory_info(), "shared", 0)
    free = free_memory(device_memory(), needed_bytes=min(mapped, sum(sizes)))
    return sum_of(leave_room(free), *held)


class ResidentModel:
    """A loaded model with a fast lane, and an exact one on first need.

    Belongs to the engine thread. `on_progress` hears the loaded share and returns False to give
    up. What it raises is told by `LocalEngine`.
    """

    def __init__(
        self, entry: ModelEntry, options: EngineOptions, on_progress: Callable[[float], bool]
    ) -> None:
        self._entry = entry
        self._options = options
        self._file = inspect(entry.path)
        self.n_threads = options.n_threads or available_cores()
        self.is_background_held = False
        self._is_short = False  # of memory for an exact lane, when one was asked for last
        self._used: dict[str, set[bool]] = {}  # conversation → lanes: exact, or not, or both
        self._is_exact: bool | None = None  # by the self-test of the exact lane
        self.free_threads = self.n_threads  # what the machine has free now
        self._sha256: str | None = None  # of the model file, once it is known
        self._identity = FileState.of(entry.path).key
        free = leave_room(free_memory(device_memory()), entry.path)
        self._plan = plan_load(self._file, options, free)
        self.lanes: tuple[Lane, ...] = ()
        self._claim = Claim(entry.name, entry.path)
        try:
            self._claim_room()
            self._load(free, on_progress)
        except BaseException:
            self._claim.drop()
            raise
        self.info = self._describe()
        self._claim_room()

    def _load(self, free: FreeMemory, on_progress: Callable[[float], bool]) -> None:
        entry, options = self._entry, self._options
        check_promise(entry.path, on_progress=on_progress)
        try_file(entry.path, is_wanted=lambda: on_progress(0.0))
        has_room = self._plan.need.total <= _UNMAPPED_SHARE * free.ram_bytes
        self.weights = Weights(
            entry.path,
            is_mapped=not (has_room and is_written_by_others(entry.path)),
            n_gpu_layers=self._plan.n_gpu_layers,
            on_progress=on_progress,
            repack=options.repack,
        )
        self.tokenizer = Tokenizer(
            self.weights, model=entry.name, file_keys=lambda: (self._sha256, self._identity)
        )
        self.can_trim = self.weights.can_trim
        try:
            self._choose_attention(free, lambda: on_progress(1.0))
            if options.exact:
                self.lanes = (self._open_exact_lane(),)
            else:
                self.lanes = (self._open_lane(is_exact=False, num_slots=NUM_SEQUENCES),)
        except BaseException:
            self.weights.close()
            raise

    def _choose_attention(self, free: FreeMemory, is_wanted: Callable[[], bool]) -> None:
        """Go without flash attention where that is faster, and leaves room for the same window."""
        self._attention = self._attention_times(is_wanted)
        if self._attention is None or self._attention.prefers_flash:
            return
        plain = replace(self._options, flash_attention=False)
        with suppress(NotEnoughMemoryError):
            plan = plan_load(self._file, plain, free)
            if (plan.n_ctx, plan.n_gpu_layers) == (self._plan.n_ctx, self._plan.n_gpu_layers):
                self._options, self._plan = plain, plan

    def _attention_times(self, is_wanted: Callable[[], bool]) -> AttentionTimes | None:
        """What flash attention brings here, measured where that is not known; None: no choice."""
        options, weights, file = self._options, self.weights, self._file
        is_open = options.flash_attention is None and options.kv_type == "f16"
        has_room = self._plan.n_ctx >= 2 * flash_attention.N_CTX  # for the trial's two contexts
        can_repeat = weights.can_trim and weights.can_have_streams and not file.is_embedding
        is_used = not (options.exact or self._is_on_gpu)
        if not (is_open and has_room and can_repeat and is_used):
            return None
        machine = this_machine(self.n_threads)
        times = stored_times(file.shape, machine)
        if times is None:
            times = flash_attention.attention_times(
                weights, n_threads=self.n_threads, is_wanted=is_wanted
            )
            if times is not None:
                keep_times(file.shape, machine, times)
        return times

    @property
    def is_outdated(self) -> bool:
        """Whether its file is another one now, or has other contents."""
        return self.weights.file_state.is_outdated()

    @property
    def is_idle(self) -> bool:
        """Whether no lane has anything to do."""
        return all(lane.scheduler.is_idle for lane in self.lanes)

    @property
    def is_free(self) -> bool:
        """Whether nobody waits for an answer; something may be read in the background."""
        return all(lane.scheduler.priority in (None, Priority.BACKGROUND) for lane in self.lanes)

    def lane_for(self, request: Request, token_ids: list[int]) -> tuple[Lane, bool]:
        """Where a request runs, and whether its text is the same every time there."""
        wants_exact = self._wants_exact(request)
        if request.conversation is not None and self._options.exact is None:
            if not request.params.is_promised and request.params.exact is None:
                wants_exact = self._follow(token_ids, wants_exact=wants_exact)
            self._used.setdefault(request.conversation, set()).add(wants_exact)
        lane = self._lane(is_exact=wants_exact)
        return lane, lane.is_exact and bool(self._is_exact)

    def lanes_to_read_in(self, request: Request) -> list[Lane]:
        """Where a prompt is read ahead: wherever its conversation was answered, and will be.

        So none has to be read while somebody waits, also in a chat that has some answers with a
        seed and some without. What follows another lane for temperature 0 alone stays there.
        """
        wants_exact = self._wants_exact(request)
        wanted = set(self._used.get(request.conversation or "", ()))
        if not wanted or not wants_exact or request.params.is_promised:
            wanted.add(wants_exact)
        return list({id(lane): lane for lane in map(self._lane, sorted(wanted))}.values())

    def _wants_exact(self, request: Request) -> bool:
        wanted = self._options.exact
        return request.params.wants_exact if wanted is None else wanted

    def _follow(self, token_ids: list[int], *, wants_exact: bool) -> bool:
        """Whether an answer that is not promised comes from the exact lane.

        It is as asked, unless its prompt would be read a second time for that.
        """
        exact = self._open_exact
        num_known = {
            False: self.lanes[0].num_known(token_ids),
            True: exact.num_known(token_ids) if exact is not None else 0,
        }
        is_far = num_known[not wants_exact] - num_known[wants_exact] >= _MIN_SECOND_READING
        return wants_exact is not is_far

    def _lane(self, is_exact: bool) -> Lane:  # noqa: FBT001
        return self._exact_lane if is_exact else self.lanes[0]

    @property
    def _open_exact(self) -> Lane | None:
        return next((lane for lane in self.lanes if lane.is_exact), None)

    @property
    def _exact_lane(self) -> Lane:
        """The exact lane, made on first need; the fast one while there is no room for it."""
        if (lane := self._open_exact) is not None:
            return lane
        self._make_way()
        trouble = "Memory is too short to promise texts: the same seed may give another one."
        need = exact_need(self._file.shape, self._options, self._plan.n_ctx)
        if need.total <= _EXACT_SHARE * self._free_beside_weights():
            try:
                lane = self._open_exact_lane()
            except ModelLoadError as error:
                trouble = f"No text is promised, the same seed may give another one: {error}"
            else:
                self.lanes = (*self.lanes, lane)
                self._claim_room()
                self._is_short = False
                return lane
        if not self._is_short:  # said once, though every such text tries again
            logger.warning("%s", trouble)
        self._is_short = True
        return self.lanes[0]

    def _open_exact_lane(self) -> Lane:
        ways = divisions(self._plan.n_ctx, has_streams=self.weights.can_have_streams)
        lane = self._open_lane(is_exact=True, num_slots=ways[0].num_streams, ways=ways)
        self._is_exact = self._passes_self_test(lane.context)  # which must be empty
        return lane

    def _passes_self_test(self, context: Context) -> bool:
        """Tell whether an exact context is exact on this machine."""
        file, options = self._file, self._options
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

    @property
    def file_key(self) -> str:
        """What names the model file: its hash, or until that is known what the file system says."""
        return self._sha256 or self._identity

    def writer(self, lane: Lane) -> Writer:
        """What writes in a lane, for the record. Safe from any thread."""
        options, context = self._options, lane.context
        return Writer(
            model=ModelFacts.of(self.info, self._sha256),
            context=ContextSettings(
                lane="exact" if lane.is_exact else "fast",
                # Not less what the exact lane keeps for fillers: it is what was asked for.
                n_ctx=self._plan.n_ctx if lane.is_exact else lane.n_ctx,
                n_batch=context.n_batch,
                kv_type="f16" if lane.is_exact else options.kv_type,
                flash_attention=options.has_flash_attention and not lane.is_exact,
                n_gpu_layers=self._plan.n_gpu_layers,
                repack=options.repack,
                full_window=True,
            ),
            build=self.info.build,
        )

    def next_lane(self) -> tuple[Lane, bool]:
        """The lane with the most urgent work, and whether another's is more urgent.

        Equals take turns, and none starves but what is read in the background.
        """
        lanes = [lane for lane in self.lanes if not lane.scheduler.is_idle]
        first = min(lanes, key=lambda lane: (lane.scheduler.priority, lane.last_step))
        for lane in lanes:
            is_background = lane.scheduler.priority is Priority.BACKGROUND
            if lane.num_passed >= _PATIENCE and not is_background:
                return lane, lane.scheduler.priority != first.scheduler.priority
        return first, False

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
    def embedding_lane(self) -> Lane:
        """Where texts are embedded, made on first need.

        Raises `NotEnoughMemoryError`.
        """
        self._make_way()
        longest, shape = self._embedding_n_ctx, self._file.shape
        n_ctx = padded(longest + 1)
        n_batch = _EMBEDDING_N_BATCH if self.lanes[0].context.is_causal else longest
        need = context_need(shape, n_ctx, num_sequences=NUM_SEQUENCES, n_batch=n_batch)
        outputs_bytes = 4 * n_batch * (shape.n_vocab + shape.n_embd)  # logits come along
        free_bytes = self._free_beside_weights()
        if need.total + outputs_bytes > free_bytes:
            raise NotEnoughMemoryError(
                self._entry.path,
                f"to embed texts it needs {human_size(need.total + outputs_bytes)} more, and "
                f"{human_size(free_bytes)} are free. Free some, or use a smaller model.",
                needed_bytes=need.total + outputs_bytes,
                free_bytes=free_bytes,
                n_ctx=None,
            )
        context = EmbeddingContext(
            self.weights,
            n_ctx=n_ctx,
            n_batch=n_batch,
            num_slots=NUM_SEQUENCES,
            n_threads=self.n_threads,
            flash_attention=self._options.has_flash_attention,
        )
        self.pooler = context.pooler  # makes what takes the vector of one text
        lane = Lane(
            context,
            num_slots=NUM_SEQUENCES,
            can_trim=self.can_trim,
            can_cut=False,
            is_exact=False,
            embeds=True,
        )
        self.lanes = (*self.lanes, lane)
        return lane

    @property
    def _embedding_n_ctx(self) -> int:
        return min(_EMBEDDING_N_CTX, self.info.n_ctx)

    def embedding_groups(self, texts: collections.abc.Sequence[str]) -> list[list[list[int]]]:
        """The tokens of texts in groups that are read in one batch; a long one alone in several.

        `ContextOverflowError` if one is too long to be embedded.
        """
        tokenized = [self.weights.tokenize(text, is_special=False, add_bos=True) for text in texts]
        longest, n_ctx = max(map(len, tokenized)), self._embedding_n_ctx
        if longest > n_ctx:
            raise ContextOverflowError(longest, n_ctx)
        if not all(tokenized):
            raise EmptyPromptError
        n_batch = self.embedding_lane.context.n_batch
        groups: list[list[list[int]]] = []
        num_tokens = n_batch
        for text in tokenized:
            num_tokens += len(text)
            if num_tokens > n_batch or len(groups[-1]) == NUM_SEQUENCES:
                groups.append([])
                num_tokens = len(text)
            groups[-1].append(text)
        return groups

    def status(self, n_threads: int, tokens_per_s: float) -> EngineStatus:
        """What goes on in the lanes."""
        lanes = [lane for lane in self.lanes if not lane.embeds]
        cells = [lane.context.num_allotted for lane in lanes]
        sizes = [
            kv_bytes(self._file.shape, num_cells, "f16" if lane.is_exact else self._options.kv_type)
            for lane, num_cells in zip(lanes, cells, strict=True)
        ]
        return EngineStatus(
            num_running=sum(lane.scheduler.num_running for lane in self.lanes),
            num_waiting=sum(lane.scheduler.num_waiting for lane in self.lanes),
            prefixes=tuple(prefix for lane in lanes for prefix in lane.prefixes()),
            room=cells[0],
            kv_bytes=sizes[0],
            exact_cells=sum(cells[1:]),
            exact_bytes=sum(sizes[1:]),
            promised_bytes=self._plan.promised.total if len(lanes) == 1 else 0,
            n_threads=n_threads,
            tokens_per_s=tokens_per_s,
            process_bytes=psutil.Process().memory_info().rss,
            is_exact=self._is_exact,
            template_trouble=self.tokenizer.trouble,
            num_guests=sum(len(lane.scheduler.of_class(Priority.GUEST)) for lane in self.lanes),
        )

    @property
    def held(self) -> FreeMemory:
        """What is free again when it has gone. Safe from any thread."""
        need, num_layers = self._plan.need, self._file.shape.num_layers + 1
        on_gpu = min(self._plan.n_gpu_layers or 0, num_layers) / num_layers
        others = (lane.context for lane in self.lanes[1:] if not lane.embeds)
        later = sum(kv_bytes(self._file.shape, context.num_allotted) for context in others)
        vram = int(on_gpu * (need.weights_bytes + need.kv_bytes)) if self._is_on_gpu else 0
        return FreeMemory(ram_bytes=need.total - vram + later, vram_bytes=vram)

    def _free_beside_weights(self) -> int:
        """What another context may take, while all of the weights go on being read."""
        free = free_memory(needed_bytes=self._num_mapped())
        return leave_room(free, self._entry.path).ram_bytes

    def _num_mapped(self) -> int:
        """How many bytes of the weights are the file's pages."""
        # Those that llama.cpp has laid out anew are no file's pages any more.
        mapped = getattr(psutil.Process().memory_info(), "shared", self._file.size_bytes)
        return min(mapped, self._file.size_bytes)

    def _claim_room(self) -> None:
        """Tell other kernels what the model holds, and what it may still take."""
        need, is_loaded = self._plan.need, bool(self.lanes)
        coming_bytes = 0 if is_loaded else need.total - need.weights_bytes
        if self._open_exact is None:
            coming_bytes += self._plan.promised.total
        self._claim.put(
            held_bytes=need.total,
            mapped_bytes=self._num_mapped() if is_loaded else need.weights_bytes,
            coming_bytes=0 if self._is_on_gpu else coming_bytes,
        )

    def _open_lane(self, *, is_exact: bool, num_slots: int, ways: tuple[Streams, ...] = ()) -> Lane:
        options, weights = self._options, self.weights
        largest = min(options.batch_size, self._plan.n_ctx)
        spares = 0 if is_exact else num_spares(self._file.shape, largest)
        context = Context(
            weights,
            n_ctx=ways[0].n_ctx if ways else self._plan.n_ctx,
            n_batch=exact_batch_size(options) if is_exact else options.batch_size,
            num_slots=num_slots,
            n_threads=self.free_threads,
            flash_attention=self._options.has_flash_attention and not is_exact,
            is_unified=not is_exact,
            kv_type="f16" if is_exact else options.kv_type,
            num_spares=spares,
        )
        # Streams do not slow one another.
        max_parked_bytes = 0
        if not (is_exact or self._is_on_gpu):
            share = int(_PARKED_SHARE * free_memory().ram_bytes)
            max_parked_bytes = min(_MAX_PARKED_BYTES, share)
        lane = Lane(
            context,
            num_slots=num_slots,
            can_trim=self.can_trim,
            can_cut=self.can_trim and not self.weights.has_window,  # states hold one window only
            is_exact=is_exact,
            min_copy=_MIN_STREAM_COPY if is_exact else 1,
            max_parked_bytes=max_parked_bytes,
            divisions=ways,
            can_move=not self.weights.has_window,
        )
        lane.scheduler.is_background_held = self.is_background_held
        self._give_store(lane)
        return lane

    def _give_store(self, lane: Lane) -> None:
        """Let a lane keep its prefixes on disk, as soon as the model file's hash is known."""
        digest = stored_sha256(self._entry.path)
        if digest is None:  # it takes seconds for large files, and nobody waits for it
            Thread(target=self._hash_file, args=(lane,), daemon=True).start()
        else:
            self._learn_hash(lane, digest)

    def _hash_file(self, lane: Lane) -> None:
        try:
            self._learn_hash(lane, file_sha256(self._entry.path))
        except ModelFileError as error:
            logger.warning("%s", error)

    def _learn_hash(self, lane: Lane, digest: str) -> None:
        self._sha256 = digest
        # What a window's state is put back into are other cells than those it came from, and sums
        # over cells come to other last bits.
        is_moved = lane.is_exact and self.weights.has_window
        options = self._options
        if is_moved or not options.checkpoints:
            return
        # Whatever of this changes, what was read before is of no use.
        scope = {
            "file": digest,
            "machine": this_machine(self.n_threads).key,
            "n_gpu_layers": self._plan.n_gpu_layers,
            "repack": options.repack,
            "full_window": True,
            "kv_type": options.kv_type,
            "flash_attention": options.has_flash_attention,
            "exact": lane.is_exact and "one stream",
        }
        lane.store = CheckpointStore(
            checkpoint_folder(), json.dumps(scope), max_bytes=_MAX_CHECKPOINT_BYTES
        )

    @property
    def _is_on_gpu(self) -> bool:
        return HAS_GPU and self._plan.n_gpu_layers != 0

    def _describe(self) -> ModelInfo:
        weights = self.weights
        return ModelInfo(
            name=self._entry.name,
            path=self._entry.path,
            architecture=self._file.architecture,
            quantization=self._file.quantization,
            size_bytes=self._file.size_bytes,
            license=self._file.license,
            n_ctx=self.lanes[0].n_ctx,
            n_ctx_train=weights.n_ctx_train,
            n_vocab=weights.n_vocab,
            n_threads=self.n_threads,
            flash_attention=self._options.has_flash_attention,
            attention=self._attention,
            has_chat_template=weights.chat_template is not None,
            build=BUILD,
            kv_type=self._options.kv_type,
            kv_bytes=self._plan.need.kv_bytes,
            num_parameters=self._file.num_parameters,
            sampling=Recommended.of(self._file.sampling, self._file.num_parameters),
            fim=weights.fim,
            notebook=weights.notebook,
        )

    def forget(self) -> None:
        """Forget all that was read but for what is on the disk."""
        for lane in self.lanes:
            lane.forget()

    def save(self) -> bool:
        """Write the prefix that has grown most recently to disk; False if there is none."""
        return any(lane.save() for lane in self.lanes)

    def give_back(self) -> float | None:
        """Free the lanes that nobody has used for long; return in how many seconds to ask again.

        The first one stays, and one that holds what is pinned. What the others held is on disk
        then, where it may be.
        """
        now_s = time.monotonic()
        idle = [lane for lane in self.lanes[1:] if not lane.slots.has_pinned]
        gone = [lane for lane in idle if now_s - lane.used_s >= IDLE_S]
        self._free(gone)
        left = [lane for lane in idle if lane not in gone]
        return min((IDLE_S - now_s + lane.used_s for lane in left), default=None)

    def _make_way(self) -> None:
        """Free the other lane that was made on need, before one is: both are not to be there."""
        others = (lane for lane in self.lanes[1:] if not lane.slots.has_pinned)
        self._free([lane for lane in others if lane.scheduler.is_idle])

    def _free(self, lanes: collections.abc.Sequence[Lane]) -> None:
        self.lanes = tuple(lane for lane in self.lanes if lane not in lanes)
        for lane in lanes:
            if lane.embeds:
                del self.embedding_lane
            for used in self._used.values() if lane.is_exact else ():
                used -= {True}  # what is only read ahead opens no lane again
            while lane.save():
                pass
            lane.close()
        if lanes:
            self._claim_room()

    def close(self) -> None:
        """Keep what is worth it on disk, and free the memory."""
        for lane in self.lanes:
            lane.save(most_bytes=_CLOSING_STATE_BYTES)
            lane.close()
        self.weights.close()
        self._claim.drop()
