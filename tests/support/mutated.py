"""Model files that no sound writer writes: 400 ways to be wrong, and any number of headers."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random

from support.gguf_edit import ARRAY, BOOL, F32, I32, STRING, U8, U32, U64, Gguf, packed

_GIANTS = (2**63, 2**64 - 1, 2**40, 2**32, 2**24, 10**6, 2**18, 2**16, 2**14, 1000, 512, 0)
_FAR = 16 << 30
_NUMBERS = (0, 1, 2, 3, 7, 31, 513, 4095, 2**31, 2**32 - 1)
_FLOATS = (0.0, -1.0, 1e9, math.nan, math.inf)
_OF_ANOTHER_KIND: tuple[tuple[int, object], ...] = (
    (STRING, "x"),
    (F32, 1.5),
    (I32, -1),
    (U8, 2),
    (BOOL, True),
    (U64, 2**40),
    (ARRAY, (U32, ())),
    (ARRAY, (U32, (2, 1))),
    (ARRAY, (I32, (-1, 4))),
    (ARRAY, (F32, (1.0, 2.0))),
    (ARRAY, (STRING, ("a", "b"))),
)
_MORE: tuple[tuple[str, int, object], ...] = (
    ("general.alignment", U32, 1),
    ("general.alignment", U32, 8),
    ("general.alignment", I32, 32),
    ("general.alignment", U32, 1 << 20),
    ("pooling_type", U32, 99),
    ("expert_count", U32, 4),
    ("expert_count", U32, 4096),
    ("expert_used_count", U32, 7),
    ("attention.layer_norm_epsilon", F32, math.nan),
    ("attention.key_length", U32, 7),
    ("attention.value_length", U32, 0),
    ("attention.sliding_window", U32, 1),
    ("attention.causal", BOOL, False),
    ("rope.scaling.type", STRING, "yarn"),
    ("rope.scaling.factor", F32, math.nan),
    ("rope.freq_base", F32, -1.0),
    ("vocab_size", U32, 7),
    ("tokenizer.ggml.model", STRING, "llama"),
    ("tokenizer.ggml.model", STRING, "bert"),
    ("tokenizer.ggml.model", STRING, "t5"),
    ("tokenizer.ggml.model", STRING, "rwkv"),
    ("tokenizer.ggml.model", STRING, "plamo2"),
    ("tokenizer.ggml.model", STRING, "none"),
    ("tokenizer.ggml.model", STRING, "no_vocab"),
    ("tokenizer.ggml.pre", STRING, "llama-bpe"),
    ("tokenizer.ggml.pre", STRING, "nonsense"),
    ("tokenizer.ggml.scores", ARRAY, (F32, (0.0,) * 271)),
    *(
        (f"tokenizer.ggml.{name}_token_id", U32, number)
        for name in ("bos", "eos", "eot", "unknown", "padding", "fim_pre")
        for number in (270, 271, 2**31, 2**32 - 1)
    ),
)


def mutated(sources: dict[str, Path], path: Path, *, count: int) -> Iterator[str]:
    """Write file after file to `path`, from these sources by architecture; yield what is wrong.

    The same files each time, and a smaller count takes from all of them.
    """
    files = [(name, wrong) for name in sources for wrong in _wrongs(Gguf.read(sources[name]), name)]
    random = Random(17)  # noqa: S311  no secrets here
    random.shuffle(files)
    rest = count - len(files)
    for name, (said, file) in files[:count]:
        file.write(path)
        yield f"{name}: {said}"
    for number in range(rest):
        name, source = random.choice(list(sources.items()))
        data = bytearray(source.read_bytes())
        for _ in range(random.randint(1, 8)):  # in the header, or in its tensors' entries
            data[random.randrange(24, 7_000)] = random.randrange(256)
        path.write_bytes(data)
        yield f"{name}: noise {number}"


def _wrongs(sound: Gguf, architecture: str) -> Iterator[tuple[str, Gguf]]:
    for turn, (key, (kind, _)) in enumerate(list(sound.keys.items())):
        values = _NUMBERS if kind in (U32, U8) else _FLOATS if kind == F32 else ()
        others: list[tuple[int, object]] = [
            (kind, value) for value in values if kind != U8 or value < 2**8
        ]
        others.append(_OF_ANOTHER_KIND[turn % len(_OF_ANOTHER_KIND)])
        for new_kind, value in others:
            yield f"{key} = {value!r} ({new_kind})", _with(sound, key, new_kind, value)
        without = deepcopy(sound)
        del without.keys[key]
        yield f"no {key}", without
    for name, kind, value in _MORE:
        key = name if name.startswith(("general", "tokenizer")) else f"{architecture}.{name}"
        yield f"{key} = {str(value)[:40]} ({kind})", _with(sound, key, kind, value)
    key = f"{architecture}.attention.head_count_kv"
    for items in ((0, 0), (1, 2), (4, 0), (3, 3), (2**31, 4)):
        yield f"{key} = {items}", _with(sound, key, ARRAY, (U32, items))
    for number, entry in enumerate(sound.tensors[:10]):
        changed = deepcopy(sound)
        *_, kind, offset = struct.unpack("<IQ", entry[-12:])
        changed.tensors[number] = entry[:-12] + struct.pack("<IQ", (kind + number) % 42, offset)
        yield f"tensor {number} of kind {(kind + number) % 42}", changed
    for number, new in enumerate((0, 32, 33, len(sound.data) - 32, 2**40, 2**63, 2**64 - 32)):
        changed = deepcopy(sound)
        changed.tensors[number] = changed.tensors[number][:-8] + struct.pack("<Q", new)
        yield f"tensor {number} at {new}", changed


def _with(sound: Gguf, key: str, kind: int, value: object) -> Gguf:
    changed = Gguf(dict(sound.keys), list(sound.tensors), sound.data)
    changed.put(key, kind, value)
    return changed


def broken_headers(sources: list[Path], path: Path, *, count: int) -> Iterator[str]:
    """Write header after header to `path`, with zeros behind, and yield what is wrong.

    The same ones each time. The zeros are as many as the file had, or none, or without an end.
    """
    random = Random(13)  # noqa: S311  no secrets here
    sounds = [(source.read_bytes(), Gguf.read(source)) for source in sources]
    for number in range(count):
        whole, sound = random.choice(sounds)
        data = bytearray(whole[: len(whole) - len(sound.data)])
        way = ("bits", "end", "number", "number", "number")[number % 5]
        if way == "bits":
            for _ in range(random.randint(1, 20)):
                data[random.randrange(4, len(data))] ^= 1 << random.randrange(8)
        elif way == "end":
            del data[random.randrange(4, len(data)) :]
        else:
            place = random.choice(_places(data, sound))
            value = random.choice((*_GIANTS, random.getrandbits(64), random.randrange(50)))
            struct.pack_into("<Q", data, place, value)
        path.write_bytes(data)
        os.truncate(path, random.choice((len(whole), len(data), _FAR)))
        yield f"{number}: {way}"


def _places(header: bytearray, sound: Gguf) -> list[int]:
    """Where counts, lengths, kinds and offsets stand in a header."""
    found = [8, 16]
    for key in sound.keys:
        start = header.find(packed(STRING, key))
        end = start + 8 + len(key)
        found += [start, end, end + 4, end + 8]  # and those of a text or an array
    for entry in sound.tensors:
        end = header.find(entry) + len(entry)
        found += [end - len(entry), end - 20, end - 12, end - 8]
    return found
