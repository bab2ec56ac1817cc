"""Cells in a chain of sealed copies: what each leaves for the next, and that nothing else stays."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.processes import run_python, started
from support.seal import needs_seal
from support.waiting import until

from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.hidden import Hidden
from jupyter_llm.notebook.sealed.refusals import Refusals

if TYPE_CHECKING:
    from jupyter_llm.notebook.sealed.chain import Chain  # only Linux has it
    from jupyter_llm.notebook.sealed.seen import Seen

pytestmark = [needs_seal, pytest.mark.slow]

TIMEOUT_S = 30.0


def made(**names: Any) -> Chain:
    from jupyter_llm.notebook.sealed.chain import Chain

    return Chain(names)


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A chain of two cells."""
    with made(x=1) as chain:
        assert ran(chain, "y = x + 1").names == ("y",)
        assert ran(chain, "z = [x, y]").names == ("z",)
        yield chain


def ran(chain: Chain, source: str) -> Seen:
    seen = chain.push(source, timeout_s=TIMEOUT_S)
    assert seen.runs, seen
    return seen


OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Note the processes of tests before, which do not count."""
    OTHERS.clear()
    OTHERS.update(psutil.pids())


def processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        if child.pid not in OTHERS:
            found.append(child)
            with suppress(psutil.NoSuchProcess):
                found += child.children(recursive=True)
    return found


def alive() -> list[psutil.Process]:
    found = []
    for process in processes():
        with suppress(psutil.NoSuchProcess):
            found += [process] * (process.status() != psutil.STATUS_ZOMBIE)
    return found


def test_a_cell_has_what_those_before_have_left_and_reports_only_its_own(chain: Chain) -> None:
    seen = ran(chain, "print('so')\nz.append(3)\nz")
    assert (seen.result, seen.printed, seen.names) == ("[1, 2, 3]", "so\n", ())
    assert "changes `z`" in seen.text
    seen = ran(chain, "z[0]")
    assert (seen.result, seen.printed, seen.changed) == ("1", "", ())


def test_figures_of_earlier_cells_are_not_counted_again(shell: InteractiveShell) -> None:
    from jupyter_llm.notebook.sealed.chain import Chain

    with Chain(shell.user_ns, shell=shell) as chain:
        code = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2])"
        assert ran(chain, code).num_figures == 1
        assert ran(chain, "axes.set_title('sales');").num_figures == 0
        assert ran(chain, "plt.figure()\nplt.plot([1])").num_figures == 1


FORGED = """
import os
said = next(int(n) for n in os.listdir('/proc/self/fd')
            if os.readlink(f'/proc/self/fd/{n}').startswith('socket:'))
