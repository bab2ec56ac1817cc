"""What may have happened to a file that we wrote, and that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random


def damaged(data: bytes, seed: int) -> bytes:
    """What a file may look like after anything has happened to it."""
    random = Random(seed)  # noqa: S311  no secrets here
    kind = random.choice(["cut", "noise", "noise", "zeros", "zeros", "other", "shifted"])
    if kind == "cut":
        return data[: random.randrange(1, len(data))]
    if kind == "other":
        return random.randbytes(random.randrange(1, 50_000))
    if kind == "shifted":
        start = random.randrange(len(data))
        return data[:start] + random.randbytes(random.randrange(1, 5000)) + data[start:]
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 5, 50])):
        length = random.choice([1, 16, 500, 5000])
        start = random.choice([0, random.randrange(200), random.randrange(len(data))])
        changed[start : start + length] = (
            random.randbytes(length) if kind == "noise" else bytes(length)
        )
    return bytes(changed[: len(data)])


def empty(folder: Path) -> None:
    """Remove the files of a folder."""
    for file in folder.iterdir():
        file.unlink()


@contextmanager
def no_second_passes() -> Iterator[None]:
    """Fail where something computes for over a second, or waits longer than others explain."""
    began_s, wall_s = time.process_time(), time.perf_counter()
    yield
    assert max(time.process_time() - began_s, (time.perf_counter() - wall_s) / 20) <= 1
