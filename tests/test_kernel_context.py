"""What a real kernel writes down of its cells, and what the model is told, with the tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kernel import Kernel, running_kernel

pytestmark = pytest.mark.slow

LOAD = """\
%load_ext jupyter_llm
from jupyter_llm import llm
llm.use("tiny", n_threads=1)
%config LLMMagics.max_tokens = 8
"""
RESET = """\
%unload_ext jupyter_llm
from jupyter_llm import llm
llm.unload(), llm.__init__()
get_ipython().reset()
"""
CELLS = """\
import json
print(json.dumps([
    [c.source, c.execution_count, c.cell_id, sorted(c.tags), [[o.kind, o.text] for o in c.outputs]]
    for c in llm.timeline.cells]))
"""


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory, tiny_gguf: Path) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    settings = {"JUPYTER_LLM_PATH": str(tiny_gguf.parent), "JUPYTER_LLM_MODEL": "tiny"}
    with running_kernel(folder, HOME=str(folder), **settings) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """A kernel in which nothing has run but the cell that loads the extension."""
    shared_kernel.execute(RESET, silent=True)
    assert shared_kernel.execute(LOAD, cell_id="load").error is None
    return shared_kernel


def recorded(kernel: Kernel) -> list[list[Any]]:
    """Return the cells since the extension was loaded, without the one that asks."""
    cells: list[list[Any]] = json.loads(kernel.execute(CELLS).text)
    return [cell for cell in cells[1:] if cell[0] != CELLS]


def test_a_cell_is_written_down_as_the_notebook_shows_it(kernel: Kernel) -> None:
    code = """\
import sys, os, subprocess
print("one")
print("careful", file=sys.stderr)
display({"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}, raw=True)
handle = display("first", display_id=True)
!echo from a shell
handle.update("second")
6 * 7"""
    cell = kernel.execute(code, cell_id="a", tags=["llm-pin", "x"])
    assert [output["output_type"] for output in cell.outputs][-1] == "execute_result"
    ((source, count, cell_id, tags, outputs),) = recorded(kernel)
    assert (source, count, cell_id, tags) == (code, 2, "a", ["llm-pin", "x"])
    assert outputs == [
        ["stdout", "one\n"],
        ["stderr", "careful\n"],
        ["display", "<image/png>"],
        ["display", "'second'"],
        ["stdout", "from a shell\n"],
        ["result", "42"],
    ]


def test_failures_interrupts_and_cells_with_await(kernel: Kernel) -> None:
    kernel.execute("def f(d):\n    return d['price']")
    kernel.execute("f({})")
    # In one statement: an interrupt between two of them is in no line of the cell.
    sleeping = kernel.start(
        "import time\nif True:\n    print('begun', flush=True)\n    time.sleep(30)"
    )
    sleeping.wait_until(lambda cell: "begun" in cell.text)
    kernel.interrupt()
    sleeping.finish()
    kernel.execute(
        "import asyncio\nprint('a')\nawait asyncio.sleep(0.01)\nprint('b')\ndisplay(3)\n4"
    )
    _, failed, interrupted, awaited = (cell[4] for cell in recorded(kernel))
    error = """\
KeyError: 'price'
  In [3], line 1, in <module>: f({})
  In [2], line 2, in f: return d['price']"""
    assert failed == [["error", error]]
    assert interrupted[0] == ["stdout", "begun\n"]
    assert interrupted[1][1].startswith("KeyboardInterrupt\n  In [4], line ")
    assert awaited == [["stdout", "a\nb\n"], ["display", "3"], ["result", "4"]]


def test_a_flood_of_text_reaches_the_notebook_and_is_kept_short(kernel: Kernel) -> None:
    cell = kernel.execute("for n in range(20_000):\n    print('x' * 99)")
    assert len(cell.text) == 2_000_000
    ((*_, [[_, text]]),) = recorded(kernel)
    assert len(text) < 13_000
    assert "characters left out" in text


def test_hidden_cells_by_tag_are_never_told(kernel: Kernel) -> None:
    kernel.execute("key = 'abc123'", cell_id="k", tags=["llm-hide"])
    kernel.execute("x = 1", cell_id="x")
    text = kernel.execute("%llm --dry-run -c all hello").text
    assert "abc123" not in text
    assert "x = 1" in text
    assert "| out | hidden |" in kernel.execute("%llm /context").text
