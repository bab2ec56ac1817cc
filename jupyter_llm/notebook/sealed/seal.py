"""The seal: from here on this process and its threads can change nothing outside themselves.

For a forked copy with a single thread; there is no way back. Two layers that Linux offers to any
user: Landlock keeps it from files, networks and signals by what they are, and a filter of system
calls keeps it from whatever else a system can do.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from jupyter_llm.notebook.sealed.filter import filter_program
from jupyter_llm.notebook.sealed.syscalls import architecture, call, prctl

MIN_LANDLOCK = 6  # the first version that keeps signals in

_EXECUTE, _WRITE_FILE, _READ_FILE = 1 << 0, 1 << 1, 1 << 2
_READ_FOLDER = 1 << 3
_ALL_OF_FILES = ((1 << 16) - 1) & ~_READ_FOLDER  # what versions up to 7 know; names may be read
_ALL_OF_TCP = 3
_ALL_OF_SCOPES = 3  # abstract sockets and signals
_NO_LOG = 1  # a log of the system is not to fill with what drafts tried
_VERSION_WITH_LOG = 7
_READABLE_DEVICES = ("/dev/random", "/dev/urandom", "/dev/zero", "/dev/shm")  # noqa: S108  as it is called
_WRITABLE = "/dev/null"
_OTHERS = 0o077  # the rights of all but the owner of a file

_NO_NEW_PRIVILEGES, _SET_SECCOMP_FILTER, _AMBIENT, _CLEAR_ALL = 38, 1, 47, 4
_CAPABILITIES_VERSION = 0x20080522
_READ_ANY_FILE = 1 << 2  # what root may read, the copy may read


def landlock_version() -> int:
    """Which version of Landlock this system has; 0 if none."""
    try:
        return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except (OSError, KeyError):
        return 0


def why_no_seal() -> str:
    """Why this system cannot seal a process, or an empty text."""
    if architecture() is None:
        return "this system is no Linux on x86-64 or ARM"
    version = landlock_version()
    if version == 0:
        return "this system has no Landlock"
    if version < MIN_LANDLOCK:
        return f"this system's Landlock is of version {version}, and {MIN_LANDLOCK} is needed"
    return ""


def seal_this_process() -> None:
    """Seal; raises OSError where any of it is refused, and then nothing may be run."""
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise OSError("a library started a thread in the copy")
    _drop_capabilities()
    prctl(_NO_NEW_PRIVILEGES, 1)
    _restrict_by_landlock()
    _restrict_calls()


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    kept = struct.pack("=IIIIII", _READ_ANY_FILE, _READ_ANY_FILE, 0, 0, 0, 0)
    try:
        call("capset", header, kept)
    except PermissionError:  # an ordinary user, who has none
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
    """Yield files and folders that hold whatever can be read, but devices and Jupyter's keys.

    To read from a device may be to take away. The runtime folder holds the tokens of `/serve` and
    of Jupyter's servers and the keys of kernels, in files that only their owner can read. Landlock
    can only allow, so all that is beside the way to that folder is allowed.
    """
    runtime = Path(os.path.realpath(jupyter_runtime_dir()))
    way = {runtime, *runtime.parents, Path("/dev")}
    for folder in (runtime, *runtime.parents):
        with suppress(OSError):  # some folders can be passed but not listed
            for path in folder.iterdir():
                is_key = folder == runtime and path.is_file() and not path.stat().st_mode & _OTHERS
                # A link leads to a file that another rule allows, or not.
                if path not in way and not path.is_symlink() and not is_key:
                    yield path


def _allow(rules: int, path: Path, rights: int) -> None:
    """Allow something below a folder, or with a file, as far as it exists."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", rights, opened)
        call("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(opened)


def _restrict_calls() -> None:
    program = filter_program(os.getpid())
    text = ctypes.create_string_buffer(program, len(program))
    # A length and, at the next place for an address, where the program stands.
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
    call("seccomp", ctypes.c_uint(_SET_SECCOMP_FILTER), ctypes.c_uint(0), described)
