"""Forks a copy of this process, seals it, lets it work, and waits for its end.

The copy is sealed before it does anything, and it is dead when `work_in_copy` returns.
"""

from __future__ import annotations

import contextlib
import gc
import os
import posix
import random
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from jupyter_llm.models.machine import free_memory
from jupyter_llm.notebook.sealed.detached import detach
from jupyter_llm.notebook.sealed.first_step import first_step
from jupyter_llm.notebook.sealed.refusals import END_KERNEL
from jupyter_llm.notebook.sealed.seal import seal_this_process
from jupyter_llm.notebook.sealed.seen import Seen, untried
from jupyter_llm.notebook.sealed.syscalls import DIE_WITH_PARENT, HARMLESS, prctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

    from jupyter_llm.notebook.sealed.detached import Mapping
    from jupyter_llm.notebook.sealed.running import DraftRun, Stage

MAX_BYTES = 1 << 20  # of a copy's report
_MAX_TEXT = 220
PERIOD_S = 0.05
_MAX_STILL = 10  # periods without activity
# Longest waits until a copy's memory is released.
REAP_S, INTERRUPTED_S, _GRACE_S = 2.0, 0.15, 0.2
# Calls that may wait for ever: for a lock, a queue or an event.
_WAITS = [HARMLESS.get(name) for name in ("futex", "epoll_wait", "epoll_pwait")]
_LIMIT = 4  # index of the timeout argument, the same for all of them
_NO_LIMIT = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # a null pointer, or -1
_LEAST_ROOM, _ROOM_OF_A_THREAD = 2 << 30, 80 << 20
INTERRUPTS = (signal.SIGTERM, signal.SIGINT)
_SPARE = 256 << 20  # bytes to remain free for other programs

Ending = Literal["reported", "ended", "interrupted", "timeout", "stuck", "memory"]
_REASONS = {
    "stuck": "it waits for something that is not in the copy",
    "interrupted": "it was interrupted",
    "memory": "it would take more memory than is free",
}


def work_in_copy(
    stage: Stage,
    run: DraftRun,
    *,
    timeout_s: float,
    tick: Callable[[], None] | None = None,
    make: Callable[[Callable[[], None]], None] | None = None,
) -> Seen:
    """Return the result of a run in a sealed copy.

    In the main thread, an interrupt ends the copy at once. In another thread, `make` has to call
    its argument, which forks, in the main thread; the main thread does not wait for the copy's end.
    """
    with (
        contextlib.ExitStack() as ends,
        deferred_signals(() if make else INTERRUPTS) as interrupts,
    ):
        copy = Copy(interrupts)
        try:
            try:
                reading, writing = os.pipe()
                ends.callback(os.close, reading)
                with os.fdopen(writing, "wb", buffering=0):
                    copy.begin(TryLife(stage, writing, timeout_s, run), make)
            except OSError as error:
                return untried(f"no copy could be made ({error.strerror})")
            watch = Watch(timeout_s, tick, interrupts)
            ending, report = _wait(copy, reading, watch)
            if ending == "ended":
                copy.await_end(_GRACE_S, 0)  # to learn the exit status
            return seen_of(ending, report, copy.end(), timeout_s)
        finally:
            copy.end(INTERRUPTED_S)


def seen_of(ending: Ending, report: bytes, status: int, timeout_s: float) -> Seen:
    """Return the result of a copy that ended; its report is as trustworthy as its code."""
    if ending == "timeout":
        return Seen(outcome="running", text=f"still running after {timeout_s:g} s")
    if ending in _REASONS:
        return untried(_REASONS[ending], is_deadly=ending == "memory")
    if ending == "ended" and status < 0:
        return untried(f"the copy ended ({_signal_name(-status)})", is_deadly=True)
    if ending == "ended":
        return untried(f"it would {END_KERNEL}", is_deadly=True)
    try:
        return msgspec.json.decode(report, type=Seen)
    except (msgspec.MsgspecError, RecursionError):
        return untried("the copy's report is invalid")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def free_room() -> int:
    """Return the bytes that a copy may allocate: twice ours, but at most half of the free memory.

    Only the address space can be bounded, and each thread reserves some that it does not use.
    """
    import psutil

    resident = int(psutil.Process().memory_info().rss)
    half = max(free_memory().ram_bytes - _SPARE, 0) // 2
    return min(half, 2 * resident + _LEAST_ROOM) + (os.cpu_count() or 1) * _ROOM_OF_A_THREAD


