"""Writes a tiny LoRA adapter for the tiny model."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from support.tiny_model import DIM, FFN_DIM, NUM_LAYERS

_RANK = 4
_GAIN = 3.0  # so that its texts are others from the first words on


def write_tiny_lora(
    path: Path,
    *,
    architecture: str = "llama",
    kind: str = "lora",
    dim: int = DIM,
    seed: int = 7,
    invoked_by: list[int] | None = None,
) -> Path:
    """Write an adapter for a tiny model of this architecture to `path` and return the path.

    With another `dim` its tensors do not fit. `invoked_by` are tokens that switch it on, as those
    of activated adapters do.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 8.0)
    if invoked_by:
        writer.add_array("adapter.alora.invocation_tokens", invoked_by)
    rng = np.random.default_rng(seed)
    for layer in range(NUM_LAYERS):
        name = f"blk.{layer}.ffn_up.weight"
        for part, shape in (("a", (_RANK, dim)), ("b", (FFN_DIM, _RANK))):
            values = rng.standard_normal(shape) * _GAIN / np.sqrt(shape[1])
            writer.add_tensor(f"{name}.lora_{part}", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