os.write(said, b'{"outcome": "runs", "text": "forged"}\\n')
"""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("z.clear()\n1 / 0", "raises ZeroDivisionError: division by zero"),
        ("z.clear()\nopen('out.csv', 'w')", "not tried: it would write a file (out.csv)"),
        ("%pip install x", "not tried: it has a magic (%pip)"),
        ("import os\nz.clear()\nos._exit(0)", "not tried: it would end the kernel"),
        ("import os\nos.abort()", "not tried: the copy ended (SIGABRT)"),
        ("import os\nos.kill(os.getppid(), 9)", "not tried: it would send a signal"),
        ("z.clear()\nwhile True: pass", "still running after 0.5 s"),
        (f"{FORGED}while True: pass", "still running after 0.5 s"),
        (f"{FORGED}os._exit(0)", "not tried: it would end the kernel"),
        ("import ctypes\nctypes.string_at(0)", "not tried: the copy ended (SIGSEGV)"),
        ("x = '" + "x" * 200_000 + "'", "not tried: the cell is too long"),
    ],
)
def test_a_cell_that_does_not_run_leaves_the_chain_as_it_was(
    code: str, text: str, chain: Chain
) -> None:
    before = processes()
    timeout_s = 0.5 if text.startswith("still") else TIMEOUT_S
    assert chain.push(code, timeout_s=timeout_s).text == text
    assert (processes(), chain.depth) == (before, 2)
    assert ran(chain, "z").result == "[1, 2]"


def test_a_cell_that_waits_for_ever_is_not_waited_for(chain: Chain) -> None:
    code = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"
    text = "not tried: it waits for something that is not in the copy"
    assert chain.push(code, timeout_s=10_000).text == text
    assert ran(chain, "z").result == "[1, 2]"


def test_cells_are_undone_to_any_earlier_one(chain: Chain) -> None:
    for number in range(5):
        ran(chain, f"z.append({number})")
    chain.undo(4)
    assert (ran(chain, "z").result, chain.depth) == ("[1, 2, 0, 1]", 5)
    chain.undo(1)
    assert (chain.push("z").error_kind, ran(chain, "y").result) == ("NameError", "2")
    chain.undo(0)
    assert (ran(chain, "x").result, chain.depth, len(processes())) == ("1", 1, 2)


def test_the_kernels_variables_stay_as_they_are() -> None:
    items = [1]
    with made(items=items) as chain:
        ran(chain, "items.append(2)")
        items.append(3)
        assert ran(chain, "items").result == "[1, 2]"
    assert items == [1, 3]


def test_nothing_is_left_after_the_end() -> None:
    before, descriptors = processes(), psutil.Process().num_fds()
    with made() as chain:
        for number in range(20):
            ran(chain, f"x = {number}")
        assert len(processes()) == len(before) + 21
    assert (processes(), psutil.Process().num_fds()) == (before, descriptors)
    assert chain.push("1").text == "not tried: the chain is closed"


FORKS = """
import ctypes, os, threading
libc = ctypes.CDLL(None)
def fork():
    for _ in range(1000):
        libc.syscall(56, ctypes.c_long(0x01200011), *[ctypes.c_long(0)] * 4)
        libc.fork()
        libc.vfork()
        try: os.fork()
        except OSError: pass
"""


@pytest.mark.parametrize("code", ["fork()", "threading.Thread(target=fork).start()\nfork()"])
def test_a_fork_bomb_makes_no_process(code: str, chain: Chain) -> None:
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(processes()))

    before = processes()
    seen = chain.push(f"{FORKS}{code}", timeout_s=TIMEOUT_S, tick=look)
    assert seen.text == "not tried: it would start a process"
    assert (processes(), most <= len(before) + 1) == (before, True)


def test_code_that_forges_its_end_gets_one_process_a_push(chain: Chain) -> None:
    before = processes()
    bomb = "import ctypes\nlibc = ctypes.CDLL(None)\nwhile True: libc.fork()"
    assert chain.push(FORGED + bomb).text == "forged"
    for _ in range(3):
        assert not chain.push("1", timeout_s=0.2).runs
        until(lambda: len(alive()) == len(before) + 1)  # and zombies, which only the code can reap
    chain.undo(2)
    assert ran(chain, "z").result == "[1, 2]"
    chain.undo(2)
    until(lambda: processes() == before)  # the root reaps what the code did not


SIGNALS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
ours, below = os.getpid(), os.getppid()
[libc.kill(ctypes.c_long(pid), 0) for pid in (ours, below, 0, -1, -ours, (1 << 32) + below)], [
    libc.tgkill(pid, pid, 0) for pid in (ours, below)
]"""


def test_a_cell_sends_signals_to_itself_only(chain: Chain) -> None:
    assert ran(chain, SIGNALS).result == "([0, -1, -1, -1, -1, -1], [0, -1])"


def test_a_cell_cannot_outlive_its_parent_or_lift_its_limits(chain: Chain) -> None:
    code = """
import resource
limit = resource.getrlimit(resource.RLIMIT_AS)
try: resource.setrlimit(resource.RLIMIT_AS, (limit[1], limit[1]))
except (OSError, ValueError): pass
is_bound = limit == resource.getrlimit(resource.RLIMIT_AS)
is_bound, libc.prctl(1, 0, 0, 0, 0), libc.prctl(1, 9, 0, 0, 0)
"""
    assert ran(chain, f"{SIGNALS}\n{code}").result == "(True, -1, 0)"


