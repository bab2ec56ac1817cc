"""Tries cells one after another, each in a sealed fork of the copy in which the one before ran.

The kernel forks a root copy, and each step is a fork of the step before. Only the newest process
runs code; the others wait for its end. A step can be undone by ending its process.

A filter in all copies holds each fork until the notebook's process answers. It refuses the forks of
the cells' own code. After its cell, a process asks to fork, and may when the next cell is pushed.
Thus the system, not a copy, reports which processes wait and which have ended.

Known holes, beside those of `trying`: a cell with polars may hang, and is reported as not tried.
Steps share the pipes and sockets that a step opens. If a step changes our code in its process,
later steps may outlive a killed kernel.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import itertools
import os
import posix
import resource
import select
import signal
import socket
import struct
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_llm.notebook.sealed.cells import unit_of
from jupyter_llm.notebook.sealed.copy import (
    INTERRUPTED_S,
    INTERRUPTS,
    MAX_BYTES,
    PERIOD_S,
    REAP_S,
    Copy,
    Ending,
    Life,
    Watch,
    deferred_signals,
    die_with,
    free_room,
    quiet_fork,
    seen_of,
)
from jupyter_llm.notebook.sealed.detached import detach_files
from jupyter_llm.notebook.sealed.main_thread import is_main_thread
from jupyter_llm.notebook.sealed.polars_again import can_begin_again, has_polars_threads
from jupyter_llm.notebook.sealed.running import DraftRun, Stage
from jupyter_llm.notebook.sealed.seal import seal_this_process
from jupyter_llm.notebook.sealed.seen import Seen, untried
from jupyter_llm.notebook.sealed.syscalls import DEPENDS, prctl
from jupyter_llm.notebook.sealed.trying import why_not, why_untried
from jupyter_llm.notebook.values.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from jupyter_llm.notebook.sealed.hidden import Hidden

_ADOPT_ORPHANS = 36  # prctl's PR_SET_CHILD_SUBREAPER
_RECEIVE, _REPLY, _CONTINUE = 0xC0502100, 0xC0182101, 1
_QUESTION = struct.Struct("=QIIiIQQ40x")  # number, thread, flags, call, processor, place, argument
_BEGIN_S = 20.0
_MAX_COMMAND = 100_000  # bytes, which a socket takes at once
_MOST_S = 3600.0  # of a step, in case its end is not seen
BROKEN = "an earlier step was ended by the system"


class Chain:
    """Cells that run one after another, each in a sealed fork of the copy before.

    A cell that does not run leaves no trace. If a cell leaves threads running, a fork would lack
    them, so the next push repeats that cell and runs the new one in the same process. An interrupt
    of the main thread ends the cell that it waits for. Use it as a context manager, from any
    thread.

    Parameters
    ----------
    namespace : Mapping
        The live variables. The chain sees them as they are now.
    shell : InteractiveShell, optional
        The shell with these variables.
    hidden : Hidden, optional
        The parts of the notebook that the cells must not read.
    look : Callable, optional
        Called in the copy with the variables after each cell; returns a value for JSON.
    make : Callable, optional
        Needed in other threads than the main one: has to call its argument in the main thread.
    """

    def __init__(
        self,
        namespace: Mapping[str, Any],
        *,
        shell: Any = None,
        hidden: Hidden | None = None,
        look: Callable[[dict[str, Any]], object] | None = None,
        make: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closing: list[int] = []  # not empty: the chain is closed or about to be
        self._copy = Copy([])
        self._pids: list[int] = []  # the root and the process of each step
        self._cells: list[Sequence[str]] = []  # of each step
        self._repeated: Sequence[str] = ()  # later cells without a process, to be repeated
        self._has_threads = False
        self._report = bytearray()
        self._ends = contextlib.ExitStack()
        reason = why_not()
        if not reason and make is None and not is_main_thread():
            reason = "code is only tried in the kernel's main thread"
        if not reason and not Path("/proc/thread-self/children").exists():
            reason = "this system does not list the children of a process"
        self._refused = untried(reason) if reason else None
        if reason:
            return
        live = namespace if isinstance(namespace, dict) else dict(namespace)
        loses_polars = has_polars_threads()
        begins_again = loses_polars and can_begin_again()
        stage = Stage(live, shell, look, hidden, begins_polars_again=begins_again)
        self._socket, theirs = socket.socketpair()
        self._ends.callback(self._socket.close)
        life = _ChainLife(stage, theirs, loses_polars=loses_polars)
        try:
            with _deferred():
                self._begin(life, theirs, make)
        except OSError as error:
            self._refused = untried(f"no copy could be made ({error.strerror or error})")
        except BaseException:
            self.close()
            raise
        if self._refused is not None:
            self.close()

    def __enter__(self) -> Self:
        """Return the chain."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the chain."""
        self.close()

    def __del__(self) -> None:
        """Close a chain that was forgotten."""
        if not sys.is_finalizing():
            self.close()

    @property
    def depth(self) -> int:
        """Return the number of cells that ran and were not undone."""
        return sum(map(len, self._cells)) + len(self._repeated)

    def push(
        self, source: str, *, timeout_s: float = 5.0, tick: Callable[[], None] | None = None
    ) -> Seen:
        """Run a cell with the variables that the cells before have left.

        Parameters
        ----------
        source : str
            The cell.
        timeout_s : float
            The time limit of one cell; each repeated cell adds as much.
        tick : Callable, optional
            Called here meanwhile. If it raises, the cell is undone.

        Returns
        -------
        Seen
            The result, as of `try_code`. A cell that does not run is undone.
        """
        with self._lock, _deferred() as interrupts:
            if self._refused is not None or self._closing:
                return self._refused or untried("the chain is closed")
            if self._has_threads:
                self._repeated, self._has_threads = self._cells.pop(), False
                self._end_above(len(self._cells), interrupts)
            cells = [*self._repeated, source]
            seen = self._step(cells, timeout_s * len(cells), tick, interrupts)
            if seen.runs:
                self._cells.append(cells)
                self._repeated, self._has_threads = (), seen.leaves_threads
            return replace(seen, text=scrub(seen.text))

    def undo(self, depth: int) -> None:
        """Undo the last cells, so that the first `depth` remain."""
        with self._lock, _deferred() as interrupts:
            if self._closing or not 0 <= depth < self.depth:
                return
            while self.depth > depth:
                self._repeated = (self._repeated or self._cells.pop())[:-1]
            self._has_threads = False
            self._end_above(len(self._cells), interrupts)

    def close(self) -> None:
        """End all processes of the chain, also during a push of another thread."""
        if os.getpid() != self._pid:  # a fork of the kernel has this object, too
            return
        self._closing.append(1)
        with self._lock, _deferred() as interrupts:
            if self._pids:
                self._end_above(0, interrupts)  # each process is waited for by one of ours
                self._pids.clear()
            self._copy.end(INTERRUPTED_S if interrupts else REAP_S)
            self._ends.close()

    def _begin(self, life: _ChainLife, theirs: socket.socket, make: Any) -> None:
        """Fork the root copy, and receive its questions."""
        with theirs:
            self._copy.begin(life, make)
        self._socket.settimeout(_BEGIN_S)
        report, descriptors, _, _ = socket.recv_fds(self._socket, MAX_BYTES, 1)
        if not descriptors:
            self._refused = seen_of("reported", report, 0, 0)
            return
        self._listener = descriptors[0]
        self._ends.callback(os.close, self._listener)
        self._socket.settimeout(0)
        self._poll = select.poll()
        for one in (self._socket.fileno(), self._listener):
            self._poll.register(one, select.POLLIN)
        self._pids = [self._copy.pid]

    def _step(
        self,
        cells: Sequence[str],
        timeout_s: float,
        tick: Callable[[], None] | None,
        interrupts: Sequence[int],
    ) -> Seen:
        """Run cells in a fork of the newest process. If they run, the fork is the newest one."""
        command = msgspec.json.encode(cells) + b"\n"
        if len(command) > _MAX_COMMAND:
            return untried("the cell is too long")
        stops = interrupts, self._closing
        below = self._pids[len(self._cells)]
        self._signal(len(self._cells), signal.SIGCONT)
        watch = Watch(_BEGIN_S, None, *stops)
        question = self._question_of(below, watch)
        if isinstance(question, int) and (reason := watch.reason(0, is_active=True)):
            self._answer(question, errno.EINTR)
            question = reason
        if question in ("interrupted", "memory"):
            return seen_of(question, b"", 0, 0)
        if isinstance(question, str):
            return untried(BROKEN)
        try:
            _limit_addresses(below)
            self._report.clear()
            self._socket.send(command)
            self._answer(question, flags=_CONTINUE)
            ending, status = self._wait(below, Watch(timeout_s, tick, *stops))
            seen = seen_of(ending, bytes(self._report[:-1]), status, timeout_s)
        except BaseException:
            self._end_above(len(self._cells), interrupts)
            raise
        if seen.runs:
            self._signal(len(self._cells), signal.SIGSTOP)
            self._signal(len(self._cells) + 1, signal.SIGSTOP)
        else:
            self._end_above(len(self._cells), interrupts)
        return seen

    def _wait(self, below: int, watch: Watch) -> tuple[Ending, int]:
        """Return how a step ended, and its exit status."""
        while True:
            request = self._next_question(watch, below)
            if isinstance(request, str):
                return request, -signal.SIGKILL
            question, thread = request
            if thread == below and not self._report and not _children(below):
                self._answer(question, flags=_CONTINUE)  # a signal interrupted the permitted fork
                continue
            if thread == below:
                self._answer(question, errno.EINTR)
                return "ended", _exit_status(bytes(self._report))
            if self._report.endswith(b"\n") and thread in _children(below):
                self._pids.append(thread)
                self._answer(question, errno.EINTR)
                return "reported", 0
            self._answer(question, errno.EPERM)  # the cell's own code wants to fork

    def _question_of(self, pid: int, watch: Watch) -> int | Ending:
        """Return a process's question about its next fork, or the reason to stop waiting."""
        self._report.clear()  # it may have the rest of a process that was ended
        while True:
            request = self._next_question(watch)
            if isinstance(request, str):
                return request
            if request[1] == pid:
                return request[0]
            self._answer(request[0], errno.EPERM)

    def _next_question(self, watch: Watch, below: int = 0) -> tuple[int, int] | Ending:
        """Return the next question about a fork and who asks; or why not to wait for one."""
        while True:
            ready = [one for one, _ in self._poll.poll(PERIOD_S * 1000)]
            request = self._received_question() if self._listener in ready else None
            with contextlib.suppress(BlockingIOError):
                while len(self._report) <= MAX_BYTES and (piece := self._socket.recv(65536)):
                    self._report += piece
            if request is not None:
                return request
            if len(self._report) > MAX_BYTES or self._copy.await_end(0):
                return "ended"
            newest = _children(below)[-1:] if below else []
            if reason := watch.reason(*newest or [0], is_active=bool(ready)):
                return reason

    def _received_question(self) -> tuple[int, int] | None:
        """Return a question about a fork. Answer one about a signal, allowed to itself only."""
        data = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, data)
        except OSError:  # it was withdrawn
            return None
        question, thread, _, call, _, _, target = _QUESTION.unpack(data)
        if call == DEPENDS["clone"]:
            return question, thread
        is_own = Path(f"/proc/{target}/task/{thread}").exists()
        self._answer(question, *((0, _CONTINUE) if is_own else (errno.EPERM,)))
        return None

    def _answer(self, question: int, error: int = 0, flags: int = 0) -> None:
        with contextlib.suppress(OSError):  # who asks may be gone
            fcntl.ioctl(self._listener, _REPLY, struct.pack("=QqiI", question, 0, -error, flags))

    def _signal(self, step: int, number: int) -> None:
        """Send a signal to the process of a step, not to the root."""
        if step:
            _send_signal(self._pids[step], self._pids[step - 1], number)

    def _end_above(self, step: int, interrupts: Sequence[int]) -> None:
        """End the processes above a step's, and wait until its process has reaped them."""
        kept = self._pids[step]
        above = [(kept, child) for child in _children(kept)]
        for _, pid in above:
            above += [(pid, child) for child in _children(pid)]
        for parent, pid in reversed(above):
            _send_signal(pid, parent, signal.SIGKILL)
        del self._pids[step + 1 :]
        self._signal(step, signal.SIGCONT)
        patience = Watch(INTERRUPTED_S if interrupts else REAP_S, None, spare=0)
        question = self._question_of(kept, patience)
        if isinstance(question, int):
            self._answer(question, errno.EINTR)
            self._signal(step, signal.SIGSTOP)


