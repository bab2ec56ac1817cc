"""Tries code: runs cells in a sealed copy of this process, with the live variables.

The copy is a fork, so it has all variables, copy on write. It can change no file, reach no network
and no other process, and show nothing; a time limit ends it. It needs Linux with Landlock.

Known holes:

- Data that native code reads from a named pipe is removed from it.
- Fork handlers registered before ours, and functions for tracing, profiling and auditing, run
  before the seal.
- Writes that are still buffered at the end are not noticed.
- Memory is limited by address space, and by the free memory, checked twenty times a second.
- Locks that other threads held stay locked, and threads are missing. Code that waits for them
  counts as not tried.
- Code can forge the copy's report, because it can write to the copy's memory. The parent itself
  observes how and when the copy ends.
- A draft can read files that the user may read, the saved notebook included, but no private file in
  Jupyter's runtime folder. It can also find hidden values in this package, in frames and in
  objects.
"""

from __future__ import annotations

import ast
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.code.syntax import parse_python
from jupyter_llm.notebook.sealed.cells import unit_of, why_not_run
from jupyter_llm.notebook.sealed.main_thread import is_main_thread
from jupyter_llm.notebook.sealed.polars_again import can_begin_again, has_polars_threads
from jupyter_llm.notebook.sealed.seen import Seen, untried
from jupyter_llm.notebook.values.peek import instance_dict, is_one_of, own_package, qualified_name
from jupyter_llm.notebook.values.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jupyter_llm.notebook.sealed.cells import Unit
    from jupyter_llm.notebook.sealed.hidden import Hidden

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/dxg")


def try_code(
    sources: Sequence[str],
    namespace: Mapping[str, Any],
    *,
    shell: Any = None,
    hidden: Hidden | None = None,
    mended: str | None = None,
    timeout_s: float = 5.0,
    look: Callable[[dict[str, Any]], object] | None = None,
    tick: Callable[[], None] | None = None,
    make: Callable[[Callable[[], None]], None] | None = None,
) -> Seen:
    """Return the result of cells that run in order in a sealed copy of this process.

    An interrupt ends the copy at once. `look` is called in the copy with the variables after the
    run, and returns a value for JSON. `tick` is called here meanwhile. `make` is for threads other
    than the main one, see `work_in_copy`. `mended` is the source of the cell that they mend. A
    changed variable that this cell itself binds is reported only if rows are lost.
    """
    if make is None and not is_main_thread():
        return untried("code is only tried in the kernel's main thread")
    units = [unit_of(source, index) for index, source in enumerate(sources)]
    reason = why_not()
    has_threads = not reason and has_polars_threads()
    if reason := reason or why_untried(units, namespace, loses_polars=has_threads):
        return untried(reason)
    from jupyter_llm.notebook.sealed.copy import work_in_copy
    from jupyter_llm.notebook.sealed.running import DraftRun, Stage

    live = namespace if isinstance(namespace, dict) else dict(namespace)
    is_polars = has_threads and _may_use_polars(units, namespace)
    stage = Stage(live, shell, look, hidden, begins_polars_again=is_polars)
    run = DraftRun(stage, units, mended)
    seen = work_in_copy(stage, run, timeout_s=timeout_s, tick=tick, make=make)
    return replace(seen, text=scrub(seen.text))


def why_untried(units: Sequence[Unit], namespace: Mapping[str, Any], *, loses_polars: bool) -> str:
    """Return the reason why these cells cannot be tried, or "".

    `loses_polars`: the copy lacks the threads that polars has.
    """
    if reason := next(filter(None, map(why_not_run, units)), ""):
        return reason
    if _asks_model(units, namespace):
        return "it asks a model, which does not answer in a copy"
    if loses_polars and not can_begin_again() and _may_use_polars(units, namespace):
        return "this polars does not survive a fork; 1.35 or newer does"
    return ""


def why_not() -> str:
    """Return the reason why this process cannot try code, or ""."""
    return _why_no_seal() or ("a GPU is in use, which does not survive a fork" * _uses_gpu())


@cache
def _why_no_seal() -> str:
    if sys.platform != "linux":
        return "only Linux can seal a copy of the kernel"
    from jupyter_llm.notebook.sealed.seal import why_no_seal

    return why_no_seal()


def _uses_gpu() -> bool:
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(path.readlink()).startswith(_GPUS):
                return True
    return False


def _may_use_polars(units: Sequence[Unit], namespace: Mapping[str, Any]) -> bool:
    """Whether code names polars, or a variable that may contain something of it."""
    if "polars" not in sys.modules:
        return False
    if any("polars" in unit.python for unit in units):
        return True
    return any(map(_may_hold_polars, _values_named(units, namespace)))


def _asks_model(units: Sequence[Unit], namespace: Mapping[str, Any]) -> bool:
    """Whether code names an object of ours: the model's threads do not exist in a copy."""
    kinds = map(type, _values_named(units, namespace))
    return any(qualified_name(kind).startswith("jupyter_llm.") for kind in kinds)


def _values_named(units: Sequence[Unit], namespace: Mapping[str, Any]) -> Iterator[object]:
    """Yield the values of the variables that code names."""
    for unit in units:
        tree = parse_python(unit.python)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else ()
        yield from (namespace[name] for name in names if name in namespace)


def _may_hold_polars(value: object) -> bool:
    """Whether a value is polars' own, or of a class that may contain something of it."""
    kind = type(value)
    if is_one_of(kind, _PLAIN):
        return False
    if kind is ModuleType:
        return str(instance_dict(value).get("__name__")).partition(".")[0] == "polars"
    package = own_package(value)
    return package in ("", "polars") or package in sys.stdlib_module_names
