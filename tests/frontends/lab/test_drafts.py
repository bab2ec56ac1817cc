"""What a page tells of a `%%llm` cell that is being written is read before it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from IPython.core.interactiveshell import InteractiveShell
from support.engines import num_read, wait_until_idle
from support.front_end import prompt
from support.lab_page import LabPage
from support.shell import run
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.local.engine import LocalEngine

CELL = (
    "%%llm -n 4 --ignore-eos\nWho keeps the lighthouse on the hill above the old harbour, and why?"
)
A_HANDFUL = 3


def at_rest() -> None:
    """Wait until nothing more is done about drafts."""
    until(lambda: all(t.name != "jupyter-llm-draft" for t in threading.enumerate()))


def test_a_cell_that_was_read_while_it_was_written_reads_next_to_nothing_when_it_runs(
    shell: InteractiveShell, open_page: Callable[..., LabPage]
) -> None:
    page = open_page()
    llm.use("tiny")
    engine = llm.current.resident
    assert isinstance(engine, LocalEngine)
    for length in (len(CELL) // 2, len(CELL)):
        page.ask("draft", cell="a", prompt=prompt(CELL[:length]))
        at_rest()
    wait_until_idle(engine)
    run(shell, CELL, cell_id="a", store_history=True)
    (turn,) = llm.chat("default").turns
    assert num_read(turn.completion) <= A_HANDFUL