class _ChainLife(Life):
    """The life of the processes of a chain."""

    def __init__(self, stage: Stage, owner: socket.socket, *, loses_polars: bool) -> None:
        super().__init__(stage, owner.fileno(), _MOST_S)
        self._owner, self._loses_polars = owner, loses_polars
        self._num_cells = itertools.count()

    def _seal(self) -> None:
        prctl(_ADOPT_ORPHANS, 1)
        seal_this_process(self._owner)

    def _work(self) -> None:
        gc.freeze()  # so that no collection writes to the memory that all steps share
        gc.enable()
        while True:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            parent = os.getpid()
            if child := self._fork():
                self._await_child(child)
                continue
            die_with(parent)
            detach_files()
            cells = self._command()
            signal.pthread_sigmask(signal.SIG_SETMASK, self.signals)
            seen = self._run(cells)
            has_threads = threading.active_count() > 1 or has_polars_threads()
            self._send(replace(seen, leaves_threads=has_threads))

    def _fork(self) -> int:
        """Fork once the notebook's process allows it."""
        with quiet_fork():
            while True:
                with contextlib.suppress(InterruptedError):  # the kernel says "not yet"
                    return posix.fork()

    def _await_child(self, child: int) -> None:
        """Wait for all child processes, in the root also orphans; report the status of `child`."""
        status = 0
        with contextlib.suppress(ChildProcessError):
            while True:
                ended, code = os.wait()
                status = code if ended == child else status
        poll = select.poll()
        poll.register(self._writing, select.POLLIN)
        while poll.poll(0) and os.read(self._writing, _MAX_COMMAND):
            pass  # a command that it did not read
        os.write(self._writing, b"\n%d\n" % status)

    def _command(self) -> list[str]:
        data = b""
        while not data.endswith(b"\n"):
            data += os.read(self._writing, _MAX_COMMAND) or b"\n"
        return msgspec.json.decode(data, type=list[str])

    def _run(self, cells: Sequence[str]) -> Seen:
        """Run the last cell, after those that are repeated in this process."""
        for place, source in enumerate(cells, 1):
            units = [unit_of(source, next(self._num_cells))]
            namespace = self._stage.namespace
            reason = why_untried(units, namespace, loses_polars=self._loses_polars)
            seen = untried(reason) if reason else DraftRun(self._stage, units).work()
            if not seen.runs and place < len(cells):
                return untried("an earlier cell, which was repeated, does not run")
        return seen


def _deferred() -> contextlib.AbstractContextManager[list[int]]:
    """Defer interrupts of the main thread."""
    return deferred_signals(INTERRUPTS if is_main_thread() else ())


def _children(pid: int) -> list[int]:
    """Return the child processes of a process's first thread, the newest last."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    return [*map(int, children.split())]


def _exit_status(report: bytes) -> int:
    """Return the status at the end of a report, which is as trustworthy as its code."""
    try:
        return os.waitstatus_to_exitcode(int(report.split()[-1][:9]))
    except (ValueError, IndexError, OverflowError):
        return -signal.SIGKILL


def _send_signal(pid: int, parent: int, number: int) -> None:
    """Send a signal to a process if it still exists: another may have its number by now."""
    if pid in _children(parent):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _limit_addresses(pid: int) -> None:
    """Bound the addresses of a process's next fork by the memory that is free now."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[0])
        room = pages * resource.getpagesize() + free_room()
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        most = room if hard == resource.RLIM_INFINITY else min(room, hard)
        resource.prlimit(pid, resource.RLIMIT_AS, (most, hard))
