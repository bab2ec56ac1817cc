"""A process with one of everything that code in a sealed copy might reach, and what it was like."""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import pty
import resource
import select
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from jupyter_llm.notebook.sealed.chain import BROKEN, Chain
from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.notebook.sealed.trying import try_code

_TEXT = "as it was\nbefore\n"


def _in_shared_memory() -> list[str]:
    """What lies there, but for what tests that run beside put there for a moment."""
    names = os.listdir("/dev/shm")  # noqa: PTH208, S108
    return sorted(name for name in names if not name.startswith(("sem.mp-", ".org.chromium")))


class World:
    """Files, connections and processes; `names` are what code is given of them."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._looks: dict[str, Callable[[], object]] = {}
        self.names: dict[str, Any] = {"folder": str(folder), "pid": os.getpid()}
        self.names["stdout"] = sys.stdout
        self._add_files()
        self._add_databases()
        self._add_memory()
        self._add_connections()
        self._add_processes()
        self._ids = {name: id(value) for name, value in self.names.items()}

    def close(self) -> None:
        """Close and end all of it."""
        self._stack.close()

    def state(self) -> dict[str, object]:
        """What all of it is like now."""
        state: dict[str, object] = {}
        for name, look in self._looks.items():
            try:
                state[name] = look()
            except (OSError, zmq.Again) as error:
                state[name] = f"{type(error).__name__}: {error}"
        state["names"] = {name: id(value) for name, value in self.names.items()} == self._ids
        return state

    def _look(self, name: str, look: Callable[[], object]) -> None:
        self._looks[name] = look

    def _file(self, name: str, text: str = _TEXT) -> Path:
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def _open(self, path: Path, mode: str) -> Any:
        return self._stack.enter_context(path.open(mode))

    def _add_files(self) -> None:
        kept = self._file("kept.txt")
        with suppress(OSError):
            os.setxattr(kept, "user.known", b"yes")
        self._file("other.txt", "other")
        (self._folder / "empty").mkdir()
        opened, reader = self._open(kept, "r+"), self._open(kept, "r")
        opened.readline()
        directory = os.open(self._folder, os.O_RDONLY)
        self._stack.callback(os.close, directory)
        self.names |= {
            "kept": str(kept),
            "opened": opened,
            "reader": reader,
            "directory": directory,
            "numbers": _numbers(),
            "lock": threading.Lock(),
        }
        self._look("tree", lambda: dict(_tree(self._folder)))
        self._look("places", lambda: [os.lseek(f.fileno(), 0, 1) for f in (opened, reader)])
        self._look("lock", self.names["lock"].locked)
        self._look("generator", lambda: self.names["numbers"].gi_frame.f_lasti)

    def _add_databases(self) -> None:
        for name, mode in (("database", "delete"), ("wal", "wal"), ("begun", "delete")):
            connection = sqlite3.connect(self._folder / f"{name}.db")
            _fill(connection, mode)
            self._stack.callback(connection.close)
            self.names[name] = connection
        self.names["in_memory"] = sqlite3.connect(":memory:")
        _fill(self.names["in_memory"], "memory")
        self._stack.callback(self.names["in_memory"].close)
        cursor = self.names["database"].execute("select * from sales")
        cursor.fetchone()
        self.names["cursor"] = cursor
        self.names["begun"].execute("insert into sales values ('Oslo')")
        for name in ("database", "wal", "begun", "in_memory"):
            self._look(name, partial(_sales, self.names[name]))

    def _add_memory(self) -> None:
        context = multiprocessing.get_context("spawn")
        shared = SharedMemory(create=True, size=4096)
        self._stack.callback(shared.unlink)
        self._stack.callback(shared.close)
        mapped = self._file("mapped.bin", "as it was" * 1000)
        nameless = self._open(self._file("nameless.bin", "as it was" * 1000), "r+")
        mapping = mmap.mmap(self._open(mapped, "r+").fileno(), 0)
        gone = mmap.mmap(nameless.fileno(), 0)
        (self._folder / "nameless.bin").unlink()
        array = np.memmap(self._file("array.bin", "as it was"), np.uint8, "r+")
        frozen = _frozen(self._open(self._file("frozen.bin", "as it was" * 1000), "r+").fileno())
        memory_file = os.memfd_create("escapes")
        os.write(memory_file, b"as it was")
        self._stack.callback(os.close, memory_file)
        anonymous = mmap.mmap(-1, 4096)
        semaphore, value = context.Semaphore(3), context.Value("i", 7)
        self.names |= {
            "shared": shared,
            "mapping": mapping,
            "nameless": gone,
            "nameless_file": nameless.fileno(),
            "array": array,
            "frozen": frozen,
            "memory_file": memory_file,
            "anonymous": anonymous,
            "semaphore": semaphore,
            "value": value,
        }
        self._look("shared", lambda: bytes(shared.buf or b""))
        self._look("mapping", lambda: mapping[:])
        self._look("nameless", lambda: gone[:])
        self._look("array", lambda: bytes(array))
        self._look("frozen", lambda: ctypes.string_at(frozen, 100))
        self._look("memory file", lambda: os.pread(memory_file, 100, 0))
        self._look("anonymous", lambda: anonymous[:])
        self._look("semaphore", semaphore.get_value)
        self._look("value", lambda: value.value)
        self._look("system V", lambda: [_read(f"/proc/sysvipc/{n}") for n in ("shm", "sem", "msg")])
        self._look("shm", _in_shared_memory)

    def _add_connections(self) -> None:
        enter = self._stack.enter_context
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._stack.callback(os.close, reading)
        self._stack.callback(os.close, writing)
        ours, theirs = map(enter, socket.socketpair())
        theirs.settimeout(0)
        server = enter(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(0)
        udp = enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        named = [enter(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2)]
        addresses = [str(self._folder / "unix"), f"\0escapes {os.getpid()} {id(self)}"]
        for one, address in zip(named, addresses, strict=True):
            one.bind(address)
        context = enter(zmq.Context())
        receiver, sender = (enter(context.socket(kind)) for kind in (zmq.PULL, zmq.PUSH))
        sender.connect(f"tcp://127.0.0.1:{receiver.bind_to_random_port('tcp://127.0.0.1')}")
        sender.send(b"")
        receiver.recv()  # now zmq's thread has opened the sockets of the connection
        counter = os.eventfd(1, os.EFD_NONBLOCK)
        self._stack.callback(os.close, counter)
        poller = enter(select.epoll())
        poller.register(theirs.fileno(), select.EPOLLIN)
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        self._stack.callback(os.close, master)
        self._stack.callback(os.close, slave)
        self.names |= {
            "pipe": writing,
            "sock": ours,
            "server": server,
            "tcp": server.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": addresses[0],
            "abstract": addresses[1],
            "sender": sender,
            "counter": counter,
            "poller": poller,
            "watched": theirs.fileno(),
            "terminal": slave,
            "terminal_path": os.ttyname(slave),
        }
        self._look("pipe", lambda: os.read(reading, 10))
        self._look("waits", lambda: os.get_blocking(writing))
        self._look("socket", lambda: theirs.recv(10))
        self._look("server", server.accept)
        for place, one in (("udp", udp), ("unix", named[0]), ("abstract", named[1])):
            one.settimeout(0)
            self._look(place, partial(one.recv, 10))
        self._look("zmq", lambda: receiver.recv(zmq.NOBLOCK))
        self._look("eventfd", partial(_counted, counter))
        self._look("epoll", lambda: poller.modify(theirs.fileno(), select.EPOLLIN))
        self._look("typed", lambda: os.read(master, 10))
        self._look("terminal", lambda: termios.tcgetattr(slave))

    def _add_processes(self) -> None:
        victim = self._stack.enter_context(subprocess.Popen(["/bin/sleep", "600"]))
        self._stack.callback(victim.kill)
        self.names["victim"] = victim.pid
        own = psutil.Process()
        self._look("victim", victim.poll)
        self._look("children", lambda: sorted(p.pid for p in own.children(recursive=True)))
        self._look("nice", lambda: (own.nice(), own.ionice(), psutil.Process(victim.pid).nice()))
        self._look("cores", lambda: (os.sched_getaffinity(0), os.sched_getscheduler(0)))
        self._look("limits", lambda: [resource.getrlimit(n) for n in range(16)])
        self._look("user", lambda: (os.getresuid(), os.getresgid(), os.getgroups()))
        self._look("folder", lambda: (os.getcwd(), os.umask(os.umask(0o22))))  # noqa: PTH109
        self._look("group", lambda: (os.getpgid(0), os.getsid(0), socket.gethostname()))
        self._look("status", _status)
        self._look("descriptors", lambda: len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        self._look("killed first", lambda: _read("/proc/self/oom_score_adj"))
        self._look("name", lambda: _read("/proc/self/comm"))


def _numbers() -> Iterator[int]:
    yield from range(3)


def _sales(connection: sqlite3.Connection) -> object:
    return connection.execute("select * from sales").fetchall(), connection.in_transaction


def _counted(counter: int) -> int:
    """What an eventfd counts, which is put back."""
    count = os.eventfd_read(counter)
    os.eventfd_write(counter, count)
    return count


def _fill(connection: sqlite3.Connection, mode: str) -> None:
    connection.execute(f"pragma journal_mode = {mode}").fetchall()
    connection.execute("create table sales (city)")
    connection.executemany("insert into sales values (?)", [("Bern",), ("Kyiv",)])
    connection.commit()


def _frozen(descriptor: int) -> int:
    """The place of a shared piece of memory that is to be read only, though its file is not."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(
        None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, descriptor, ctypes.c_long(0)
    )
    return int(place)


