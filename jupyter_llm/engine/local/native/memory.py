"""Computes the memory that a model needs, and what must be unloaded before it fits.

Nothing is loaded here. The weights are mapped from the file: their pages are page cache, which the
system could drop, but each token reads all of them, so they must fit. Pages that are cached
already, perhaps for another kernel, are both part of the need and part of what counts as free:
sharing costs nothing. Weights that llama.cpp repacks become memory of our own, of the same size;
the pages they were made from are not read again, so they make way and do not count twice.
The KV cache is filled with zeros at once. Of the buffers, whose size is reserved for the largest
batch, most runs touch only a part.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jupyter_llm.engine.local.native.groups import MAX_GROUP
from jupyter_llm.engine.options import EngineOptions, KvType
from jupyter_llm.errors import NotEnoughMemoryError, OptionError
from jupyter_llm.models.inspect import ModelFile, ModelShape
from jupyter_llm.models.machine import FreeMemory

_DEFAULT_N_CTX = 8192  # tokens; more costs memory that most notebooks never use
_LEAST_N_CTX = 1024  # what we choose when memory is short; less is of little use in a notebook
# What we choose leaves room for the notebook's own data, and for what the estimate misses.
_OUR_SHARE = 0.85
_BESIDE_SHARE = 0.5  # of the free memory: a model beside others leaves as much to the notebook
_PAD = 256  # llama.cpp makes the KV cache of each stream a multiple of it
_MOST_STREAMS = 4  # that short promised texts have; more are no faster
NUM_SEQUENCES = 32  # that stay resident; one in itself costs next to nothing
NUM_SPARES = 32  # sequences beside these, for what is forgotten after a batch
NUM_FILLERS = MAX_GROUP - 1  # cells that a stream needs beside its tokens; see `groups`
_EXACT_N_BATCH = 256  # tokens; without flash attention each takes memory for its scores
_BLOCKS = {"f16": (1, 2), "q8_0": (32, 34)}  # elements and bytes of a block
_FLOAT = 4
# Of the default batch's buffers, in floats of an embedding; see test_memory.py.
_ACTIVATIONS = 10
_VOCABULARY = 400  # bytes a token: its text, its type, the tables that find it


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """The memory of a model in bytes; the KV cache includes the state of recurrent layers."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    buffer_bytes: int = 0

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.weights_bytes + self.kv_bytes + self.buffer_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """The context window and GPU layers with which a model will be loaded, and its memory.

    `promised` is the memory that the exact lane may need in addition. It is 0 if the
    option `exact` is set.
    """

    n_ctx: int
    n_gpu_layers: int | None
    need: MemoryNeed
    promised: MemoryNeed


@dataclass(frozen=True, slots=True, order=True)
class Streams:
    """A division of the KV cache of promised texts: streams for texts of `n_ctx` tokens."""

    num_streams: int
    n_ctx: int


def divisions(n_ctx: int, *, has_streams: bool = True) -> tuple[Streams, ...]:
    """Return the ways to divide the exact lane's KV cache.

    The first has the most and shortest streams. The last has one stream for the whole window.
    Without `has_streams` that is the only one.
    """
    window = padded(n_ctx)
    found: list[Streams] = []
    num_streams = _MOST_STREAMS if has_streams else 1
    while num_streams:
        cells = window // num_streams // _PAD * _PAD
        longest = min(n_ctx, cells - NUM_FILLERS)
        if cells and (not found or longest > found[-1].n_ctx):
            found.append(Streams(num_streams, longest))
        num_streams //= 2
    return tuple(found)


def exact_need(shape: ModelShape, options: EngineOptions, n_ctx: int) -> MemoryNeed:
    """Return the memory of the exact lane."""
    return context_need(
        shape,
        n_ctx,
        num_sequences=1,
        n_batch=exact_batch_size(options) + NUM_FILLERS * _MOST_STREAMS,
        flash_attention=False,
        is_unified=False,
    )


def exact_batch_size(options: EngineOptions) -> int:
    """Return the number of tokens that a step of the exact lane evaluates."""
    return min(options.batch_size, _EXACT_N_BATCH)


