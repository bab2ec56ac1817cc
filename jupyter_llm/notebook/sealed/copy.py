"""A forked copy of this process that works on something, and its parent that waits for the end.

The copy is sealed before it does anything. Whatever comes of it, it is gone when `work_in_copy`
returns.
"""

from __future__ import annotations

import contextlib
import gc
import os
import posix
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import warnings
from typing import TYPE_CHECKING, Literal

import msgspec

from jupyter_llm.models.machine import free_memory
from jupyter_llm.notebook.sealed.detached import detach
from jupyter_llm.notebook.sealed.first_step import first_step
from jupyter_llm.notebook.sealed.refusals import END_KERNEL
from jupyter_llm.notebook.sealed.seal import seal_this_process
from jupyter_llm.notebook.sealed.seen import Seen, untried
from jupyter_llm.notebook.sealed.standstill import stands_still
from jupyter_llm.notebook.sealed.syscalls import prctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

    from jupyter_llm.notebook.sealed.detached import Mapping
    from jupyter_llm.notebook.sealed.running import Run

_MAX_BYTES = 1 << 20  # of what a copy says
_MAX_TEXT = 220
_PERIOD_S = 0.05
_MAX_STILL = 10  # periods in which nothing goes on
# How long is waited for the memory of a copy to be given back.
_REAP_S, _INTERRUPTED_S, _GRACE_S = 2.0, 0.15, 0.2
_LEAST_ROOM, _ROOM_OF_A_THREAD = 2 << 30, 80 << 20
_DIE_WITH_PARENT = 1
_INTERRUPTS = (signal.SIGTERM, signal.SIGINT)
_SPARE = 256 << 20  # bytes that stay free for everybody else

How = Literal["said", "ended", "interrupted", "timeout", "stuck", "memory"]
_REASONS = {
    "stuck": "it waits for something that is not in the copy",
    "interrupted": "it was interrupted",
    "memory": "it would take more memory than is free",
}


def work_in_copy(
    work: Run,
    *,
    timeout_s: float,
    tick: Callable[[], None] | None = None,
    make: Callable[[Callable[[], None]], None] | None = None,
) -> Seen:
    """What is seen of some work in a sealed copy, as far as it ends in time.

    In the main thread an interrupt ends the copy at once. Elsewhere `make` has it made there, and
    nobody there waits for its end.
    """
    room = _room()
    tempfile.gettempdir()  # found by writing, so the copy could not
    with contextlib.ExitStack() as ends, _noted(() if make else _INTERRUPTS) as interrupts:
        copy = _Copy(interrupts)

        def begin() -> None:
            # What the user has for others could raise, or fork, before there is a number.
            with _noted(signal.valid_signals()), _held_signals() as held:
                life = _Life(work, writing, timeout_s, room, held)
                _fork(copy, life)
                if copy.pid == 0:
                    life.go_on()

        try:
            try:
                reading, writing = os.pipe()
                ends.callback(os.close, reading)
                with os.fdopen(writing, "wb", buffering=0):
                    make(begin) if make else begin()
            except OSError as error:
                return untried(f"no copy could be made ({error.strerror})")
            how, said = _wait(copy, reading, timeout_s, tick, interrupts)
            if how == "ended":
                copy.await_end(_GRACE_S, 0)  # to see by itself what it ends with
            return _seen(how, said, copy.end(), timeout_s)
        finally:
            copy.end(_INTERRUPTED_S)


def _seen(how: How, said: bytes, status: int, timeout_s: float) -> Seen:
    """What is seen of a copy that ended; what it says is as true as its code."""
    if how == "timeout":
        return Seen(outcome="running", text=f"still running after {timeout_s:g} s")
    if how in _REASONS:
        return untried(_REASONS[how], is_deadly=how == "memory")
    if how == "ended" and status < 0:
        return untried(f"the copy ended ({_signal_name(-status)})", is_deadly=True)
    if how == "ended":
        return untried(f"it would {END_KERNEL}", is_deadly=True)
    try:
        return msgspec.json.decode(said, type=Seen)
    except (msgspec.MsgspecError, RecursionError):
        return untried("what the copy says makes no sense")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _room() -> int:
    """How many bytes a copy may take: what we hold twice, but no more than half of what is free.

    Only addresses can be bounded, and of those each thread takes some that it does not use.
    """
    import psutil

    held = int(psutil.Process().memory_info().rss)
    half = max(free_memory().ram_bytes - _SPARE, 0) // 2
    return min(half, 2 * held + _LEAST_ROOM) + (os.cpu_count() or 1) * _ROOM_OF_A_THREAD


def _fork(copy: _Copy, life: _Life) -> None:
    """Make the process of a copy, which begins its life."""
    collects = gc.isenabled()
    gc.disable()  # nothing may be finalized in the copy before it is sealed
    try:
        with warnings.catch_warnings():
            # Python warns of locks that other threads hold: the copy then runs into its limit.
            warnings.simplefilter("ignore")
            with first_step(life.begin):
                copy.pid = posix.fork()  # a debugger has something of its own in os.fork's place
    finally:
        if collects and copy.pid:
            gc.enable()