def test_the_memory_of_all_cells_is_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def used() -> int:
        sizes = []
        for process in (psutil.Process(), *processes()):
            with suppress(psutil.Error):
                sizes.append(process.memory_full_info().pss)
        return sum(sizes)

    most = copy._SPARE + (200 << 20) + used()

    def free() -> SimpleNamespace:
        return SimpleNamespace(ram_bytes=most - used())

    monkeypatch.setattr(copy, "free_memory", free)
    with made(kept=[]) as chain:
        code = "kept.append(bytearray(b'x') * (40 << 20))"
        seen = [chain.push(code, timeout_s=TIMEOUT_S) for _ in range(7)]
        assert 0 < sum(one.runs for one in seen) < 7
        text = "not tried: it would take more memory than is free"
        assert {one.text for one in seen if not one.runs} == {text}
        chain.undo(1)
        assert ran(chain, "len(kept)").result == "1"


def test_addresses_are_limited_anew_for_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_llm.notebook.sealed import chain as module

    monkeypatch.setattr(module, "free_room", lambda: 1 << 30)
    with made(kept=[]) as chain:
        for _ in range(4):
            ran(chain, "kept.append(bytes(600 << 20))")  # never touched
        assert chain.push("bytes(1200 << 20)").text.endswith("memory than a try may")


def test_a_chain_has_one_audit_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[int] = []
    watch = Refusals.watch

    def counted(refusals: Refusals) -> None:
        hooks.append(1)
        watch(refusals)

    monkeypatch.setattr(Refusals, "watch", counted)
    with made(hooks=hooks) as chain:
        assert [ran(chain, "len(hooks)").result for _ in range(3)] == ["1", "1", "1"]
        assert chain.push("open('x', 'w')").outcome == "refused"


def test_garbage_is_collected_but_not_looked_for_in_what_the_kernel_has(chain: Chain) -> None:
    code = "import gc\ngc.isenabled(), gc.get_freeze_count() > 10_000"
    assert ran(chain, code).result == "(True, True)"


def test_reading_a_file_is_undone(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("onetwosix", encoding="utf-8")
    with (tmp_path / "in.txt").open("rb", buffering=0) as kernels, made(kernels=kernels) as chain:
        ran(chain, f"own = open({str(tmp_path / 'in.txt')!r}, 'rb', buffering=0)\nown.read(3)")
        for _ in range(2):
            assert ran(chain, "own.read(3), kernels.read(3)").result == "(b'two', b'one')"
            chain.undo(1)
        ran(chain, "own.read(3), kernels.read(3)")
        assert ran(chain, "own.read(3), kernels.read(3)").result == "(b'six', b'two')"
        assert kernels.tell() == 0


def test_random_numbers_go_on_as_in_one_process() -> None:
    random.seed(7)
    with made() as chain:
        codes = ("import random\n", "", "random.seed(3)\n", "")
        drawn = [ran(chain, f"{code}random.random()").result for code in codes]
    expected = [random.random() for _ in range(2)]  # noqa: S311
    random.seed(3)
    expected += [random.random() for _ in range(2)]  # noqa: S311
    assert drawn == [*map(repr, expected)]


THREAD = """
import queue, threading, time
got, stops = queue.Queue(), threading.Event()
def work():
    number = 0
    while not stops.wait(0.01):
        got.put(number := number + 1)
threading.Thread(target=work, daemon=True).start()
"""


def test_a_cell_that_leaves_threads_is_repeated_in_the_process_of_the_next(chain: Chain) -> None:
    assert ran(chain, THREAD).leaves_threads
    assert ran(chain, "first = got.get()\nfirst").result == "1"
    assert chain.push("1 / 0").outcome == "raises"
    assert ran(chain, "got.get() > first").result == "True"
    assert (chain.depth, len(processes())) == (5, 4)
    chain.undo(4)
    assert ran(chain, "got.get() > first").result == "True"
    chain.undo(2)
    assert (ran(chain, "z").result, chain.depth) == ("[1, 2]", 3)


def test_no_thread_of_a_cell_runs_between_two_cells(chain: Chain) -> None:
    code = "import threading\ndef work():\n    while True: pass\n"
    ran(chain, f"{code}threading.Thread(target=work, daemon=True).start()")
    steps = processes()[1:]
    until(lambda: {one.status() for one in steps} == {psutil.STATUS_STOPPED})


def test_what_is_hidden_is_hidden_in_every_cell(shell: InteractiveShell) -> None:
    from jupyter_llm.notebook.sealed.chain import Chain

    shell.run_cell("note = 'a note'", store_history=True)
    with Chain(shell.user_ns, shell=shell, hidden=Hidden(is_guest=True)) as chain:
        for _ in range(2):
            assert "note =" not in ran(chain, "[*map(str, In)], globals().get('_i')").result


def test_a_closed_chain_ends_the_push_of_another_thread(chain: Chain) -> None:
    with ThreadPoolExecutor(1) as pool:
        runs = threading.Event()
        seen = pool.submit(chain.push, "while True: pass", timeout_s=10_000, tick=runs.set)
        assert runs.wait(TIMEOUT_S)
        chain.close()
        assert seen.result().text == "not tried: it was interrupted"


def test_cells_are_pushed_and_undone_by_other_threads(chain: Chain) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ran, chain, "z").result().result == "[1, 2]"
        pool.submit(chain.undo, 1).result()
        assert pool.submit(ran, chain, "'z' in globals()").result().result == "False"
        alone = pool.submit(made).result()
    text = "not tried: code is only tried in the kernel's main thread"
    assert alone.push("1").text == text


