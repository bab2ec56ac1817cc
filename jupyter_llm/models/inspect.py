"""Reads the facts in a GGUF file's header.

ggml's docs/gguf.md describes the format. The `gguf` package reads it too, but makes an array of
each string of the vocabulary: 2 s for SmolLM2 and 17 s for a vocabulary of 250,000. Here strings
are skipped, which takes 8 and 60 ms.
"""

from __future__ import annotations

import math
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_llm.errors import ModelFileError

_MAGIC = b"GGUF"
# A damaged header may contain any number. These bounds are above the largest models' (20 MB,
# 800,000 texts, some thousand tensors, a hundred keys). They limit the time and memory for damaged
# files.
_FIRST = 1 << 16  # bytes of the first read; a second one follows if the header is longer
_LONGEST = 24 << 20
_VOCABULARY = 8 << 20  # twice the largest
_MAX_TEXTS, _TEXTS_AT_ONCE = 1 << 20, 1 << 15
_MAX_TENSORS = 1 << 14
_MAX_KEYS = 1 << 10
_MAX_FILE = 1 << 50
_MAX_TEXT_BYTES, _KEPT_BYTES = 1 << 20, 2000  # of a key or a value
_BOOL, _STRING, _ARRAY = 7, 8, 9
_MAX_TEXT = 500  # characters of a name or a licence
_MAX_LAYERS = 512  # of llama.cpp; arrays up to this length may be a number for each layer
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct(f"<{code}") for kind, code in _CODES.items()}
_FLOATS = (6, 12)
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_MAX_DIMENSIONS = 8  # ggml has 4
_TENSORS = [struct.Struct(f"<{number}QIQ") for number in range(_MAX_DIMENSIONS + 1)]
_PART = re.compile(r"-(\d{5})-of-(\d{5})(\.gguf)$", re.IGNORECASE)

# Sound models' values are in these ranges. For most of them, llama.cpp ends the process instead of
# refusing the file.
_SOUND: dict[str, tuple[float, float]] = {
    "block_count": (1, _MAX_LAYERS),
    "context_length": (64, 1 << 30),
    "embedding_length": (1, 1 << 20),
    "feed_forward_length": (0, 1 << 24),
    "attention.head_count": (0, 1 << 16),
    "attention.head_count_kv": (0, 1 << 16),
    "attention.layer_norm_epsilon": (0, 1),
    "attention.layer_norm_rms_epsilon": (0, 1),
    "attention.group_norm_epsilon": (0, 1),
    "expert_count": (0, 1024),
    "pooling_type": (-1, 4),
}
_ALIGNMENTS = tuple(1 << power for power in range(3, 17))
_NO_VOCABULARY = ("none", "no_vocab")

# llama.h, enum llama_ftype
_FILE_TYPES: dict[int | None, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
    39: "NVFP4", 40: "Q1_0",
}  # fmt: skip

# ggml.h, enum ggml_type: (elements, bytes) of a block
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip

# The keys after `general.sampling.`, and our names; we have no other of those samplers.
_SAMPLING = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
}