@contextlib.contextmanager
def _held_signals() -> Iterator[Iterable[int]]:
    """Hold all signals: none may reach what the user has for it in a copy that is not sealed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Once they are held, Python calls the handlers of those that came, which may raise.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _noted(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Note signals that Python would handle, and let them have their effect at the end.

    Where a cell awaits, the kernel has a way of its own to stop it, which raises nothing here.
    """
    noted: list[int] = []
    handlers = {number: signal.getsignal(number) for number in numbers}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)

    try:
        for number in ours:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for got in dict.fromkeys(noted):
            signal.raise_signal(got)


def _wait(
    copy: _Copy,
    reading: int,
    timeout_s: float,
    tick: Callable[[], None] | None,
    interrupts: list[int],
) -> tuple[How, bytes]:
    """What a copy says, when it has said all or has to be ended."""
    deadline = time.monotonic() + timeout_s
    said = bytearray()
    poll = select.poll()  # `select` takes no descriptor above 1023
    poll.register(reading, select.POLLIN)
    num_still = 0
    while True:
        has_ended = copy.await_end(0)
        is_ready = poll.poll(_PERIOD_S * 1000)
        piece = os.read(reading, 65536) if is_ready else b""
        said += piece
        if interrupts:
            return "interrupted", b""
        if len(said) > _MAX_BYTES:
            return "ended", b""
        # Another process of the user's may hold the pipe, which then has no end.
        if not piece and (is_ready or has_ended):
            return ("said", bytes(said)) if said else ("ended", b"")
        is_over = time.monotonic() > deadline
        # What was woken stands still no more, though it may not run yet.
        num_still = num_still + 1 if not is_ready and stands_still(copy.pid) else 0
        if num_still > (0 if is_over else _MAX_STILL):
            return "stuck", b""
        if is_over:
            return "timeout", b""
        if free_memory().ram_bytes < _SPARE:
            return "memory", b""
        if tick is not None:
            tick()


class _Copy:
    """The process of a copy, for which nobody waits long who was interrupted."""

    def __init__(self, interrupts: Sequence[int]) -> None:
        self.pid = -1  # there is none yet
        self._interrupts = interrupts
        self._status: int | None = None

    def await_end(self, wait_s: float, interrupted_s: float = _INTERRUPTED_S) -> bool:
        """Wait until it is gone, which it may not be after this time."""
        deadline = time.monotonic() + wait_s
        while self.pid > 0 and self._status is None:
            try:
                found, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody waits for whatever ends
                found, status = self.pid, 0
            if self._interrupts:
                deadline = min(deadline, time.monotonic() + interrupted_s)
            if found:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return False
            else:
                time.sleep(0.001)
        return True

    def end(self, wait_s: float = _REAP_S) -> int:
        """End it, if it has not, and tell what it ended with."""
        if not self.await_end(0):
            # Its number is nobody else's before it was waited for.
            os.kill(self.pid, signal.SIGKILL)
            if not self.await_end(wait_s):
                self._status = -signal.SIGKILL
                threading.Thread(target=_reap, args=(self.pid,), daemon=True).start()
        return self._status or 0


def _reap(pid: int) -> None:
    """Take what is left of a copy whose memory takes long to be given back."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class _Life:
    """The life of a copy. What goes wrong in it is said, and is its end."""

    def __init__(
        self, work: Run, writing: int, timeout_s: float, room: int, held: Iterable[int]
    ) -> None:
        self._work, self._writing = work, writing
        self._timeout_s, self._room, self._held = timeout_s, room, held
        self._parent = os.getpid()
        self._shared: list[Mapping] = []
        self._is_sealed = False

    def begin(self) -> None:
        """Become a sealed copy."""
        with self._said_to_the_end():
            _be_calm()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            prctl(_DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() != self._parent:
                os._exit(1)
            os.setsid()
            self._shared = detach(self._writing)
            self._work.prepare()
            _limit(self._timeout_s, self._room)
            seal_this_process()
            self._is_sealed = True

    def go_on(self) -> None:
        """Work; never returns."""
        with self._said_to_the_end():
            if not self._is_sealed:
                raise RuntimeError("the copy is not sealed")
            signal.pthread_sigmask(signal.SIG_SETMASK, self._held)
            self._say(self._work.work(self._shared))
            os._exit(0)

    def _say(self, seen: Seen) -> None:
        said = memoryview(msgspec.json.encode(seen))
        while said:
            said = said[os.write(self._writing, said) :]

    @contextlib.contextmanager
    def _said_to_the_end(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001  nothing may go on in what called us
            with contextlib.suppress(BaseException):
                self._say(untried(str(error).encode("utf-8", "replace").decode()[:_MAX_TEXT]))
            os._exit(1)


def _be_calm() -> None:
    """Stop what watches this process."""
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
    """Bound what the copy may take, should its parent not be there to see."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:  # noqa: PTH123
        f.write("1000")
    seconds = int(timeout_s * (os.cpu_count() or 1)) + 1
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  as fast as it gets
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
        resource.setrlimit(kind, (least, least))
