"""The kernels of one user know of each other's models, and leave each other room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.engines import ask, load
from support.processes import started
from support.stored import rows, written
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.local.native.memory import plan_load
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.errors import NotEnoughMemoryError
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import FreeMemory
from jupyter_llm.models.neighbours import Claim, leave_room, neighbours

GB = 10**9

CLAIM = """
import sys, threading
from pathlib import Path
from jupyter_llm.common.database import store
from jupyter_llm.models.neighbours import Claim
name, path, *sizes = sys.argv[1:]
names = ("held_bytes", "mapped_bytes", "coming_bytes")
Claim(name, Path(path)).put(**dict(zip(names, map(int, sizes))))
store().flush(30)
print("claimed", flush=True)
threading.Event().wait()
"""

LOAD = """
import sys, threading
from pathlib import Path
from jupyter_llm import llm
from jupyter_llm.common.database import store
llm.use(Path(sys.argv[1]), n_ctx=1024)
store().flush(30)
print("loaded", flush=True)
threading.Event().wait()
"""


@contextmanager
def claimed(name: str, path: Path, *sizes: int) -> Iterator[subprocess.Popen[str]]:
    """Another kernel that says what it holds: in all, mapped, and still to come."""
    with started(CLAIM, name, path, *sizes) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "claimed\n"
        yield kernel


def claims() -> list[dict[str, object]]:
    """All that stands in the store."""
    written()
    return [json.loads(value) for value in Remembered("kernels").all().values()]


def test_the_status_names_what_another_kernel_holds_as_long_as_it_lives(tiny_gguf: Path) -> None:
    with started(LOAD, tiny_gguf) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "loaded\n"
        (one,) = neighbours()
        held = f"{one.held_bytes / 1e6:.1f} MB"
        assert f"other kernels hold: tiny ({held})" in str(llm.status())
        assert one.coming_bytes > 0  # promised texts
        kernel.kill()
        kernel.wait()
        until(lambda: not neighbours())
    assert "other kernels" not in str(llm.status())
    assert claims() == []  # what the dead one left is removed


def test_whatever_other_kernels_hold_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    with claimed("a", path, GB, 0, 0), claimed("a", path, GB, 0, 0), claimed("b", path, GB, 0, 0):
        rows = [said for name, said in llm.status().rows() if "kernel" in name]
    assert rows == ["a (2 times, 2.0 GB); b (1.0 GB)"]


def test_room_is_left_for_what_others_may_still_take_and_what_they_read(tmp_path: Path) -> None:
    free = FreeMemory(ram_bytes=10 * GB)
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    with claimed("a", theirs, 5 * GB, 4 * GB, GB), claimed("b", theirs, 5 * GB, 4 * GB, 2 * GB):
        left = leave_room(free, ours)
        assert left.ram_bytes == 3 * GB  # the pages of a file that both read count once
        assert left.others_bytes == 7 * GB
        assert leave_room(free, theirs).ram_bytes == 7 * GB  # and not where we read it, too
    assert leave_room(free, ours) == free


def test_a_refusal_says_what_is_left_to_other_kernels(tiny_gguf: Path, tmp_path: Path) -> None:
    file = inspect(tiny_gguf)
    with claimed("a", tmp_path / "a.gguf", 5 * GB, 0, 5 * GB):
        free = leave_room(FreeMemory(ram_bytes=5 * GB + 1_000_000))
        with pytest.raises(NotEnoughMemoryError) as caught:
            plan_load(file, EngineOptions(n_ctx=4096), free)
    said = "and 1 MB are free beside 5,000 MB that your other kernels hold or may still take. "
    assert said in str(caught.value)


def test_a_kernel_says_what_it_holds_until_the_model_has_gone(tiny_gguf: Path) -> None:
    engine = load(tiny_gguf, n_ctx=1024)
    (claim,) = claims()
    assert claim["name"] == "tiny"
    promised = claim["coming_bytes"]
    assert isinstance(promised, int)
    assert promised > engine.info.kv_bytes
    ask(engine, "one", 2, seed=1)
    assert [claim["coming_bytes"] for claim in claims()] == [0]  # it has been taken
    assert neighbours() == ()  # one's own are no neighbours
    engine.close()
    assert claims() == []


def note(**changes: object) -> None:
    """Write down a claim of a process that lives, but for what is changed."""
    parent = psutil.Process(os.getppid())
    Claim("m", Path("m.gguf")).put(held_bytes=1, mapped_bytes=0, coming_bytes=1)
    *_, claim = claims()
    claim |= {"pid": parent.pid, "started_s": parent.create_time(), **changes}
    rows("DELETE FROM remembered WHERE kind = 'kernels'")
    Remembered("kernels").put("key", json.dumps(claim))


def test_a_process_that_has_a_dead_kernel_s_number_is_no_kernel() -> None:
    note()
    assert [one.name for one in neighbours()] == ["m"]
    note(started_s=1000.0)
    assert neighbours() == ()
    assert claims() == []


def test_of_another_machine_s_kernels_nothing_is_known_and_nothing_removed() -> None:
    note(host="elsewhere")
    assert neighbours() == ()
    assert [claim["host"] for claim in claims()] == ["elsewhere"]