# Files that people download by mistake: first bytes, and what to do.
_IMPOSTORS = {
    b"<": "it is a web page. Download the file itself, not the page about it",
    b"version https://git-lfs": "it is a Git LFS pointer. Run `git lfs pull` in its repository",
    b"{": "it is JSON text. Download the .gguf file instead",
    b"PK\x03\x04": "it is a zip archive or PyTorch weights. Unpack it or look for a .gguf file",
}
# Values of `general.type`, or of older projectors' `general.architecture`, for files that cannot
# answer a prompt by themselves.
_NO_MODELS = {
    "adapter": "a LoRA adapter",
    "mmproj": "a projector",
    "clip": "a projector",
    "imatrix": "an importance matrix",
}
# A model with a token for a missing middle also has those for prefix and suffix. llama.cpp finds it
# by a key, present or former, or by these texts.
_FIM_KEYS = ("tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id")
_FIM_TEXTS = (
    *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<|code_middle|>"),
    *("<\uff5cfim▁end\uff5c>", "▁<MID>", "<MID>"),  # with DeepSeek's wide bars
)
_FIM_STRINGS = [_U64.pack(len(text.encode())) + text.encode() for text in _FIM_TEXTS]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes from which the memory of a model without its weights is computed.

    A size is 0 if the file does not state it. `num_kv_heads` is the sum over all layers.
    `state_elements` is the size of the state that all recurrent layers keep for one sequence. It
    does not depend on the length.
    """

    num_layers: int
    n_embd: int
    n_vocab: int
    num_heads: int
    num_kv_heads: int
    key_length: int
    value_length: int
    state_elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model file and the facts in its header; None for a missing fact.

    `sampling` are the options that its makers recommend, by our names. If the model is split, size
    and parameters are those of all files together.
    """

    path: Path
    name: str | None
    architecture: str
    quantization: str
    size_bytes: int
    n_ctx_train: int | None
    num_parameters: int
    license: str | None
    has_chat_template: bool
    shape: ModelShape
    sampling: tuple[tuple[str, float], ...] = ()
    fills_middle: bool = False
    is_embedding: bool = False


def inspect(path: Path) -> ModelFile:
    """Read a model file's header, and check that the file is as long as the header states.

    If it is shorter or no GGUF file, `ModelFileError` gives the reason and what to do.
    """
    first, *others = parts_of(path)
    file = _inspect_file(first)
    for number, part in enumerate(others, start=2):
        if not os.path.lexists(part):
            raise ModelFileError(
                part,
                f"{path.name} is the first of {len(others) + 1} parts of a model, but part "
                f"{number} is not in its folder. Download {part.name} too.",
            )
        more = _inspect_file(part)
        file = replace(
            file,
            size_bytes=file.size_bytes + more.size_bytes,
            num_parameters=file.num_parameters + more.num_parameters,
        )
    return file


def parts_of(path: Path) -> list[Path]:
    """Return all files of a split model if this is the first, or else the one file."""
    match = _PART.search(path.name)
    if match is None or int(match[1]) != 1:
        return [path]
    start, (_, count, suffix) = path.name[: match.start()], match.groups()
    names = (f"{start}-{number:05}-of-{count}{suffix}" for number in range(1, int(count) + 1))
    return [path.with_name(name) for name in names] or [path]


