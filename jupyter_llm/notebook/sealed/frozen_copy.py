"""Keeps the variables of a moment in a frozen fork, to compare them later and to bring them back.

The fork shares its memory with the kernel until one of them writes, so a large table costs nothing
until it is changed. It is sealed, as all copies are, and waits for questions.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec

from jupyter_llm.errors import UndoError
from jupyter_llm.notebook.sealed.copy import (
    INTERRUPTS,
    PERIOD_S,
    Copy,
    Life,
    Watch,
    deferred_signals,
)
from jupyter_llm.notebook.sealed.main_thread import is_main_thread
from jupyter_llm.notebook.sealed.running import Stage
from jupyter_llm.notebook.sealed.trying import why_not

_SIZE = struct.Struct("=Q")
_MOST_S = 3600.0  # of processor time
_WAIT_S = 120.0
# Pickle has only the names of these. The kernel keeps them itself: they are small.
_NAMED = (FunctionType, BuiltinFunctionType, ModuleType, type)
_CONSTANT = (str, bytes, int, float, complex, tuple, frozenset, *_NAMED)
_OPAQUE = "?"  # begins the digest of a variable that pickle cannot copy


class FrozenCopy:
    """The variables of a moment. Use it in the main thread.

    Parameters
    ----------
    namespace : Mapping
        The variables as they are now.

    Raises
    ------
    UndoError
        No copy can be made here.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        reason = why_not() or ("" if is_main_thread() else "that needs the main thread")
        if reason:
            raise UndoError(f"The variables cannot be kept: {reason}.")
        self._pid = os.getpid()
        self._named = {k: v for k, v in namespace.items() if isinstance(v, _NAMED)}
        self._socket, theirs = socket.socketpair()
        self._copy = Copy([])
        try:
            with theirs, deferred_signals(INTERRUPTS):
                self._copy.begin(_FrozenLife(Stage(dict(namespace)), theirs), None)
        except OSError as error:
            self._socket.close()
            raise UndoError(f"The variables cannot be kept ({error.strerror}).") from None

    def __del__(self) -> None:
        """End the process of a copy that was forgotten."""
        if not sys.is_finalizing() and hasattr(self, "_copy"):
            self.close()

    @property
    def num_bytes(self) -> int:
        """Return the memory that the copy alone uses."""
        text = ""
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{self._copy.pid}/smaps_rollup").read_text("ascii")
        lines = (line.split() for line in text.splitlines() if line.startswith("Private_"))
        return sum(int(words[1]) << 10 for words in lines)

    def digests(self) -> dict[str, str]:
        """Return a digest of each variable; two copies have the same of an unchanged one.

        Of a variable that cannot be copied, as a generator, the digest is its identity alone.

        Raises
        ------
        UndoError
            The copy has ended, or does not answer.
        """
        return msgspec.json.decode(self._ask([]), type=dict[str, str])

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values that some variables had, and those that share objects with them.

        Variables that cannot be copied are missing. For errors see `digests`.
        """
        wanted = sorted(names)
        copied = [name for name in wanted if name not in self._named]
        values = pickle.loads(self._ask(copied)) if copied else {}  # noqa: S301  our own process
        return values | {name: self._named[name] for name in wanted if name in self._named}

    def close(self) -> None:
        """End the process."""
        if os.getpid() == self._pid:  # a fork of the kernel has this object, too
            self._socket.close()
            self._copy.end()

    def _ask(self, names: list[str]) -> bytes:
        """Send names to the copy, and return its answer."""
        answer, watch = bytearray(), Watch(_WAIT_S, None)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        with contextlib.suppress(OSError):
            _send(self._socket.fileno(), msgspec.json.encode(names))
            while (
                len(answer) < _SIZE.size or len(answer) < _SIZE.size + _SIZE.unpack_from(answer)[0]
            ):
                is_ready = bool(poll.poll(PERIOD_S * 1000))
                piece = self._socket.recv(1 << 20) if is_ready else b""
                answer += piece
                reason = watch.reason(self._copy.pid, is_active=is_ready)
                if (is_ready and not piece) or reason is not None:
                    break
            else:
                return bytes(memoryview(answer)[_SIZE.size :])
        self.close()
        raise UndoError("The copy of the variables is gone, so they stay as they are.")


class _FrozenLife(Life):
    """The life of a frozen fork: it answers questions until the kernel ends it."""

    def __init__(self, stage: Stage, owner: socket.socket) -> None:
        super().__init__(stage, owner.fileno(), _MOST_S)
        self._owner = owner

    def _work(self) -> None:
        variables, asked = self._stage.namespace, self._owner.makefile("rb")
        while len(size := asked.read(_SIZE.size)) == _SIZE.size:
            names = msgspec.json.decode(asked.read(*_SIZE.unpack(size)), type=list[str])
            answer = _values(variables, names) if names else _digests(variables)
            _send(self._writing, answer)

    def _send(self, seen: object) -> None:
        """Say nothing of an error: the end of the process is the answer."""


def _send(number: int, data: bytes) -> None:
    rest = memoryview(_SIZE.pack(len(data)) + data)
    while rest:
        rest = rest[os.write(number, rest) :]


def _digests(variables: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({name: _looked(value)[0] for name, value in variables.items()})


def _values(variables: Mapping[str, Any], names: Iterable[str]) -> bytes:
    """Return the pickle of some variables, and of those that share objects with them."""
    looked = {name: _looked(value) for name, value in variables.items()}
    looked = {name: one for name, one in looked.items() if not one[0].startswith(_OPAQUE)}
    found = {name for name in names if name in looked}
    shared = set[int]().union(*(looked[name][1] for name in found))
    size = -1
    while len(found) > size:
        size = len(found)
        for name, (_, ids) in looked.items():
            if not shared.isdisjoint(ids):
                found.add(name)
                shared |= ids
    return pickle.dumps({name: variables[name] for name in sorted(found)}, 5)


def _looked(value: object) -> tuple[str, set[int]]:
    """Return the digest of a value, and the identities of the objects in it that can change."""
    opaque = f"{_OPAQUE}{type(value).__qualname__} {id(value)}", set[int]()
    if isinstance(value, _NAMED):
        return opaque
    digest = blake2b(digest_size=16)
    pickler = pickle.Pickler(
        _DigestFile(digest.update), 5, buffer_callback=lambda buffer: digest.update(buffer.raw())
    )
    try:
        pickler.dump(value)
    except Exception:  # noqa: BLE001  objects have methods of their own for it
        return opaque
    held = [one for _, one in pickler.memo.copy().values() if not isinstance(one, _CONSTANT)]
    ids = {id(one) for one in held}
    for one in held:
        while (one := getattr(one, "base", None)) is not None and id(one) not in ids:  # of a view
            ids.add(id(one))
    return digest.hexdigest(), ids


class _DigestFile:
    """What a pickler writes to."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write