def _fork(copy: Copy, life: Life) -> None:
    """Fork the process of a copy, which begins its life."""
    collects = gc.isenabled()
    gc.disable()  # no finalizer may run in the copy before it is sealed
    try:
        with quiet_fork(), first_step(life.begin):
            copy.pid = posix.fork()  # debuggers replace os.fork
    finally:
        if collects and copy.pid:
            gc.enable()


@contextlib.contextmanager
def quiet_fork() -> Iterator[None]:
    """Let a fork cause no warning, and keep the state of `random` in the child.

    Python warns about locks of other threads. If a copy waits for a lock, the time limit ends it.
    """
    parent, state = os.getpid(), random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if os.getpid() != parent:  # Python has seeded them anew
        random.setstate(state)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[Iterable[int]]:
    """Block all signals: none may reach a handler of the user's in a copy before it is sealed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # After blocking, Python calls the handlers of signals that came before, which may raise.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def deferred_signals(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Collect signals that Python would handle, and raise them at the end.

    If a cell awaits, the kernel stops it in another way, which raises nothing here.
    """
    deferred: list[int] = []
    handlers = {number: signal.getsignal(number) for number in numbers}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}

    def note(number: int, _frame: FrameType | None) -> None:
        deferred.append(number)

    try:
        for number in ours:
            signal.signal(number, note)
        yield deferred
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for got in dict.fromkeys(deferred):
            signal.raise_signal(got)


class Watch:
    """The reasons to end a running copy. Once one of `stops` is not empty, it is interrupted."""

    def __init__(
        self,
        timeout_s: float,
        tick: Callable[[], None] | None,
        *stops: Sequence[int],
        spare: int = _SPARE,
    ) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._tick, self._stops, self._spare = tick, stops, spare
        self._num_still = 0

    def reason(self, pid: int, *, is_active: bool) -> Ending | None:
        """Return the reason to end process `pid`; call it once a period."""
        if any(self._stops):
            return "interrupted"
        is_over = time.monotonic() > self._deadline
        # A thread that was woken is not stuck, though it may not run yet.
        self._num_still = self._num_still + 1 if not is_active and _is_stuck(pid) else 0
        if self._num_still > (0 if is_over else _MAX_STILL):
            return "stuck"
        if is_over:
            return "timeout"
        if free_memory().ram_bytes < self._spare:
            return "memory"
        if self._tick is not None:
            self._tick()
        return None


def _wait(copy: Copy, reading: int, watch: Watch) -> tuple[Ending, bytes]:
    """Return how a copy ended or why it has to be ended, and its report."""
    report = bytearray()
    poll = select.poll()  # `select` takes no descriptor above 1023
    poll.register(reading, select.POLLIN)
    while True:
        has_ended = copy.await_end(0)
        is_ready = poll.poll(PERIOD_S * 1000)
        piece = os.read(reading, 65536) if is_ready else b""
        report += piece
        if len(report) > MAX_BYTES:
            return "ended", b""
        # Another process of the user's may keep the pipe open, so it never ends.
        if not piece and (is_ready or has_ended):
            return ("reported", bytes(report)) if report else ("ended", b"")
        if reason := watch.reason(copy.pid, is_active=bool(is_ready)):
            return reason, b""


class Copy:
    """The process of a copy. After an interrupt, waiting for its end is short."""

    def __init__(self, interrupts: Sequence[int]) -> None:
        self.pid = -1  # not forked yet
        self._interrupts = interrupts
        self._status: int | None = None

    def begin(self, life: Life, make: Callable[[Callable[[], None]], None] | None) -> None:
        """Fork the process; see `work_in_copy` for `make`."""

        def begin() -> None:
            # The user's signal handlers could raise or fork before the pid is stored.
            with deferred_signals(signal.valid_signals()), _blocked_signals() as life.signals:
                _fork(self, life)
                if self.pid == 0:
                    life.run()

        tempfile.gettempdir()  # found by writing a file, which the copy cannot
        make(begin) if make else begin()

    def await_end(self, wait_s: float, interrupted_s: float = INTERRUPTED_S) -> bool:
        """Wait until the process is gone; return whether it is."""
        deadline = time.monotonic() + wait_s
        while self.pid > 0 and self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # other code waits for all children
                pid, status = self.pid, 0
            if self._interrupts:
                deadline = min(deadline, time.monotonic() + interrupted_s)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return False
            else:
                time.sleep(0.001)
        return True

    def end(self, wait_s: float = REAP_S) -> int:
        """End the process if it still runs, and return its exit status."""
        if not self.await_end(0):
            # Its pid is not reused before it was waited for.
            os.kill(self.pid, signal.SIGKILL)
            if not self.await_end(wait_s):
                self._status = -signal.SIGKILL
                threading.Thread(target=_reap, args=(self.pid,), daemon=True).start()
        return self._status or 0


