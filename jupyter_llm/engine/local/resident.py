"""A model in memory: its weights, its lanes, and what turns prompts into its tokens."""

from __future__ import annotations

import collections.abc
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Thread

import psutil

from jupyter_llm.engine.attention import AttentionTimes, keep_times, stored_times
from jupyter_llm.engine.info import EngineStatus, ModelInfo
from jupyter_llm.engine.local.kept.checkpoint import CheckpointStore, checkpoint_folder
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.local.lanes import Lanes, LoadedFile
from jupyter_llm.engine.local.native.llama import (
    BUILD,
    HAS_GPU,
    Weights,
    device_memory,
)
from jupyter_llm.engine.local.native.memory import (
    kv_bytes,
    plan_load,
    sum_of,
)
from jupyter_llm.engine.local.text.tokenizer import Tokenizer
from jupyter_llm.engine.local.trials import flash_attention
from jupyter_llm.engine.local.trials.model_file import try_file
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.provenance import ContextSettings, ModelFacts, Writer
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.request import Priority
from jupyter_llm.errors import (
    ModelFileError,
    NotEnoughMemoryError,
)
from jupyter_llm.models.discover import ModelEntry
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

logger = logging.getLogger(__name__)

_MAX_CHECKPOINT_BYTES = 2 << 30  # on disk, all models together
_UNMAPPED_SHARE = 0.5  # of the free memory
_CLOSING_STATE_BYTES = 256 << 20  # more would hold up the end of the kernel


def free_beside(
    sizes: collections.abc.Sequence[int], held: collections.abc.Sequence[FreeMemory] = ()
) -> FreeMemory:
    """Return the memory that is free beside loaded models with files of `sizes` bytes.

    `held`: memory of models that will be closed, which counts as free.
    """
    # Mapped pages of the files are not free, since they are read again and again.
    mapped = getattr(psutil.Process().memory_info(), "shared", 0)
    free = free_memory(device_memory(), needed_bytes=min(mapped, sum(sizes)))
    return sum_of(leave_room(free), *held)


