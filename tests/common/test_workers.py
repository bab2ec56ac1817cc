"""Work on threads beside the kernel's own."""

from __future__ import annotations

import os
import threading

import pytest

from jupyter_llm.common.workers import Chore


def test_a_forked_child_neither_works_nor_waits_for_the_parents_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = threading.Event()

    def work() -> tuple[float, bool]:
        done.set()
        return 0, False

    chore = Chore(work, "chore")
    parent = os.getpid()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: parent + 1)
        chore.ask()
    assert chore.wait(0)
    assert not done.is_set()
    chore.ask()
    assert done.wait(30)