def _reap(pid: int) -> None:
    """Wait for a copy whose memory takes long to be released."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class Life:
    """The life of a copy; an error in it is reported and ends it."""

    signals: Iterable[int]  # blocked ones, in the process that forks it

    def __init__(self, stage: Stage, writing: int, timeout_s: float) -> None:
        self._stage, self._writing, self._timeout_s = stage, writing, timeout_s
        self._room = free_room()
        self._parent = os.getpid()
        self._shared: list[Mapping] = []
        self._is_sealed = False

    def begin(self) -> None:
        """Become a sealed copy."""
        with self._reporting():
            _be_calm()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            die_with(self._parent)
            os.setsid()
            self._shared = detach(self._writing)
            self._stage.prepare()
            _limit(self._timeout_s, self._room)
            self._seal()
            self._is_sealed = True

    def _seal(self) -> None:
        seal_this_process()

    def run(self) -> None:
        """Do the work; never returns."""
        with self._reporting():
            if not self._is_sealed:
                raise RuntimeError("the copy is not sealed")
            signal.pthread_sigmask(signal.SIG_SETMASK, self.signals)
            self._stage.begin(self._shared)
            self._work()
            os._exit(0)

    def _work(self) -> None:
        raise NotImplementedError

    def _send(self, seen: Seen) -> None:
        rest = memoryview(msgspec.json.encode(seen) + b"\n")
        while rest:
            rest = rest[os.write(self._writing, rest) :]

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001 the copy must not return to the caller's code
            with contextlib.suppress(BaseException):
                self._send(untried(str(error).encode("utf-8", "replace").decode()[:_MAX_TEXT]))
            os._exit(1)


class TryLife(Life):
    """The life of a copy for one run."""

    def __init__(self, stage: Stage, writing: int, timeout_s: float, run: DraftRun) -> None:
        super().__init__(stage, writing, timeout_s)
        self._run = run

    def _work(self) -> None:
        self._send(self._run.work())


def die_with(parent: int) -> None:
    """Let this process end when its parent does."""
    prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _be_calm() -> None:
    """Stop everything that observes this process."""
    import faulthandler

    gc.disable()
    sys.settrace(None)
    sys.setprofile(None)
    faulthandler.disable()
    sys.unraisablehook = lambda _unraisable: None
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def _limit(timeout_s: float, room: int) -> None:
    """Limit the copy's resources, in case its parent dies."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:  # noqa: PTH123
        f.write("1000")
    seconds = int(timeout_s * (os.cpu_count() or 1)) + 1
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 the fastest way
        addresses = int(file.read().split()[0]) * resource.getpagesize()
    bounds = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: addresses + room,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        _, hard = resource.getrlimit(kind)
        least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        # A sealed copy cannot raise its limits; a chain's owner raises the one of addresses.
        resource.setrlimit(kind, (least, hard if kind == resource.RLIMIT_AS else least))


def _is_stuck(pid: int) -> bool:
    """Whether all threads of an isolated process wait without a time limit."""
    # Twice: one thread may wake another in between, and then wait itself.
    return _waits_for_ever(pid) and _waits_for_ever(pid)


def _waits_for_ever(pid: int) -> bool:
    try:
        calls = [
            (task / "syscall").read_text("ascii").split()
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:  # it has ended, or the system hides it
        return False
    return all(
        len(call) > _LIMIT and int(call[0]) in _WAITS and int(call[_LIMIT], 16) in _NO_LIMIT
        for call in calls
    )