def _inspect_file(path: Path) -> ModelFile:
    try:
        status = path.stat()
        _check_kind(path, status.st_mode)
        return _inspect(path, status.st_mtime_ns, status.st_size)
    except ModelFileError:
        raise
    except FileNotFoundError:
        raise ModelFileError(path, f"There is no file {path}. Check the path.") from None
    except OSError as error:
        raise ModelFileError(path, f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:  # a null byte
        raise ModelFileError(path, f"{str(path)!r} cannot be a path. Check it.") from None


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise ModelFileError(path, f"{path} is a folder. Give the .gguf file inside it.")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
        raise ModelFileError(path, f"{path} is not a regular file. Give a .gguf file.")


@lru_cache(maxsize=256)
def _inspect(path: Path, _mtime_ns: int, size: int) -> ModelFile:
    """Read as much as the header needs.

    The file is not mapped: if somebody truncated it, reading the map would end the process.
    """
    with path.open("rb", buffering=0) as file:
        data = file.read(_FIRST)
        if not data.startswith(_MAGIC):
            raise ModelFileError(path, f"{path.name} is not a GGUF file: {_looks_like(data)}.")
        for is_last in (False, True):
            # The header is longer than the read part, or it is damaged or cut off.
            with suppress(struct.error, ValueError, OverflowError):
                return _GgufHeader(path, data).read(size)
            if not is_last and size > len(data):
                file.seek(0)
                # from the start: joining both would take twice the memory
                data = file.read(_LONGEST)
    raise ModelFileError(
        path, f"The header of {path.name} is damaged or cut off. Download the file again."
    )


def _looks_like(start: bytes) -> str:
    if not start[:256].strip(b"\0"):
        return f"it {'begins with zeros' if start else 'is empty'}. Download it again"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, description in _IMPOSTORS.items():
        if text.startswith(magic):
            return description
    if start[8:9] == b"{":
        return "it is in the safetensors format. Look for a .gguf file"
    return f"it begins with {start[:4]!r}. Choose a .gguf file"


@dataclass(frozen=True, slots=True)
class _Array:
    """The length of an array, and its values if they are few integers."""

    length: int
    values: tuple[int, ...]


class _Meta:
    """The key-value pairs of a header. A value of another type than the method's counts as missing.

    A key that begins with a dot gets the name of the architecture in front, but not in `text`.
    """

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        self._values = dict(pairs)
        self.architecture = self.text("general.architecture") or "unknown"

    def _get(self, key: str) -> object:
        return self._values.get(f"{self.architecture}{key}" if key[0] == "." else key)

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        return value[:_MAX_TEXT] if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        value = self._get(key)
        return value if type(value) is int else None  # bool excluded

    def size(self, key: str) -> int:
        """Return a number of the architecture, at least 0; 0 if it is missing."""
        return max(0, self.integer(key) or 0)

    def number(self, key: str) -> float | None:
        """Return a number rounded to 6 digits: most are stored as 32-bit floats."""
        value = self._get(key)
        if isinstance(value, float):
            return float(f"{value:.6g}") if math.isfinite(value) else None
        return self.integer(key)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return the one number, or an array's integers: one for each layer."""
        value = self._get(key)
        if isinstance(value, _Array):
            return value.values
        return (value,) if type(value) in (int, float) else ()  # type: ignore[return-value]

    def length(self, key: str) -> int:
        value = self._get(key)
        return value.length if isinstance(value, _Array) else 0

    @property
    def is_embedding(self) -> bool:
        """Whether the model makes vectors: it pools its outputs, or attention is not causal."""
        return self.size(".pooling_type") > 0 or self._get(".attention.causal") in (False, 0)

    def shape(self) -> ModelShape:
        num_layers, n_embd = self.size(".block_count"), self.size(".embedding_length")
        heads = self._per_layer(".attention.head_count", num_layers)
        num_heads = max(heads, default=0)
        kv_heads = self._per_layer(".attention.head_count_kv", num_layers) or heads
        if interval := self.size(".full_attention_interval"):
            kv_heads = [
                0 if layer % interval else count for layer, count in enumerate(kv_heads, start=1)
            ]
        head_length = n_embd // num_heads if num_heads else 0
        # Some architectures have a recurrent layer in place of attention, some have both in every
        # layer.
        num_recurrent = sum(not count for count in kv_heads or [0] * num_layers) or num_layers
        return ModelShape(
            num_layers=num_layers,
            n_embd=n_embd,
            n_vocab=self.length("tokenizer.ggml.tokens") or self.size(".vocab_size"),
            num_heads=num_heads,
            num_kv_heads=sum(kv_heads),
            key_length=self.size(".attention.key_length") or head_length,
            value_length=self.size(".attention.value_length") or head_length,
            state_elements=num_recurrent * self._layer_state(n_embd),
        )

    def _layer_state(self, n_embd: int) -> int:
        """Return the size of one recurrent layer's state of a sequence; most models have none."""
        if head_size := self.size(".wkv.head_size"):  # RWKV
            return n_embd * (head_size + (self.size(".token_shift_count") or 2))
        if cache := self.size(".shortconv.l_cache"):  # LFM2
            return n_embd * (cache - 1)
        inner, state = self.size(".ssm.inner_size"), self.size(".ssm.state_size")  # Mamba and kin
        convolved = inner + 2 * self.size(".ssm.group_count") * state
        return max(0, self.size(".ssm.conv_kernel") - 1) * convolved + inner * state

    def _per_layer(self, key: str, num_layers: int) -> list[int]:
        values = [max(0, int(value)) for value in self.numbers(key)]
        return (values * num_layers if len(values) == 1 else values)[:num_layers]


class _GgufHeader:
    """A parser that reads a header from front to back."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data
        self._num_texts = 0  # in arrays
        self._offset = len(_MAGIC)
        self._vocabulary = (0, 0)  # first and last offset of its texts

    def read(self, size: int) -> ModelFile:
        version: int = self._unpack(_U32)
        if version not in (2, 3):
            raise ModelFileError(
                self._path,
                f"{self._path.name} is in version {version} of GGUF, not 2 or 3. Look for a newer "
                "file.",
            )
        num_tensors, num_keys = self._count(_MAX_TENSORS), self._count(_MAX_KEYS)
        meta = _Meta(self._pairs(num_keys))
        num_parameters, data_size = self._tensors(num_tensors)
        alignment = meta.integer("general.alignment")
        alignment = 32 if alignment is None else alignment
        if alignment not in _ALIGNMENTS:
            raise self._unsound(f"general.alignment = {alignment}")
        self._check_length(size, alignment=alignment, data=data_size)
        kind = meta.text("general.type") or ""
        other_kind = _NO_MODELS.get(kind) or _NO_MODELS.get(meta.architecture)
        if other_kind is not None:
            raise ModelFileError(
                self._path,
                f"{self._path.name} is {other_kind}, not a model. Choose the model's file.",
            )
        self._check_sound(meta)
        return ModelFile(
            path=self._path,
            name=meta.text("general.name"),
            architecture=meta.architecture,
            quantization=_FILE_TYPES.get(meta.integer("general.file_type"), "unknown"),
            size_bytes=size,
            n_ctx_train=meta.integer(".context_length"),
            num_parameters=num_parameters,
            license=meta.text("general.license"),
            has_chat_template=meta.text("tokenizer.chat_template") is not None,
            shape=meta.shape(),
            sampling=tuple(
                (name, value)
                for key, name in _SAMPLING.items()
                if (value := meta.number(f"general.sampling.{key}")) is not None
            ),
            fills_middle=self._fills_middle(meta),
            is_embedding=meta.is_embedding,
        )

    def _fills_middle(self, meta: _Meta) -> bool:
        if any(meta.integer(key) is not None for key in _FIM_KEYS):
            return True
        start, end = self._vocabulary
        texts = self._data[start : min(end, start + _VOCABULARY)]
        # The texts are searched first: lengths are mostly zeros, which are everywhere in a
        # vocabulary.
        return any(text[8:] in texts and text in texts for text in _FIM_STRINGS)

    def _check_sound(self, meta: _Meta) -> None:
        """Raise `ModelFileError` for values that no sound model has."""
        for name, (low, high) in _SOUND.items():
            for value in meta.numbers(f".{name}"):
                if not low <= value <= high:  # NaN fails, too
                    raise self._unsound(f"{name} = {value}")
        num_experts = meta.integer(".expert_count") or 0
        num_used = max(meta.numbers(".expert_used_count"), default=0)
        if not min(1, num_experts) <= num_used <= num_experts:
            raise self._unsound(f"{num_used} of {num_experts} experts are used")
        tokenizer = meta.text("tokenizer.ggml.model")
        if tokenizer in _NO_VOCABULARY:
            raise ModelFileError(
                self._path, f"{self._path.name} has no vocabulary. Choose a model that reads text."
            )
        # This kind of vocabulary has scores, and llama.cpp requires tokens that other kinds lack.
        if tokenizer == "llama" and not meta.length("tokenizer.ggml.scores"):
            raise self._unsound("tokenizer.ggml.model = llama, for a vocabulary without scores")

    def _unsound(self, fact: str) -> ModelFileError:
        return ModelFileError(
            self._path,
            f"{self._path.name} is damaged: its header has a value that no model has, {fact}. "
            "Download it again.",
        )

    def _check_length(self, size: int, *, alignment: int, data: int) -> None:
        padding = -self._offset % alignment if data else 0
        promised = self._offset + padding + data
        if promised > _MAX_FILE:
            raise ValueError(promised)
        if size < promised:
            raise ModelFileError(
                self._path,
                f"{self._path.name} is truncated: {size:,} of {promised:,} bytes. "
                "Download it again.",
            )

    def _unpack(self, code: struct.Struct) -> Any:
        (value,) = code.unpack_from(self._data, self._offset)
        self._offset += code.size
        return value

    def _count(self, most: int) -> int:
        count: int = self._unpack(_U64)
        if count > most:
            raise ValueError(count)
        return count

    def _skip_text(self) -> int:
        """Skip a text and return its offset."""
        length: int = _U64.unpack_from(self._data, self._offset)[0]
        if length > _MAX_TEXT_BYTES:
            raise ValueError(length)
        self._step(8 + length)
        return self._offset - length

    def _step(self, length: int) -> None:
        self._offset += length
        if self._offset > _LONGEST:
            raise ValueError(length)
        if self._offset > len(self._data):
            raise struct.error

    def _text(self) -> str:
        start = self._skip_text()
        end = min(self._offset, start + _KEPT_BYTES)
        return self._data[start:end].decode("utf-8", "replace")

    def _pairs(self, count: int) -> Iterator[tuple[str, object]]:
        for _ in range(count):
            key = self._text()
            kind = self._unpack(_U32)
            start = self._offset
            if kind == _STRING:
                yield key, self._text()
            elif kind in _SCALARS:
                yield key, self._unpack(_SCALARS[kind])
            elif kind == _ARRAY:
                yield key, self._array()
            else:
                raise ValueError(kind)
            if key == "tokenizer.ggml.tokens":
                self._vocabulary = (start, self._offset)

    def _array(self) -> _Array:
        kind, count = self._unpack(_U32), self._unpack(_U64)
        values: tuple[int, ...] = ()
        if kind == _STRING:
            self._skip_strings(count)
        elif kind not in _SCALARS:
            raise ValueError(kind)
        else:
            if kind not in (*_FLOATS, _BOOL) and count <= _MAX_LAYERS:
                values = struct.unpack_from(f"<{count}{_CODES[kind]}", self._data, self._offset)
            self._step(_SCALARS[kind].size * count)
        return _Array(count, values)

    def _skip_strings(self, count: int) -> None:
        # The only slow loop: vocabularies have up to 300,000 strings.
        self._num_texts += count
        if self._num_texts > _MAX_TEXTS:
            raise ValueError(count)
        data, offset, unpack = self._data, self._offset, _U64.unpack_from
        for done in range(0, count, _TEXTS_AT_ONCE):
            start, number = offset, min(count - done, _TEXTS_AT_ONCE)
            for _ in range(number):  # a wrong count exceeds the file and raises
                offset += 8 + unpack(data, offset)[0]
            if number == _TEXTS_AT_ONCE and offset - start < 9 * number:  # nearly all are empty
                raise ValueError(count)
        self._step(offset - self._offset)

    def _tensors(self, count: int) -> tuple[int, int]:
        """Return the number of parameters, and the end of the last tensor in the data section."""
        num_parameters = end = 0
        for _ in range(count):
            self._skip_text()
            num_dimensions = self._unpack(_U32)
            if num_dimensions > _MAX_DIMENSIONS:
                raise ValueError(num_dimensions)
            entry = _TENSORS[num_dimensions]
            *sizes, kind, offset = entry.unpack_from(self._data, self._offset)
            self._offset += entry.size
            elements = math.prod(sizes)
            # a newer type: only its start is checked
            per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
            num_parameters += elements
            end = max(end, offset + elements // per_block * block_bytes)
        if num_parameters > _MAX_FILE:
            raise ValueError(num_parameters)
        return num_parameters, end
