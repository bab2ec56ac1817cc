"""Trying code: cells run in a sealed copy of this process, with the live variables.

The copy is forked, so it has all there is, copy on write; it can change no file, reach no network
and no other process, show nothing, and is gone after some seconds. For Linux with Landlock.

Known holes: what is read from a named pipe that is not opened by Python is gone from it. What
Python calls at a fork for who asked before this package, and what watches all it does (functions
for tracing, profiling and auditing), it calls before the seal. What waits in a buffer at the end
was not seen to be written. Memory is bounded by its addresses, and by what is free, looked at
twenty times a second. A lock that another thread held when the copy was made stays held in it, and
threads are not there: what waits for them is not tried. What the copy says of itself, the code in
it can forge, which reaches all of its memory; how it ended and when, its parent sees. Files that
the user may read, a draft can read, the notebook as it was saved among them, but no private file
in Jupyter's runtime folder; and what is hidden in this package, in frames and inside of objects.
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
    """What is seen of some cells, run one after the other in a sealed copy of this process.

    An interrupt ends the copy at once. `look` is called in the copy, with the variables as the
    cells left them, and answers with what can be JSON; `tick` here, while we wait. `make` is for
    another thread than the main one, as in `work_in_copy`. `mended`: the source of the cell that
    they mend, so that what it bound already is not reported as replaced.
    """
    if make is None and not is_main_thread():
        return untried("code is only tried in the kernel's main thread")
    units = [unit_of(source, index) for index, source in enumerate(sources)]
    reason = why_not() or next(filter(None, map(why_not_run, units)), "")
    if not reason and _asks_model(units, namespace):
        reason = "it asks a model, which does not answer in a copy"
    is_polars = not reason and _may_use_polars(units, namespace) and has_polars_threads()
    if is_polars and not can_begin_again():
        reason = "this polars does not survive a fork; 1.35 or newer does"
    if reason:
        return untried(reason)
    from jupyter_llm.notebook.sealed.copy import work_in_copy
    from jupyter_llm.notebook.sealed.running import Run

    live = namespace if isinstance(namespace, dict) else dict(namespace)
    run = Run(units, live, shell, look, hidden, mended=mended, begins_polars_again=is_polars)
    seen = work_in_copy(run, timeout_s=timeout_s, tick=tick, make=make)
    return replace(seen, text=scrub(seen.text))


def why_not() -> str:
    """Why nothing can be tried in this process, or an empty text."""
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
    """Whether code names polars, or a variable that is of it or may hold something of it."""
    if "polars" not in sys.modules:
        return False
    if any("polars" in unit.python for unit in units):
        return True
    return any(map(_may_hold_polars, _values_named(units, namespace)))


def _asks_model(units: Sequence[Unit], namespace: Mapping[str, Any]) -> bool:
    """Whether code names something of ours: the threads that a model answers in are not there."""
    kinds = map(type, _values_named(units, namespace))
    return any(qualified_name(kind).startswith("jupyter_llm.") for kind in kinds)


def _values_named(units: Sequence[Unit], namespace: Mapping[str, Any]) -> Iterator[object]:
    """The variables that code names."""
    for unit in units:
        tree = parse_python(unit.python)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else ()
        yield from (namespace[name] for name in names if name in namespace)


def _may_hold_polars(value: object) -> bool:
    """Whether a value is polars' own, or of a kind that may have something of it inside."""
    kind = type(value)
    if is_one_of(kind, _PLAIN):
        return False
    if kind is ModuleType:
        return str(instance_dict(value).get("__name__")).partition(".")[0] == "polars"
    package = own_package(value)
    return package in ("", "polars") or package in sys.stdlib_module_names
