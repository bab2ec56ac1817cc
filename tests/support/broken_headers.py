"""Headers of GGUF files that are damaged: bits, ends, counts, kinds, offsets."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from support.gguf_edit import ARRAY, STRING, Gguf, packed

_GIANTS = (2**63, 2**64 - 1, 2**32, 2**24, 10**6, 2**18, 2**16, 2**14, 1000, 512, 0)
_FAR = 16 << 30


class _Header:
    """A sound header, and where in it what kind of number stands."""

    def __init__(self, sound: Gguf) -> None:
        self.counts, self.kinds, self.offsets = [8, 16], list[int](), list[int]()
        data = struct.pack("<4sIQQ", b"GGUF", 3, len(sound.tensors), len(sound.keys))
        for key, (kind, value) in sound.keys.items():
            self.counts.append(len(data))
            data += packed(STRING, key)
            self.kinds.append(len(data))
            data += struct.pack("<I", kind)
            if kind == ARRAY:
                self.kinds.append(len(data))
            self.counts += [len(data) + 4] * (kind == ARRAY) + [len(data)] * (kind == STRING)
            data += value
        for entry in sound.tensors:
            (length,) = struct.unpack_from("<Q", entry)
            self.counts += [len(data), len(data) + 8 + length + 4]  # of its name, of its first row
            data += entry
            self.kinds.append(len(data) - 12)
            self.offsets.append(len(data) - 8)
        self.data = data
        self.size = len(data) + -len(data) % 32 + len(sound.data)


def _flip(data: bytearray, _header: _Header, random: Random) -> None:
    for _ in range(random.randint(1, 20)):
        data[random.randrange(4, len(data))] ^= 1 << random.randrange(8)


def _cut(data: bytearray, _header: _Header, random: Random) -> None:
    del data[random.randrange(4, len(data)) :]


def _count(data: bytearray, header: _Header, random: Random) -> None:
    giant = random.choice((*_GIANTS, random.getrandbits(64), random.getrandbits(21)))
    struct.pack_into("<Q", data, random.choice(header.counts), giant)


def _kind(data: bytearray, header: _Header, random: Random) -> None:
    struct.pack_into("<I", data, random.choice(header.kinds), random.randrange(50))


def _offset(data: bytearray, header: _Header, random: Random) -> None:
    for place in random.sample(header.offsets, random.randint(1, len(header.offsets))):
        near = random.choice((0, 1, 64, header.size, 2**40, 2**63, 2**64 - 1))
        struct.pack_into("<Q", data, place, near)


_WAYS: tuple[Callable[[bytearray, _Header, Random], None], ...] = (
    _flip, _cut, _count, _kind, _offset,
)  # fmt: skip


def broken_headers(sources: list[Path], path: Path, *, count: int) -> Iterator[str]:
    """Write header after header to `path`, with zeros behind, and yield what is wrong.

    The same ones each time. The zeros are as many as the file had, or none, or without an end.
    """
    headers = [_Header(Gguf.read(source)) for source in sources]
    random = Random(13)  # noqa: S311  no secrets here
    for number in range(count):
        header, break_it = random.choice(headers), _WAYS[number % len(_WAYS)]
        data = bytearray(header.data)
        break_it(data, header, random)
        path.write_bytes(data)
        os.truncate(path, random.choice((header.size, len(data), _FAR)))
        yield f"{number}: {break_it.__name__}"
