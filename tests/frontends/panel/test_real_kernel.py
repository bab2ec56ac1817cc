"""The panel in a real kernel: over subshells and without, beside cells, interrupts and forks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.front_end import is_done
from support.kernel import Kernel, running_kernel
from support.panel_kernel import KernelPanel, prepare

pytestmark = pytest.mark.slow

SLEEP = "import time\nprint('asleep')\ntime.sleep({})\nprint('awake')"

PLOT = """
%matplotlib inline
import matplotlib.pyplot as plt, time, pathlib
plt.plot([1, 2, 3])
print('drawn', flush=True)
while not pathlib.Path({!r}).exists(): time.sleep(0.01)
plt.title('late')
"""


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    with running_kernel(folder, HOME=str(folder)) as kernel:
        prepare(kernel, folder)
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """A kernel with an empty chat and a model that has no replies left."""
    shared_kernel.listeners.clear()
    reset = "engine.replies.clear(); engine.holds = False; llm.chats.clear()"
    assert shared_kernel.execute(reset).error is None
    return shared_kernel


@contextmanager
def sleeping(kernel: Kernel, before: str = "") -> Iterator[None]:
    """Let a cell sleep meanwhile, longer than anything waits, and interrupt it then."""
    cell = kernel.start(f"{before}\n{SLEEP.format(60)}")
    cell.wait_until(lambda cell: "asleep" in cell.text)
    yield
    kernel.interrupt()
    assert cell.finish().error == "KeyboardInterrupt"


def test_a_figure_that_a_cell_is_drawing_stays_its_own(kernel: Kernel, tmp_path: Path) -> None:
    panel = KernelPanel(kernel)
    panel.hello()
    shown = kernel.note_figures()
    gate = tmp_path / "gate"
    cell = kernel.start(PLOT.format(str(gate))).wait_until(lambda cell: "drawn" in cell.text)
    panel.hello()
    panel.hello()  # so what the first one brings about is done
    gate.touch()
    assert cell.finish().error is None
    assert shown == ["execute_request"]


def test_the_panel_is_heard_after_cells_and_other_threads_have_spoken_through_it(
    kernel: Kernel,
) -> None:
    kernel.execute("engine.replies.extend(['from a cell', 'from a thread', 'again', 'two'])")
    panel = KernelPanel(kernel)
    panel.hello()
    kernel.execute("llm.chat('default')('one')")
    thread = "threading.Thread(target=lambda: llm.chat('default')('one')).start()"
    kernel.execute(f"import threading\n{thread}")
    panel.wait_until(lambda panel: panel.texts[-1:] == ["from a thread"])
    with sleeping(kernel, "llm.chat('default')('one')"):
        assert panel.say("prompt")["text"] == "two"
    assert panel.parents == {"comm_msg"}  # so replies do not go to where the cells run


def test_a_panel_of_the_cell_that_still_runs_is_heard(kernel: Kernel) -> None:
    kernel.execute("engine.replies.append('yes')")
    panel = KernelPanel(kernel, then=SLEEP.format(60))
    panel.hello()
    assert panel.say("prompt")["text"] == "yes"
    kernel.interrupt()
    assert panel.cell.finish().error == "KeyboardInterrupt"


def test_an_interrupt_ends_the_cell_and_not_what_the_panel_writes(kernel: Kernel) -> None:
    kernel.execute("engine.replies.append('word ' * 500)")
    panel = KernelPanel(kernel, "ChatPanel(max_tokens=None)")
    panel.hello()
    with sleeping(kernel):
        panel.send("on and on")
        panel.wait_for(lambda message: message["type"] == "delta")
    kernel.interrupt()  # nothing runs now
    panel.wait_until(is_done)
    assert panel.texts == ["word " * 500]
    assert kernel.execute("print(6 * 7)").text == "42\n"


def test_a_forked_process_says_nothing_through_the_panel(kernel: Kernel) -> None:
    panel = KernelPanel(kernel)
    panel.hello()
    fork = """
import os, time
if (child := os.fork()) == 0:
    llm.chat("default")("in the child")
    time.sleep(0.3)  # as long as ten ticks
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    kernel.execute("engine.replies.extend(['child', 'parent'])")
    assert kernel.execute(fork).text == "7\n"
    kernel.execute("engine.replies.popleft()")
    assert panel.say("in the parent")["text"] == "parent"
    assert "child" not in str(panel.messages)
    assert panel.messages[0]["seq"] == 1  # and none was missing
