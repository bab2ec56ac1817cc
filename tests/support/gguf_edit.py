"""Changes what a GGUF file says of itself, and nothing else: headers that no writer would write."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 5, 6, 7, 8, 9, 10
_CODES: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}
_CODES.update({10: "Q", 11: "q", 12: "d"})
_ALIGNMENT: Final = 32


def packed(kind: int, value: object) -> bytes:
    """A value as it stands in a header; an array is (kind of its items, items)."""
    if kind == STRING:
        data = str(value).encode()
        return struct.pack("<Q", len(data)) + data
    if kind == ARRAY:
        assert isinstance(value, tuple)
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(packed(inner, i) for i in items)
    return struct.pack(f"<{_CODES[kind]}", value)


@dataclass
class Gguf:
    """The parts of a file: keys with kinds and packed values, entries of tensors, the data."""

    keys: dict[str, tuple[int, bytes]]
    tensors: list[bytes]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Gguf:
        return _Reader(path.read_bytes()).read()

    def put(self, key: str, kind: int, value: object) -> None:
        self.keys[key] = (kind, packed(kind, value))

    def write(self, path: Path) -> Path:
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(self.keys))
        for key, (kind, value) in self.keys.items():
            header += packed(STRING, key) + struct.pack("<I", kind) + value
        header += b"".join(self.tensors)
        path.write_bytes(header + bytes(-len(header) % _ALIGNMENT) + self.data)
        return path


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 24

    def read(self) -> Gguf:
        num_tensors, num_keys = struct.unpack_from("<QQ", self._data, 8)
        keys = {}
        for _ in range(num_keys):
            name = self._text()
            kind = self._number("I")
            start = self._at
            self._skip(kind)
            keys[name] = (kind, self._data[start : self._at])
        tensors = [self._tensor() for _ in range(num_tensors)]
        return Gguf(keys, tensors, self._data[self._at + -self._at % _ALIGNMENT :])

    def _number(self, code: str) -> int:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return int(value)

    def _text(self) -> str:
        length = self._number("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _skip(self, kind: int) -> None:
        if kind == STRING:
            self._text()
        elif kind == ARRAY:
            inner, count = self._number("I"), self._number("Q")
            for _ in range(count):
                self._skip(inner)
        else:
            self._at += struct.calcsize(f"<{_CODES[kind]}")

    def _tensor(self) -> bytes:
        start = self._at
        self._text()
        num_dimensions = self._number("I")
        self._at += 8 * num_dimensions + 4 + 8
        return self._data[start : self._at]
