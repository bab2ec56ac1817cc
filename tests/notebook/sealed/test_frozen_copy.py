"""A frozen fork keeps variables: it knows which have changed, and gives them back."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import psutil
import pytest
from support.processes import started
from support.seal import needs_seal
from support.waiting import until

from jupyter_llm.errors import UndoError

if TYPE_CHECKING:
    from jupyter_llm.notebook.sealed.frozen_copy import FrozenCopy  # only Linux has it

pytestmark = [needs_seal, pytest.mark.slow]


def kept(variables: dict[str, Any]) -> FrozenCopy:
    from jupyter_llm.notebook.sealed.frozen_copy import FrozenCopy

    return FrozenCopy(variables)


def process_of(copied: FrozenCopy) -> psutil.Process:
    return psutil.Process(copied.pid)


def changed(before: FrozenCopy, variables: dict[str, Any]) -> set[str]:
    """The names of the variables that are no longer as they were."""
    now = kept(variables)
    old, new = before.digests(), now.digests()
    now.close()
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


@pytest.fixture
def variables() -> dict[str, Any]:
    table = pd.DataFrame({"a": np.arange(5.0), "b": list("vwxyz")})
    items = [1, 2]
    return {"table": table, "items": items, "same": items, "holder": {"items": items}, "n": 3}


@pytest.fixture
def before(variables: dict[str, Any]) -> Iterator[FrozenCopy]:
    copied = kept(variables)
    yield copied
    copied.close()


def test_nothing_has_changed_while_nothing_is_written(
    before: FrozenCopy, variables: dict[str, Any]
) -> None:
    assert changed(before, variables) == set()


def test_a_table_that_was_written_to_comes_back(
    before: FrozenCopy, variables: dict[str, Any]
) -> None:
    old = variables["table"].copy()
    variables["table"].loc[0, "a"] = -1
    variables["table"]["c"] = 0
    assert changed(before, variables) == {"table"}
    values = before.values({"table"})
    pd.testing.assert_frame_equal(values.pop("table"), old)
    assert not values


def test_variables_that_share_objects_come_back_together(
    before: FrozenCopy, variables: dict[str, Any]
) -> None:
    variables["items"].append(3)
    assert changed(before, variables) == {"items", "same", "holder"}
    values = before.values({"holder"})
    assert values.keys() == {"items", "same", "holder"}
    assert values["items"] is values["same"] is values["holder"]["items"]
    assert values["items"] == [1, 2]


def test_new_and_deleted_names_are_seen(before: FrozenCopy, variables: dict[str, Any]) -> None:
    variables["new"] = 1
    assert changed(before, variables) == {"new"}
    del variables["new"], variables["n"]
    assert changed(before, variables) == {"n"}
    assert before.values({"n"}) == {"n": 3}


def test_functions_and_classes_come_back_themselves() -> None:
    def old() -> None: ...

    variables: dict[str, Any] = {"f": old, "kind": Sequence}
    before = kept(variables)
    variables["f"], variables["kind"] = lambda: 1, int
    assert changed(before, variables) == {"f", "kind"}
    assert before.values({"f", "kind"}) == {"f": old, "kind": Sequence}
    before.close()


class Sequence:
    """A class of a notebook."""


def test_what_cannot_be_copied_is_missing() -> None:
    variables: dict[str, Any] = {"lock": threading.Lock(), "steps": iter(int, 1), "n": 1}
    before = kept(variables)
    assert changed(before, variables) == set()
    variables |= {"lock": threading.Lock(), "n": 2}
    assert changed(before, variables) == {"lock", "n"}
    assert before.values({"lock", "n"}) == {"n": 1}
    before.close()


def test_views_come_back_with_their_array() -> None:
    whole = np.arange(10.0)
    variables: dict[str, Any] = {"whole": whole, "part": whole[:3], "other": np.arange(3)}
    before = kept(variables)
    whole[7] = -1
    assert changed(before, variables) == {"whole"}
    assert before.values({"whole"}).keys() == {"whole", "part"}
    before.close()


def test_variables_of_one_library_share_nothing_by_that() -> None:
    frame = {"a": np.arange(5.0), "b": list("vwxyz")}
    variables: dict[str, Any] = {name: pd.DataFrame(frame) for name in "xyz"}
    before = kept(variables | {"array": np.arange(3.0), "other": np.arange(4.0)})
    assert before.values({"x"}).keys() == {"x"}
    assert before.values({"array"}).keys() == {"array"}
    before.close()


def test_an_instance_keeps_its_class_when_a_cell_defines_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = type("Point", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Point", old, raising=False)
    variables: dict[str, Any] = {"Point": old, "point": old()}
    before = kept(variables)
    variables["point"].x = 2
    new = type("Point", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Point", new)
    variables["Point"] = new
    values = before.values({"Point", "point"})
    assert type(values["point"]) is values["Point"] is old
    assert not vars(values["point"])
    before.close()


def test_the_reason_why_a_variable_cannot_be_copied_is_known() -> None:
    from jupyter_llm.notebook.sealed.frozen_copy import why_opaque

    before = kept({"lock": threading.Lock(), "n": 1})
    digests = before.digests()
    assert "cannot pickle" in why_opaque(digests["lock"])
    assert why_opaque(digests["n"]) == ""
    before.close()


def test_an_interrupt_leaves_the_copy_usable(before: FrozenCopy) -> None:
    process = process_of(before)
    process.suspend()  # it answers only when it is resumed
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        before.digests()
    process.resume()
    assert before.values({"n"}) == {"n": 3}


def test_a_copy_that_was_ended_says_so_and_leaves_nothing(before: FrozenCopy) -> None:
    process = process_of(before)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(UndoError, match="has ended"):
        before.digests()
    assert not process.is_running()


def test_closing_leaves_no_process(variables: dict[str, Any]) -> None:
    copied = kept(variables)
    process = process_of(copied)
    copied.close()
    assert not process.is_running()


def test_a_frozen_copy_ends_with_its_kernel() -> None:
    code = """
import os, psutil
from jupyter_llm.notebook.sealed.frozen_copy import FrozenCopy
before = FrozenCopy({"n": 1})
assert before.digests()
print(psutil.Process().children()[0].pid, flush=True)
os.kill(os.getpid(), 9)
"""
    with started(code) as kernel:
        pid = int(kernel.communicate(timeout=60)[0])
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