def _tree(folder: Path) -> Iterator[tuple[str, object]]:
    for path in sorted(folder.rglob("*")):
        s = path.lstat()
        text = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".db-shm":  # where readers note themselves
            text = b""
        marks = os.listxattr(path) if path.is_file() else []
        times = s.st_mtime_ns if path.suffix != ".db-shm" else 0
        yield path.name, (s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_size, times, text, marks)


def _status() -> list[str]:
    lines = _read("/proc/self/status").splitlines()
    wanted = ("Cap", "NoNewPrivs", "Seccomp", "Tgid", "TracerPid", "VmLck", "SigIgn")
    return [line for line in lines if line.startswith(wanted)]


def _read(path: str) -> str:
    return Path(path).read_text("utf-8")


PRELUDE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def raw(number, *values):
    plain = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    return must(libc.syscall(ctypes.c_long(number), *plain))
def find_pipe():
    for name in os.listdir('/proc/self/fd'):
        try:
            if os.readlink(f'/proc/self/fd/{name}').startswith(('pipe:', 'socket:')):
                return int(name)
        except OSError:
            pass
said = find_pipe()
"""
# What an attempt must not fail of: then it has attempted nothing.
SLIPS = ("NameError", "SyntaxError", "AttributeError", "TypeError", "ModuleNotFoundError")


def attempted(attempt: dict[str, Any], world: World, chain: Chain | None = None) -> Seen:
    """Make an attempt alone, or as the next step of a chain, and undo that."""
    timeout_s = attempt.get("timeout", 20)
    if chain is None:
        return try_code([PRELUDE, attempt["code"]], world.names, timeout_s=timeout_s)
    depth = chain.depth
    code = attempt["code"] if depth else f"{PRELUDE}\n{attempt['code']}"
    seen = chain.push(code, timeout_s=timeout_s)
    chain.undo(depth)
    return seen


def successes(folder: Path, attempts: list[dict[str, Any]], step: int) -> dict[str, object]:
    """Make attempts in a world of their own; return those that change it or attempt nothing.

    `step`: the number of the attempt in a chain, 0 for none.
    """
    changed: dict[str, object] = {}
    with ExitStack() as stack:
        world = stack.enter_context(closing(World(folder)))
        chain = stack.enter_context(Chain(world.names)) if step else None
        for code in [PRELUDE, *["kept"] * step][: max(step - 1, 0)]:
            assert chain is not None
            assert chain.push(code).runs
        before = world.state()
        for attempt in attempts:
            seen = attempted(attempt, world, chain)
            after = world.state()
            different = {name: after[name] for name in before if after[name] != before[name]}
            if different or seen.error_kind in SLIPS or seen.text == "not tried: " + BROKEN:
                changed[attempt["name"]] = (str(seen), str(different))
            before = after
        if chain is not None and (chain.depth != step - 1 or not chain.push("1").runs):
            changed["the chain"] = "is not as it was"
    return changed
