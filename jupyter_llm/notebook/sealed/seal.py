"""Seals this process: from then on it and its threads can change nothing outside themselves.

For a forked copy with a single thread; a seal cannot be removed. It has two layers that Linux
offers to every user. Landlock blocks files, networks and signals by object; a filter of system
calls blocks everything else.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import send_fds, socket

from jupyter_core.paths import jupyter_runtime_dir

from jupyter_llm.notebook.sealed.filter import asking_program, filter_program
from jupyter_llm.notebook.sealed.syscalls import architecture, call, prctl

MIN_LANDLOCK = 6  # the first version that blocks signals

_EXECUTE, _WRITE_FILE, _READ_FILE = 1 << 0, 1 << 1, 1 << 2
_READ_FOLDER = 1 << 3
_ALL_OF_FILES = ((1 << 16) - 1) & ~_READ_FOLDER  # all rights up to version 7; names may be read
_ALL_OF_TCP = 3
_ALL_OF_SCOPES = 3  # abstract sockets and signals
_NO_LOG = 1  # drafts must not fill the system's log
_VERSION_WITH_LOG = 7
_READABLE_DEVICES = ("/dev/random", "/dev/urandom", "/dev/zero", "/dev/shm")  # noqa: S108
_WRITABLE = "/dev/null"
_OTHERS = 0o077  # rights of everybody but the owner

_NO_NEW_PRIVILEGES, _SET_SECCOMP_FILTER, _AMBIENT, _CLEAR_ALL = 38, 1, 47, 4
_NEW_LISTENER = 1 << 3
_CAPABILITIES_VERSION = 0x20080522
_READ_ANY_FILE = 1 << 2  # if root may read a file, the copy may, too


def landlock_version() -> int:
    """Return this system's version of Landlock, 0 if it has none."""
    try:
        return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except (OSError, KeyError):
        return 0


def why_no_seal() -> str:
    """Return the reason why this system cannot seal a process, or ""."""
    if architecture() is None:
        return "this system is no Linux on x86-64 or ARM"
    version = landlock_version()
    if version == 0:
        return "this system has no Landlock"
    if version < MIN_LANDLOCK:
        return f"this system's Landlock is of version {version}, and {MIN_LANDLOCK} is needed"
    return ""


def seal_this_process(owner: socket | None = None) -> None:
    """Seal this process; raise OSError if a part fails, and then nothing may be run.

    With an `owner`, send it the descriptor that receives the questions of `asking_program`.
    """
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise OSError("a library started a thread in the copy")
    _drop_capabilities()
    prctl(_NO_NEW_PRIVILEGES, 1)
    _restrict_by_landlock()
    if owner is not None:
        asking = _add_filter(asking_program(), _NEW_LISTENER)
        send_fds(owner, [b"\n"], [asking])
        os.close(asking)
    _add_filter(filter_program(os.getpid(), asks=owner is not None), 0)


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    kept = struct.pack("=IIIIII", _READ_ANY_FILE, _READ_ANY_FILE, 0, 0, 0, 0)
    try:
        call("capset", header, kept)
    except PermissionError:  # an ordinary user has none
        call("capset", header, bytes(24))
    with suppress(OSError):
        prctl(_AMBIENT, _CLEAR_ALL)


def _restrict_by_landlock() -> None:
    attributes = struct.pack("=QQQ", _ALL_OF_FILES, _ALL_OF_TCP, _ALL_OF_SCOPES)
    size = ctypes.c_size_t(len(attributes))
    rules = call("landlock_create_ruleset", attributes, size, ctypes.c_uint(0))
    try:
        for path in _readable():
            _allow(rules, path, _READ_FILE)
        for name in _READABLE_DEVICES:
            _allow(rules, Path(name), _READ_FILE)
        _allow(rules, Path(_WRITABLE), _READ_FILE | _WRITE_FILE)
        flags = _NO_LOG if landlock_version() >= _VERSION_WITH_LOG else 0
        call("landlock_restrict_self", ctypes.c_int(rules), ctypes.c_uint(flags))
    finally:
        os.close(rules)


def _readable() -> Iterator[Path]:
    """Yield readable files and folders, except devices and Jupyter's keys.

    Reading a device may remove data. The runtime folder has the tokens of `/serve` and of Jupyter's
    servers, and the keys of kernels, in files that only their owner can read. Landlock can only
    allow, so everything beside the path to that folder is allowed.
    """
    runtime = Path(os.path.realpath(jupyter_runtime_dir()))
    way = {runtime, *runtime.parents, Path("/dev")}
    for folder in (runtime, *runtime.parents):
        with suppress(OSError):  # some folders can be entered but not listed
            for path in folder.iterdir():
                is_key = folder == runtime and path.is_file() and not path.stat().st_mode & _OTHERS
                # A link's target has a rule of its own, or none.
                if path not in way and not path.is_symlink() and not is_key:
                    yield path


def _allow(rules: int, path: Path, rights: int) -> None:
    """Allow access to a file, or below a folder, if it exists."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", rights, opened)
        call("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(opened)


def _add_filter(program: bytes, flags: int) -> int:
    text = ctypes.create_string_buffer(program, len(program))
    # The length, and, aligned for a pointer, the program's address.
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
    return call("seccomp", ctypes.c_uint(_SET_SECCOMP_FILTER), ctypes.c_uint(flags), described)
