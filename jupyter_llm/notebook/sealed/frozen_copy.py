"""Keeps the variables of a moment in a frozen fork, to compare them later and to bring them back.

The fork shares its memory with the kernel until one of them writes, so a large table costs nothing
until it is changed. It is sealed, as all copies are, and waits for questions.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec

from jupyter_llm.common.controls import one_line
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

_PROTOCOL = 5
_SIZE = struct.Struct("=Q")
_MOST_S = 3600.0  # of processor time
_WAIT_S = 120.0
# Pickle has only the names of these. The kernel keeps them itself: they are small.
_NAMED = (FunctionType, BuiltinFunctionType, ModuleType, type)
_OPAQUE = "?"  # begins the digest of a variable that pickle cannot copy
_MAX_REASON = 120


class FrozenCopy:
    """The variables of a moment. Use it in the main thread.

    A view of an array comes back as an array of its own.

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
        self._answer, self._is_owed = bytearray(), False
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
    def pid(self) -> int:
        """Return the process's id."""
        return self._copy.pid

    def digests(self) -> dict[str, str]:
        """Return a digest of each variable. Two copies return equal ones of an unchanged variable.

        If a variable cannot be copied, its digest is its identity and the reason (`why_opaque`).

        Raises
        ------
        UndoError
            The copy has ended, or does not answer.
        """
        return msgspec.json.decode(self._ask([]), type=dict[str, str])

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the old values of the variables, and of any others that share objects with them.

        Variables that cannot be copied are missing. Raises the errors of `digests`, and `UndoError`
        if a value cannot be made again.
        """
        wanted = set(names)
        named = {name: value for name, value in self._named.items() if name in wanted}
        copied = sorted(wanted - named.keys())
        if not copied:
            return named
        data = self._ask(copied)
        try:
            values: dict[str, Any] = _Unpickler(data, self._named).load()
        except Exception as error:
            reason = one_line(str(error))
            raise UndoError(f"The old values cannot be made again ({reason}).") from error
        return values | named

    def close(self) -> None:
        """End the process."""
        if os.getpid() == self._pid:  # a fork of the kernel has this object, too
            self._socket.close()
            self._copy.end()

    def _ask(self, names: list[str]) -> bytes:
        """Send names to the copy, and return its answer.

        After an interrupt, the next call first reads the rest of the old answer.
        """
        with deferred_signals(INTERRUPTS) as interrupts:
            with contextlib.suppress(OSError):
                if not self._is_owed or self._receive(interrupts) is not None:
                    self._is_owed = True
                    _send(self._socket.fileno(), msgspec.json.encode(names))
                    if (answer := self._receive(interrupts)) is not None:
                        return answer
            if not interrupts:
                self.close()
        raise UndoError("The copy with the old values has ended. No variable was changed.")

    def _receive(self, interrupts: Sequence[int]) -> bytes | None:
        """Return an answer; None after an interrupt, or if the copy does not answer."""
        answer, watch = self._answer, Watch(_WAIT_S, None, interrupts)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while len(answer) < _SIZE.size or len(answer) < _SIZE.size + _SIZE.unpack_from(answer)[0]:
            if poll.poll(PERIOD_S * 1000):
                if not (piece := self._socket.recv(1 << 20)):
                    return None
                answer += piece
            elif watch.reason(self._copy.pid, is_active=False) is not None:
                return None
        self._answer, self._is_owed = bytearray(), False
        return bytes(memoryview(answer)[_SIZE.size :])


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
    for part in (_SIZE.pack(len(data)), data):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(number, rest) :]


def _digests(variables: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({name: _looked(value)[0] for name, value in variables.items()})


def _values(variables: Mapping[str, Any], names: Iterable[str]) -> bytes:
    """Return a pickle of the variables, and of any others that share objects with them."""
    # The objects are kept meanwhile, so that no other object gets their ids.
    objects = {name: _looked(value)[1] for name, value in variables.items()}
    wanted = {name for name in names if objects.get(name) is not None}
    ids = set[int]().union(*(objects[name] or () for name in wanted))
    size = -1
    while len(wanted) > size:
        size = len(wanted)
        for name, shared in objects.items():
            if shared is not None and not ids.isdisjoint(shared):
                wanted.add(name)
                ids |= shared.keys()
    return pickle.dumps({name: variables[name] for name in sorted(wanted)}, _PROTOCOL)


def _looked(value: object) -> tuple[str, dict[int, object] | None]:
    """Return the digest of a value, and the objects in it that can change, by their ids.

    There are no objects if pickle cannot copy the value.
    """
    if isinstance(value, _NAMED):
        return f"is {id(value)}", None
    digest = sha256()
    pickler = pickle.Pickler(
        _DigestFile(digest.update),
        _PROTOCOL,
        buffer_callback=lambda buffer: digest.update(buffer.raw()),
    )
    try:
        pickler.dump(value)
    except Exception as error:  # noqa: BLE001  objects have methods of their own for it
        reason = one_line(f"{type(value).__name__}: {error}")[:_MAX_REASON]
        return f"{_OPAQUE}{id(value)} {reason.encode('utf-8', 'replace').decode()}", None
    return digest.hexdigest(), _changeable(one for _, one in pickler.memo.copy().values())


def why_opaque(digest: str) -> str:
    """Return the reason why a variable with this digest cannot be copied, "" if it can."""
    return digest.partition(" ")[2] if digest.startswith(_OPAQUE) else ""


def _changeable(objects: Iterable[Any]) -> dict[int, object]:
    """Return the objects that can change, and the owners of arrays' memory.

    Objects that are equal by value usually cannot change. Attributes of classes are no variable's.
    """
    every = [*objects]
    kinds = {kind for one in every for kind in type(one).__mro__}
    of_classes = {id(value) for kind in kinds for value in vars(kind).values()}
    changeable = {id(one): one for one in every if id(one) not in of_classes and _can_change(one)}
    for one in [*changeable.values()]:
        while (one := getattr(one, "base", None)) is not None and id(one) not in changeable:
            changeable[id(one)] = one
    return changeable


def _can_change(value: object) -> bool:
    by_value: Any = type(value).__hash__
    is_named = hasattr(value, "__qualname__")  # functions and classes, also of Cython
    return not is_named and (by_value is None or by_value is object.__hash__)


class _Unpickler(pickle.Unpickler):
    """Makes instances of the notebook's own classes as these were."""

    def __init__(self, data: bytes, named: Mapping[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._named = named

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function of a module."""
        if module == "__main__" and name in self._named:
            return self._named[name]
        return super().find_class(module, name)


class _DigestFile:
    """A file for a pickler that passes each part to a function."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write
