"""Which models have to go before another one is loaded. Arithmetic: nothing is loaded here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.engine.local.memory import NUM_SEQUENCES, plan_load
from jupyter_llm.errors import NotEnoughMemoryError
from jupyter_llm.models.machine import FreeMemory, free_memory
from jupyter_llm.models.neighbours import leave_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.local.memory import LoadPlan
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.inspect import ModelFile

_BESIDE_SHARE = 0.5  # of the free memory: a model beside others leaves as much to the notebook


def num_to_go(
    file: ModelFile,
    options: EngineOptions,
    free: FreeMemory,
    held: Sequence[FreeMemory],
    *,
    least: int = 0,
) -> int:
    """How many of the loaded models go, the first ones first, so that another one fits.

    `held` is what each one holds, and `free` what is free without any of that. At `least` so many
    go in any case. A model is not loaded beside others where it would have a smaller context
    window than alone, or less of a GPU. `NotEnoughMemoryError` says that it does not fit alone.
    """

    def plan(count: int) -> tuple[LoadPlan, FreeMemory]:
        left = _sum(free, *held[:count])
        return plan_load(file, options, left, num_sequences=NUM_SEQUENCES), left

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


def free_beside(sizes: Sequence[int], held: Sequence[FreeMemory] = ()) -> FreeMemory:
    """What is free beside models of so many bytes that are loaded and go on being read.

    With what they have `held` it is what would be free without them.
    """
    import psutil

    from jupyter_llm.engine.local.llama import device_memory

    # As far as their files' pages are mapped; the rest is memory of our own, which is not free.
    mapped = getattr(psutil.Process().memory_info(), "shared", 0)
    free = free_memory(device_memory(), needed_bytes=min(mapped, sum(sizes)))
    return _sum(leave_room(free), *held)


def _sum(*parts: FreeMemory) -> FreeMemory:
    has_gpu = parts[0].vram_bytes is not None
    return FreeMemory(
        ram_bytes=sum(part.ram_bytes for part in parts),
        vram_bytes=sum(map(_vram, parts)) if has_gpu else None,
        others_bytes=parts[0].others_bytes,
    )


def _vram(memory: FreeMemory) -> int:
    return memory.vram_bytes or 0