def test_a_tick_that_raises_undoes_the_cell(chain: Chain) -> None:
    def give_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        chain.push("z.clear()\nwhile True: pass", timeout_s=10_000, tick=give_up)
    assert ran(chain, "z").result == "[1, 2]"


def test_a_forgotten_chain_is_closed() -> None:
    before = processes()
    ran(made(), "x = 1")
    assert processes() == before


INTERRUPTED = """
import os, psutil, random, signal, sys, threading
from jupyter_llm.notebook.sealed.chain import Chain
signal.signal(signal.SIGINT, signal.default_int_handler)
chance, before, num = random.Random(7), psutil.Process().num_fds(), 0
Chain({}).push("1")
for _ in range(50):
    timer = threading.Timer(chance.uniform(0, 0.15), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        with Chain({"x": 1}) as chain:
            for source in ("x += 1", "1 / 0", "x += 1", "while True: pass"):
                chain.push(source, timeout_s=1000)
    except KeyboardInterrupt:
        num += 1
    timer.join()
    left = psutil.Process().children(recursive=True)
    if left:
        print(left)
print(num, psutil.Process().num_fds() - before)
"""


def test_an_interrupt_at_any_moment_leaves_no_process() -> None:
    assert run_python(INTERRUPTED, timeout=110) == ("50 0\n", "")


KILLED = """
import psutil, sys
from jupyter_llm.notebook.sealed.chain import Chain
with Chain({}) as chain:
    for number in range(5):
        chain.push("x = 1")
    def tell():
        print(*(one.pid for one in psutil.Process().children(recursive=True)), flush=True)
    PUSH
    tell()
    input()
"""


@pytest.mark.parametrize(
    "push", ["", "chain.push('while True: pass', timeout_s=1000, tick=tell)"], ids=["rest", "run"]
)
def test_a_kernel_that_is_killed_leaves_no_process(push: str) -> None:
    with started(KILLED.replace("PUSH", push)) as process:
        assert process.stdout is not None
        pids = [*map(int, process.stdout.readline().split())]
        assert len(pids) == 6 + bool(push)
        process.kill()
        process.wait()
        until(lambda: not any(map(psutil.pid_exists, pids)))