class ResidentModel:
    """A loaded model: its weights, its tokenizer, its lanes, and what it holds of the machine.

    Belongs to the engine thread. `on_progress` gets the loaded share and returns False to stop
    loading. `LocalEngine` lists the errors.
    """

    def __init__(
        self, entry: ModelEntry, options: EngineOptions, on_progress: Callable[[float], bool]
    ) -> None:
        self._entry = entry
        self._options = options
        self._file = inspect(entry.path)
        self.n_threads = options.n_threads or available_cores()
        self._sha256: str | None = None  # of the model file, once it is computed
        self._identity = FileState.of(entry.path).key
        free = leave_room(free_memory(device_memory()), entry.path)
        self._plan = plan_load(self._file, options, free)
        self._claim = Claim(entry.name, entry.path)
        try:
            self._claim_room(None)
            self._load(free, on_progress)
        except BaseException:
            self._claim.drop()
            raise
        self.info = self._describe()
        self._claim_room(self.lanes)

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
            self.lanes = Lanes(
                self._loaded,
                keep=self._give_store,
                on_change=lambda: self._claim_room(self.lanes),
            )
        except BaseException:
            self.weights.close()
            raise

    @property
    def _loaded(self) -> LoadedFile:
        return LoadedFile(
            self._entry.path,
            self._file,
            self.weights,
            self._options,
            self._plan,
            self.n_threads,
        )

    def _choose_attention(self, free: FreeMemory, is_wanted: Callable[[], bool]) -> None:
        """Turn flash attention off if that is faster and leaves room for the same window."""
        self._attention = self._attention_times(is_wanted)
        if self._attention is None or self._attention.prefers_flash:
            return
        plain = replace(self._options, flash_attention=False)
        with suppress(NotEnoughMemoryError):
            plan = plan_load(self._file, plain, free)
            if (plan.n_ctx, plan.n_gpu_layers) == (self._plan.n_ctx, self._plan.n_gpu_layers):
                self._options, self._plan = plain, plan

    def _attention_times(self, is_wanted: Callable[[], bool]) -> AttentionTimes | None:
        """Return how fast the model reads with flash attention and without; None: no choice."""
        options, weights, file = self._options, self.weights, self._file
        is_open = options.flash_attention is None and options.kv_type == "f16"
        has_room = self._plan.n_ctx >= 2 * flash_attention.N_CTX  # for the trial's two contexts
        can_repeat = weights.can_trim and weights.can_have_streams and not file.is_embedding
        is_used = not (options.exact or self._loaded.is_on_gpu)
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
        """Whether its file was replaced or changed."""
        return self.weights.file_state.is_outdated()

    @property
    def file_key(self) -> str:
        """The hash of the model file; until it is computed, the file's identity on the disk."""
        return self._sha256 or self._identity

    def writer(self, lane: Lane) -> Writer:
        """Return the model and the settings of a lane for the record. Safe from any thread."""
        options, context = self._options, lane.context
        return Writer(
            model=ModelFacts.of(self.info, self._sha256),
            context=ContextSettings(
                lane="exact" if lane.is_exact else "fast",
                # The size that was asked for; the exact lane keeps some of it for fillers.
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

    def status(self, n_threads: int, tokens_per_s: float) -> EngineStatus:
        """Return what the lanes do and hold."""
        lanes = [lane for lane in self.lanes.all if not lane.embeds]
        cells = [lane.context.num_allotted for lane in lanes]
        sizes = [
            kv_bytes(self._file.shape, num_cells, "f16" if lane.is_exact else self._options.kv_type)
            for lane, num_cells in zip(lanes, cells, strict=True)
        ]
        return EngineStatus(
            num_running=sum(lane.scheduler.num_running for lane in self.lanes.all),
            num_waiting=sum(lane.scheduler.num_waiting for lane in self.lanes.all),
            prefixes=tuple(prefix for lane in lanes for prefix in lane.prefixes()),
            room=cells[0],
            kv_bytes=sizes[0],
            exact_cells=sum(cells[1:]),
            exact_bytes=sum(sizes[1:]),
            promised_bytes=self._plan.promised.total if len(lanes) == 1 else 0,
            n_threads=n_threads,
            tokens_per_s=tokens_per_s,
            process_bytes=psutil.Process().memory_info().rss,
            is_exact=self.lanes.is_exact,
            template_trouble=self.tokenizer.trouble,
            num_guests=sum(len(lane.scheduler.of_class(Priority.GUEST)) for lane in self.lanes.all),
        )

    @property
    def held(self) -> FreeMemory:
        """The memory that is free again when it has closed. Safe from any thread."""
        need, num_layers = self._plan.need, self._file.shape.num_layers + 1
        on_gpu = min(self._plan.n_gpu_layers or 0, num_layers) / num_layers
        others = (lane.context for lane in self.lanes.all[1:] if not lane.embeds)
        later = sum(kv_bytes(self._file.shape, context.num_allotted) for context in others)
        vram = int(on_gpu * (need.weights_bytes + need.kv_bytes)) if self._loaded.is_on_gpu else 0
        return FreeMemory(ram_bytes=need.total - vram + later, vram_bytes=vram)

    def _claim_room(self, lanes: Lanes | None) -> None:
        """Tell other kernels what memory the model holds, and what it may still take."""
        need, plan = self._plan.need, self._plan
        coming_bytes = need.total - need.weights_bytes if lanes is None else 0
        if lanes is None or lanes.open_exact is None:
            coming_bytes += plan.promised.total
        is_on_gpu = HAS_GPU and plan.n_gpu_layers != 0
        self._claim.put(
            held_bytes=need.total,
            mapped_bytes=need.weights_bytes if lanes is None else self._loaded.num_mapped,
            coming_bytes=0 if is_on_gpu else coming_bytes,
        )

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
        # The state of a window comes back into other cells than it left, and sums over cells then
        # have other last bits.
        is_moved = lane.is_exact and self.weights.has_window
        options = self._options
        if is_moved or not options.checkpoints:
            return
        # If one of these values changes, older states are of no use.
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

    def _describe(self) -> ModelInfo:
        weights = self.weights
        return ModelInfo(
            name=self._entry.name,
            path=self._entry.path,
            architecture=self._file.architecture,
            quantization=self._file.quantization,
            size_bytes=self._file.size_bytes,
            license=self._file.license,
            n_ctx=self.lanes.all[0].n_ctx,
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

    def close(self) -> None:
        """Keep the states that are worth it on disk, and free the memory."""
        self.lanes.close(_CLOSING_STATE_BYTES)
        self.weights.close()
        self._claim.drop()
