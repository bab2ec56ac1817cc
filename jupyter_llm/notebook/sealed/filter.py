"""The seccomp filter of a sealed copy: a program that the kernel runs at each system call.

It lists allowed calls, since nobody knows all that a system can do; any other fails with EPERM. No
listed call can change a file or reach another process.

The copies of a chain have a second filter. Before a copy forks or sends a signal, that filter asks
the notebook's process (see chain.py).
"""

from __future__ import annotations

import errno
import signal
import struct

from jupyter_llm.notebook.sealed.syscalls import (
    DEPENDS,
    DIE_WITH_PARENT,
    HARMLESS,
    architecture,
)

_LOAD, _EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NOTHING_DONE = _ERRNO  # succeeds without an effect
_DENY = _ERRNO | errno.EPERM
_ASK = 0x7FC00000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in the filter's input

_CLONE_VM, _CLONE_SIGHAND, _CLONE_THREAD = 0x100, 0x800, 0x10000
_THREAD = _CLONE_VM | _CLONE_SIGHAND | _CLONE_THREAD
_FORK = 0x01200011  # the C library's fork: sets and clears the thread's number, SIGCHLD
_NOT_OF_A_THREAD = 0x7E020000 | 0x80 | 0x2000 | 0x4000  # new namespaces, ptrace, vfork, time

# fcntl: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK; F_DUPFD_CLOEXEC, F_GETPIPE_SZ,
# F_GET_SEALS, F_OFD_GETLK. Setting a lock seems to succeed, so that a database can be read without
# keeping its owner waiting.
_FCNTL = (0, 1, 2, 3, 4, 5, 1030, 1032, 1034, 36)
_FCNTL_LOCKS = (6, 7, 37, 38)
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # queries, and FIONBIO, FIOCLEX
_PRCTL = (3, 15, 16, 23, 39, 0x53564D41)  # queries, and names of threads and of memory
_UNIX = 1  # local sockets: a pair of them is only connected with itself

_Step = tuple[int, int, int, int]  # code, jump if true, jump if false, value


def asking_program() -> bytes:
    """Return the filter that asks before a fork or a signal."""
    asked = [(_RETURN, 0, 0, _ASK)]
    program = [(_LOAD, 0, 0, _NUMBER)]
    for name in ("kill", "tgkill"):
        program += _when(DEPENDS[name], asked)
    program += _when(DEPENDS["clone"], [*_low(0), *_when(_FORK, asked), *_ALLOWED])
    return _packed([*program, *_ALLOWED])


def filter_program(pid: int, *, asks: bool = False) -> bytes:
    """Return the filter for a copy's process; `asks`: `asking_program` is installed, too."""
    processor = architecture()
    assert processor is not None
    program = [
        *_load(_ARCHITECTURE),
        *_when(processor, []),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number in HARMLESS.values():
        program += _when(number, _ALLOWED)
    for name, number in DEPENDS.items():
        program += _when(number, (asks and _asking_rule(name)) or _rule(name, pid))
    return _packed([*program, *_DENIED])


def _packed(program: list[_Step]) -> bytes:
    return b"".join(struct.pack("=HBBI", *step) for step in program)


_ALLOWED: list[_Step] = [(_RETURN, 0, 0, _ALLOW)]
_DENIED: list[_Step] = [(_RETURN, 0, 0, _DENY)]


def _load(offset: int) -> list[_Step]:
    return [(_LOAD, 0, 0, offset)]


def _when(value: int, steps: list[_Step]) -> list[_Step]:
    """Return steps that run if the loaded value is `value`.

    Without steps, kill the process if not.
    """
    if not steps:
        return [(_EQUAL, 1, 0, value), (_RETURN, 0, 0, _KILL)]
    return [(_EQUAL, 0, len(steps), value), *steps]


def _low(argument: int) -> list[_Step]:
    return _load(_ARGUMENTS + 8 * argument)


def _high(argument: int) -> list[_Step]:
    return _load(_ARGUMENTS + 8 * argument + 4)


def _allow_values(argument: int, *values: int) -> list[_Step]:
    steps = _low(argument)
    for value in values:
        steps += _when(value, _ALLOWED)
    return [*steps, *_DENIED]


def _allow_null(argument: int, also: list[_Step] | None = None) -> list[_Step]:
    """Return steps that allow the call if a pointer is null and `also` allows it."""
    rest = also if also is not None else _ALLOWED
    inner = [*_high(argument), *_when(0, rest)]
    return [*_low(argument), *_when(0, inner), *_DENIED]


def _asking_rule(name: str) -> list[_Step]:
    """Return the steps of a call for which a chain has its own rule, or []."""
    if name in ("kill", "tgkill"):
        return _ALLOWED
    if name == "clone":
        return [*_low(0), *_when(_FORK, _ALLOWED), *_rule(name, 0)]
    if name == "prctl":
        dies = [*_load(_ARGUMENTS + 8), *_when(signal.SIGKILL, _ALLOWED), *_DENIED]
        return [*_low(0), *_when(DIE_WITH_PARENT, dies), *_rule(name, 0)]
    return []


def _rule(name: str, pid: int) -> list[_Step]:
    """Return the steps that decide on a call by its arguments."""
    if name == "fcntl":
        faked: list[_Step] = []
        for value in _FCNTL_LOCKS:
            faked += _when(value, [(_RETURN, 0, 0, _NOTHING_DONE)])
        return [*_low(1), *faked, *_allow_values(1, *_FCNTL)]
    if name in ("flock", "fsync", "fdatasync"):
        return [(_RETURN, 0, 0, _NOTHING_DONE)]
    if name == "ioctl":
        return _allow_values(1, *_IOCTL)
    if name == "prctl":
        return _allow_values(0, *_PRCTL)
    if name == "prlimit64":  # only queries of its own limits
        return _allow_null(2, _allow_values(0, 0, pid))
    if name == "sched_setaffinity":
        return _allow_values(0, 0, pid)
    if name in ("kill", "tgkill"):
        return _allow_values(0, pid)
    if name == "socketpair":
        return _allow_values(0, _UNIX)
    if name == "sendto":  # on the socket pair with which an event loop wakes itself
        return _allow_null(4)
    if name == "clone3":  # the C library then uses clone, whose flags a filter can read
        return [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    assert name == "clone"
    is_thread = [(_ANY_BIT, 0, 1, _NOT_OF_A_THREAD), *_DENIED, (_AND, 0, 0, _THREAD)]
    return [*_low(0), *is_thread, *_when(_THREAD, _ALLOWED), *_DENIED]
