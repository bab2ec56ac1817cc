"""The near-lossless copy of a model file that `ours-tuned` runs on."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path


def near_lossless_copy(model: Path, folder: Path) -> Path:
    """Return the model as Q8_0, which has fast kernels everywhere; made once, by another process.

    A process of its own, since llama.cpp logs to stderr and keeps memory.
    """
    copy = folder.absolute() / f"{model.stem}-Q8_0.gguf"
    if not copy.exists() or copy.stat().st_mtime < model.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(".part")
        subprocess.run(
            [sys.executable, __file__, str(model), str(partial)], check=True, capture_output=True
        )
        partial.replace(copy)
    return copy


def requantize(source: Path, target: Path) -> None:
    """Write a Q8_0 copy of a GGUF file, whatever its quantization."""
    import llama_cpp as lib

    params = lib.llama_model_quantize_default_params()
    params.ftype = lib.LLAMA_FTYPE_MOSTLY_Q8_0
    params.allow_requantize = True
    if lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)):
        sys.exit(f"llama.cpp could not requantize {source}.")


if __name__ == "__main__":
    requantize(Path(sys.argv[1]), Path(sys.argv[2]))
