"""What a GGUF file says of itself, read from its header.

The format is described in ggml's docs/gguf.md. The `gguf` package reads it too, but builds an
object for each of the vocabulary's strings, which takes seconds; here arrays are walked over.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_llm.errors import ModelFileError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_COUNT = 1 << 20  # keys or tensors; the largest models have some thousands
_MAX_STRING = 1 << 24  # bytes; chat templates take some ten thousand
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?"}
_SCALARS |= {10: "<Q", 11: "<q", 12: "<d"}

# llama.h, enum llama_ftype
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip

# ggml.h, enum ggml_type: (elements, bytes) of a block
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip

# What people download by mistake, by its first bytes.
_IMPOSTORS = {
    b"<": "it is a web page",
    b"version https://git-lfs": "it is a Git LFS pointer, not the file itself",
    b"PK\x03\x04": "it is a zip archive",
    b"\x1f\x8b": "it is a gzip archive",
    b"ggml": "it is in the GGML format of before 2023",
    b"ggjt": "it is in the GGML format of before 2023",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model file and what its header says; None where it says nothing."""

    path: Path
    name: str | None
    architecture: str
    quantization: str
    size_bytes: int
    n_ctx_train: int | None
    num_parameters: int
    license: str | None
    has_chat_template: bool


def inspect(path: Path) -> ModelFile:
    """Read a model file's header, and check that the file is as long as the header promises.

    Raises
    ------
    ModelFileError
        The file is missing, unreadable, damaged, or no GGUF file; the message says what to do.
    """
    try:
        stat = path.stat()
        if path.is_dir():
            raise ModelFileError(path, f"{path} is a folder. Give the .gguf file inside it.")
        return _inspect(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise ModelFileError(path, f"There is no file {path}. Check the path.") from None
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None


@lru_cache(maxsize=256)
def _inspect(path: Path, _mtime_ns: int, size: int) -> ModelFile:
    with path.open("rb") as file:
        start = file.read(32)
        if not start.startswith(_MAGIC):
            raise ModelFileError(path, f"{path.name} is not a GGUF file{_looks_like(start)}.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Reader(path, data).read(size)
            except (struct.error, IndexError, UnicodeDecodeError, ValueError, OverflowError):
                raise ModelFileError(
                    path, f"The header of {path.name} is damaged. Download the file again."
                ) from None


def _looks_like(start: bytes) -> str:
    if not start:
        return ": it is empty"
    for magic, what in _IMPOSTORS.items():
        if start.lstrip().startswith(magic):
            return f": {what}"
    return f": it begins with {start[:4]!r}"


class _Reader:
    """Walks over a header from front to back."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._offset = len(_MAGIC)

    def read(self, size: int) -> ModelFile:
        version = self._unpack("<I")
        if version not in _VERSIONS:
            raise ModelFileError(
                self._path,
                f"{self._path.name} is in version {version} of GGUF; this package reads "
                f"{' and '.join(map(str, _VERSIONS))}.",
            )
        num_tensors, num_keys = self._count(), self._count()
        meta = dict(self._pairs(num_keys))
        num_parameters, end = self._tensors(num_tensors)
        alignment = int(meta.get("general.alignment", 32))
        promised = -(-self._offset // alignment) * alignment + end
        if size < promised:
            raise ModelFileError(
                self._path,
                f"{self._path.name} is truncated: {size / 1e6:.1f} MB of {promised / 1e6:.1f} MB. "
                "Download it again.",
            )
        architecture = str(meta.get("general.architecture", "unknown"))
        file_type = meta.get("general.file_type", -1)
        return ModelFile(
            path=self._path,
            name=meta.get("general.name"),
            architecture=architecture,
            quantization=_FILE_TYPES.get(int(file_type), f"type {file_type}"),
            size_bytes=size,
            n_ctx_train=meta.get(f"{architecture}.context_length"),
            num_parameters=num_parameters,
            license=meta.get("general.license"),
            has_chat_template="tokenizer.chat_template" in meta,
        )

    def _unpack(self, code: str) -> Any:
        (value,) = struct.unpack_from(code, self._data, self._offset)
        self._offset += struct.calcsize(code)
        return value

    def _count(self) -> int:
        count: int = self._unpack("<Q")
        if count > _MAX_COUNT:
            raise ValueError(count)
        return count

    def _text(self) -> str:
        length = self._unpack("<Q")
        start, self._offset = self._offset, self._offset + length
        if length > _MAX_STRING or self._offset > len(self._data):
            raise ValueError(length)
        return self._data[start : self._offset].decode("utf-8", "replace")

    def _pairs(self, count: int) -> Iterator[tuple[str, Any]]:
        for _ in range(count):
            key = self._text()
            yield key, self._value(self._unpack("<I"))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _SCALARS:
            raise ValueError(kind)
        return self._unpack(_SCALARS[kind])

    def _skip_array(self) -> None:
        kind, count = self._unpack("<I"), self._unpack("<Q")
        if kind in _SCALARS:
            self._offset += struct.calcsize(_SCALARS[kind]) * count
        elif kind == _STRING:
            self._skip_strings(count)
        else:
            raise ValueError(kind)
        if self._offset > len(self._data):
            raise ValueError(count)

    def _skip_strings(self, count: int) -> None:
        # The one loop that matters: vocabularies have up to 300,000 strings.
        data, offset, unpack = self._data, self._offset, struct.Struct("<Q").unpack_from
        for _ in range(count):  # a wrong count runs out of the file and raises
            offset += 8 + unpack(data, offset)[0]
        self._offset = offset

    def _tensors(self, count: int) -> tuple[int, int]:
        """Return the number of parameters, and where the last tensor's data ends in its section."""
        num_parameters = end = 0
        for _ in range(count):
            self._text()
            num_dimensions = self._unpack("<I")
            if num_dimensions > 8:  # noqa: PLR2004  ggml has 4
                raise ValueError(num_dimensions)
            elements = 1
            for _ in range(num_dimensions):
                elements *= self._unpack("<Q")
            kind, offset = self._unpack("<I"), self._unpack("<Q")
            per_block, block_bytes = _BLOCKS.get(kind, (1, 0))  # a newer type: only its start
            num_parameters += elements
            end = max(end, offset + elements // per_block * block_bytes)
        return num_parameters, end