def padded(num_cells: int) -> int:
    """Return the number of cells that llama.cpp makes when asked for `num_cells`."""
    return -(-num_cells // _PAD) * _PAD


def num_spares(shape: ModelShape, n_batch: int) -> int:
    """Return the number of the fast lane's spare sequences: none if each needs its own state.

    llama.cpp requires room in a batch for a token of each sequence.
    """
    return 0 if shape.state_elements else max(0, min(NUM_SPARES, n_batch - NUM_SEQUENCES))


def kv_bytes(shape: ModelShape, num_cells: int, kv_type: KvType = "f16") -> int:
    """The size of a KV cache of so many cells.

    Layers with a sliding window count like others, since our contexts keep all their cells.
    """
    elements, size = _BLOCKS[kv_type]
    cell = shape.num_kv_heads * (shape.key_length + shape.value_length)
    return num_cells * cell * size // elements


def context_need(
    shape: ModelShape,
    n_ctx: int,
    *,
    num_sequences: int,
    n_batch: int,
    kv_type: KvType = "f16",
    flash_attention: bool = True,
    is_unified: bool = True,
) -> MemoryNeed:
    """Return the memory of a context, without the weights that it shares with others.

    A unified KV cache has `n_ctx` cells for all sequences together; otherwise each sequence has a
    stream of its own of as many.
    """
    num_cells = padded(n_ctx)
    n_batch = min(n_batch, n_ctx)
    # llama.cpp reserves for logits of a whole batch. Attention comes before them, in the same
    # memory: without flash attention, scores of every head and a mask; with it, a mask of halves.
    attention = num_cells * (_FLOAT * (shape.num_heads + 1) if not flash_attention else 2)
    graph = max(_FLOAT * shape.n_vocab, attention) + _FLOAT * _ACTIVATIONS * shape.n_embd
    return MemoryNeed(
        kv_bytes=kv_bytes(shape, num_cells * (1 if is_unified else num_sequences), kv_type)
        + _FLOAT * shape.state_elements * num_sequences,
        buffer_bytes=n_batch * graph + num_sequences * _FLOAT * shape.n_vocab,
    )


def memory_need(file: ModelFile, options: EngineOptions, n_ctx: int) -> MemoryNeed:
    """Return the memory of a model with these options and this context window."""
    context = context_need(
        file.shape,
        n_ctx,
        num_sequences=NUM_SEQUENCES + num_spares(file.shape, min(options.batch_size, n_ctx)),
        n_batch=options.batch_size,
        kv_type=options.kv_type,
        flash_attention=options.has_flash_attention,
    )
    return replace(
        context,
        weights_bytes=file.size_bytes,
        buffer_bytes=context.buffer_bytes + _VOCABULARY * file.shape.n_vocab,
    )


def plan_load(file: ModelFile, options: EngineOptions, free: FreeMemory) -> LoadPlan:
    """Choose what the options leave open, so that the model fits.

    Raises `NotEnoughMemoryError`, which says what would fit, or `OptionError` if this model cannot
    have such a KV cache.
    """
    block, _ = _BLOCKS[options.kv_type]
    if file.shape.key_length % block or file.shape.value_length % block:
        raise OptionError(
            f"{file.path.name} cannot have kv_type='q8_0': it packs 32 numbers together, and the "
            f"model's heads have {file.shape.key_length}. Use kv_type='f16'."
        )

    def fits(n_ctx: int, share: float = 1.0) -> bool:
        """Whether it fits with this window into a share of what is free."""
        need = memory_need(file, options, n_ctx)
        vram_bytes = None if free.vram_bytes is None else int(free.vram_bytes * share)
        room = replace(free, ram_bytes=int(free.ram_bytes * share), vram_bytes=vram_bytes)
        on_gpu, in_ram = _split(file.shape, options, need, room)
        return in_ram <= room.ram_bytes and on_gpu <= (room.vram_bytes or 0)

    n_ctx = options.n_ctx
    if n_ctx is None:  # the default window, or a smaller power of two
        n_ctx = min(file.n_ctx_train or _DEFAULT_N_CTX, _DEFAULT_N_CTX)
        while n_ctx > _LEAST_N_CTX and not fits(n_ctx, _OUR_SHARE):
            n_ctx = 1 << (n_ctx - 1).bit_length() - 1
    need = memory_need(file, options, n_ctx)
    if not fits(n_ctx):
        windows = range(_PAD, n_ctx, _PAD)
        count = bisect_left(windows, 1, key=lambda n: int(not fits(n, _OUR_SHARE)))
        raise _refusal(file, options, need, n_ctx, free, windows[count - 1] if count else None)
    n_gpu_layers = options.n_gpu_layers
    if free.vram_bytes is not None:
        n_gpu_layers = _gpu_layers(file.shape, options, need, free.vram_bytes)
    promised = MemoryNeed()
    if options.exact is None:  # else none is, or all are
        promised = exact_need(file.shape, options, n_ctx)
    return LoadPlan(n_ctx=n_ctx, n_gpu_layers=n_gpu_layers, need=need, promised=promised)


def _refusal(
    file: ModelFile,
    options: EngineOptions,
    need: MemoryNeed,
    n_ctx: int,
    free: FreeMemory,
    largest: int | None,
) -> NotEnoughMemoryError:
    """Return the error for a model that needs too much memory; it says what to change."""
    on_gpu, in_ram = _split(file.shape, options, need, free)
    kind, needed_bytes, free_bytes = "memory", in_ram, free.ram_bytes
    if in_ram <= free.ram_bytes:
        kind, needed_bytes, free_bytes = "GPU memory", on_gpu, free.vram_bytes or 0
    changes = [f"n_ctx={largest}"] if largest else []
    others = ""
    if kind != "memory" and options.n_gpu_layers:
        changes.append("n_gpu_layers=None, which takes what fits")
    elif kind == "memory" and free.others_bytes:
        others = (
            f" beside {_size(free.others_bytes)} that your other kernels hold or may still take"
        )
    changes.append(f"a smaller quantization or model (this one is {file.quantization})")
    return NotEnoughMemoryError(
        file.path,
        f"it needs {_size(needed_bytes)} of {kind}, and {_size(free_bytes)} are free{others}. "
        "Weights take "
        f"{_size(need.weights_bytes)}, the memory for the conversation (n_ctx={n_ctx}, "
        f"{options.kv_type}) {_size(need.kv_bytes)}, buffers {_size(need.buffer_bytes)}. "
        f"Use {', or '.join(changes)}.",
        needed_bytes=needed_bytes,
        free_bytes=free_bytes,
        n_ctx=largest,
    )


def _split(
    shape: ModelShape, options: EngineOptions, need: MemoryNeed, free: FreeMemory
) -> tuple[int, int]:
    """Return the memory that is needed on the GPU and in RAM."""
    if free.vram_bytes is None:
        return 0, need.total
    num_layers = _gpu_layers(shape, options, need, free.vram_bytes)
    by_layer = need.weights_bytes + need.kv_bytes
    on_gpu = by_layer * num_layers // (shape.num_layers + 1)
    # Each side that computes has buffers of its own.
    sides = (size + need.buffer_bytes if size else 0 for size in (on_gpu, by_layer - on_gpu))
    return next(sides), next(sides)


def _gpu_layers(
    shape: ModelShape, options: EngineOptions, need: MemoryNeed, vram_bytes: int
) -> int:
    """Return the number of layers on the GPU; the output counts as one more layer."""
    num_layers = shape.num_layers + 1
    wanted = options.n_gpu_layers
    if wanted is None:
        room = int(vram_bytes * _OUR_SHARE) - need.buffer_bytes
        wanted = max(0, room * num_layers // (need.weights_bytes + need.kv_bytes))
    return num_layers if wanted < 0 else min(wanted, num_layers)


def num_to_go(
    file: ModelFile,
    options: EngineOptions,
    free: FreeMemory,
    held: Sequence[FreeMemory],
    *,
    least: int = 0,
) -> int:
    """Return how many of the loaded models must leave, the first ones first, for another one.

    `held` is the memory of each loaded model; `free` does not contain it. At `least` so many leave
    in any case. A model is not loaded beside others if it would have a smaller context window than
    alone, or fewer layers on a GPU. `NotEnoughMemoryError` says that it does not fit alone.
    """

    def plan(count: int) -> tuple[LoadPlan, FreeMemory]:
        left = sum_of(free, *held[:count])
        return plan_load(file, options, left), left

    alone, _ = plan(len(held))
    for count in range(least, len(held)):
        try:
            beside, left = plan(count)
        except NotEnoughMemoryError:
            continue
        is_same = (beside.n_ctx, beside.n_gpu_layers) == (alone.n_ctx, alone.n_gpu_layers)
        if is_same and beside.need.total <= _BESIDE_SHARE * (left.ram_bytes + _vram(left)):
            return count
    return len(held)


def sum_of(*parts: FreeMemory) -> FreeMemory:
    """Return the sum."""
    has_gpu = parts[0].vram_bytes is not None
    return FreeMemory(
        ram_bytes=sum(part.ram_bytes for part in parts),
        vram_bytes=sum(map(_vram, parts)) if has_gpu else None,
        others_bytes=parts[0].others_bytes,
    )


def _vram(memory: FreeMemory) -> int:
    return memory.vram_bytes or 0


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
