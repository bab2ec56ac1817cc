"""An interrupt while code is tried."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest
from support.processes import started
from support.seal import needs_seal
from support.waiting import until

from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = [needs_seal, pytest.mark.slow]

TRYING = """
import psutil, signal
from jupyter_llm.notebook.sealed.trying import try_code
signal.signal(signal.SIGINT, signal.default_int_handler)
is_told = []
def tick():
    if not is_told:
        print("trying", flush=True)
    is_told.append(1)
try:
    try_code([CODE], {}, timeout_s=100, tick=tick)
except KeyboardInterrupt:
    print("interrupted", len(psutil.Process().children()), flush=True)
seen = try_code(["6 * 7"], {}, timeout_s=50)
print(seen.result or seen, signal.getsignal(signal.SIGINT).__name__)
"""
IGNORING = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"


@pytest.mark.parametrize("code", ["while True: pass", "sum(range(10 ** 12))", IGNORING])
def test_an_interrupt_ends_the_try_and_arrives(code: str) -> None:
    with started(TRYING.replace("CODE", repr(code))) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "trying\n"
        process.send_signal(signal.SIGINT)
        said = process.stdout.readline()
        assert said == "interrupted 0\n", process.communicate()
        assert process.stdout.readline() == "42 default_int_handler\n"
        assert process.wait(30) == 0


def test_a_parent_that_is_killed_leaves_no_copy() -> None:
    code = TRYING.replace('print("trying"', "print(psutil.Process().children()[0].pid")
    with started(code.replace("CODE", "'while True: pass'")) as process:
        assert process.stdout is not None
        copy = int(process.stdout.readline())
        process.kill()
        process.wait()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(copy).wait(30)
        assert not psutil.pid_exists(copy)


SIGNALLED = """
import os, signal, sys
from jupyter_llm.notebook.sealed.trying import try_code
heard, say = os.pipe()
os.set_blocking(heard, False)
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.write(say, b"a copy was told"))
    os.register_at_fork(after_in_child=lambda number=number: os.kill(os.getpid(), number))
print(try_code(["6 * 7"], {}, timeout_s=50).result)
try:
    print(os.read(heard, 100))
except BlockingIOError:
    print("nobody was told")
"""


def test_a_signal_to_a_copy_that_is_not_sealed_reaches_no_handler() -> None:
    with started(SIGNALLED) as process:
        assert process.communicate(timeout=60) == ("42\nnobody was told\n", "")


def test_a_copy_that_takes_long_to_go_holds_up_no_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited_s = 0.0

    def not_yet(pid: int, options: int) -> tuple[int, int]:
        return (0, 0) if options & os.WNOHANG else os.waitpid(pid, options)

    def sleep(seconds: float) -> None:
        nonlocal waited_s
        waited_s += seconds
        signal.raise_signal(signal.SIGINT)

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: waited_s)
    monkeypatch.setattr(copy, "time", clock)
    monkeypatch.setattr(copy, "os", SimpleNamespace(**{**vars(os), "waitpid": not_yet}))
    before = psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        try_code(["6 * 7"], {})
    monkeypatch.undo()
    assert waited_s < 0.3
    until(lambda: psutil.Process().children() == before)


OWN_WAY = TRYING.replace("signal.default_int_handler", "lambda *_: print('told', flush=True)", 1)


def test_a_try_ends_where_an_interrupt_raises_nothing() -> None:
    code = OWN_WAY.replace("try_code([CODE]", "seen = try_code(['while True: pass']")
    with started(code.replace("except", "    print(seen.text)\nexcept")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "trying\n"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=50)[0]
        assert said == "told\nnot tried: it was interrupted\n42 <lambda>\n"


TERMINATED = """
import posix, psutil, signal
from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.trying import try_code
fork = posix.fork
def fork_and_signal():
    if pid := fork():
        signal.raise_signal(signal.SIGTERM)
    return pid
def end(*_):
    raise SystemExit(len(psutil.Process().children()))
signal.signal(signal.SIGTERM, end)
posix.fork = fork_and_signal
try_code(["while True: pass"], {})
"""


def test_a_signal_while_a_copy_is_made_leaves_none() -> None:
    with started(TERMINATED) as process:
        assert process.wait(60) == 0


RAISED = """
import os, posix, psutil, signal, threading
from jupyter_llm.notebook.sealed.trying import try_code
class Told(Exception):
    pass
def tell(*_):
    raise Told
signal.signal(signal.SIGUSR1, tell)
heard, say = os.pipe()
os.set_blocking(say, False)
signal.set_wakeup_fd(say)
# All signals are held here: another thread takes it.
threading.Thread(target=threading.Event().wait, daemon=True).start()
fork = posix.fork
def fork_and_signal():
    if pid := fork():
        os.kill(os.getpid(), signal.SIGUSR1)
        os.read(heard, 1)
    return pid
posix.fork = fork_and_signal
try:
    try_code(["while True: pass"], {}, timeout_s=100)
except Told:
    left = psutil.wait_procs(psutil.Process().children(), timeout=10)[1]
    print(len(left), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_handler_that_raises_while_a_copy_is_made_leaves_none() -> None:
    with started(RAISED) as process:
        assert process.communicate(timeout=60) == ("0 set()\n", "")


def test_signals_that_are_held_are_let_go_whatever_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = signal.pthread_sigmask
    before = mask(signal.SIG_BLOCK, ())

    def told(how: int, numbers: set[int]) -> set[int | signal.Signals]:
        held = mask(how, numbers)
        if how == signal.SIG_BLOCK and numbers:
            raise KeyboardInterrupt
        return held

    monkeypatch.setattr(
        copy, "signal", SimpleNamespace(**{**vars(signal), "pthread_sigmask": told})
    )
    with pytest.raises(KeyboardInterrupt):
        try_code(["6 * 7"], {})
    assert mask(signal.SIG_SETMASK, before) == before
