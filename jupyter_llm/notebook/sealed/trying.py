"""Trying code: cells run in a sealed copy of this process, with the live variables.

The copy is forked, so it has all there is, copy on write; it can change no file, reach no network
and no other process, show nothing, and is gone after some seconds. For Linux with Landlock.

Known holes: what a try reads from a FIFO that it opens by its path is gone from it. What a library
that was imported before this package does when a process is forked, it does before the seal. Memory
is bounded by its addresses, and by what is free, looked at twenty times a second. A lock that
another thread held when the copy was made stays held in it, and threads are not there: what waits
for them ends at its limit. What the copy says of itself is as true as the code in it is honest.
Files that the user may read, a draft can read.
"""

from __future__ import annotations

import ast
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.sealed.cells import unit_of, why_not_run
from jupyter_llm.notebook.sealed.main_thread import is_main_thread
from jupyter_llm.notebook.sealed.polars_again import can_begin_again, has_polars_threads
from jupyter_llm.notebook.sealed.refusals import END_KERNEL
from jupyter_llm.notebook.values.peek import instance_dict, is_one_of, own_package, qualified_name

if TYPE_CHECKING:
    from jupyter_llm.notebook.sealed.cells import Unit
    from jupyter_llm.notebook.sealed.copy import Ending
    from jupyter_llm.notebook.sealed.running import Verdict

Outcome = Literal["runs", "raises", "refused", "running", "untried"]

_MAX_MESSAGE = 200
_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/dxg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of some code that was tried.

    `text` is it in a few words. Where something was raised, `index` says in which of the sources
    and `lineno` in which of its lines, from 1 or 0 if unknown; `report` tells a model of it.
    `names` are bound anew or to something else, `num_figures` counts the pictures, and `looked` is
    what was asked about the variables afterwards. `is_deadly` says that the copy did not survive
    it, or that the kernel would not.
    """

    outcome: Outcome
    text: str
    error_kind: str = ""
    message: str = ""
    index: int = 0
    lineno: int = 0
    report: str = ""
    printed: str = ""
    result: str = ""
    names: tuple[str, ...] = ()
    num_figures: int = 0
    looked: Any = None
    is_deadly: bool = False

    @property
    def runs(self) -> bool:
        """Whether all of it ran to its end."""
        return self.outcome == "runs"

    @property
    def was_tried(self) -> bool:
        """Whether the outcome says something about the code."""
        return self.outcome in ("runs", "raises", "running")


def try_code(
    sources: Sequence[str],
    namespace: Mapping[str, Any],
    *,
    shell: Any = None,
    timeout_s: float = 5.0,
    look: Callable[[dict[str, Any]], object] | None = None,
    tick: Callable[[], None] | None = None,
) -> Seen:
    """What is seen of some cells, run one after the other in a sealed copy of this process.

    An interrupt ends the copy at once. `look` is called in the copy, with the variables as the
    cells left them, and answers with what can be JSON; `tick` here, while we wait.
    """
    units = [unit_of(source, index) for index, source in enumerate(sources)]
    reason = why_not(shell) or next(filter(None, map(why_not_run, units)), "")
    if not reason and _asks_model(units, namespace):
        reason = "it asks a model, which does not answer in a copy"
    is_polars = not reason and _may_use_polars(units, namespace) and has_polars_threads()
    if is_polars and not can_begin_again():
        reason = "this polars does not survive a fork; 1.35 or newer does"
    if reason:
        return _untried(reason)
    from jupyter_llm.notebook.sealed.copy import work_in_copy
    from jupyter_llm.notebook.sealed.running import Run

    live = namespace if isinstance(namespace, dict) else dict(namespace)
    run = Run(units, live, shell, look, begins_polars_again=is_polars)
    ending = work_in_copy(run, timeout_s=timeout_s, tick=tick)
    return _seen(ending, timeout_s, num_sources=len(units))


def why_not(shell: Any = None) -> str:  # noqa: ARG001  every shell is as good
    """Why nothing can be tried in this process, or an empty text."""
    if not is_main_thread():
        return "code is only tried in the kernel's main thread"
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
    from jupyter_llm.notebook.code.syntax import parse_python

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


def _untried(reason: str, *, is_deadly: bool = False) -> Seen:
    outcome: Outcome = "refused" if reason.startswith("it would ") else "untried"
    return Seen(outcome=outcome, text=f"not tried: {reason}", is_deadly=is_deadly)


def _seen(ending: Ending, timeout_s: float, *, num_sources: int) -> Seen:
    """What an ending means."""
    if ending.how == "timeout":
        return Seen(outcome="running", text=f"still running after {timeout_s:g} s")
    if ending.how == "stuck":
        return _untried("it waits for something that is not in the copy")
    if ending.how == "interrupted":
        return _untried("it was interrupted")
    if ending.how == "memory":
        return _untried("it would take more memory than is free", is_deadly=True)
    if ending.how == "ended":
        if ending.status < 0:
            return _untried(f"the copy ended ({_signal_name(-ending.status)})", is_deadly=True)
        return _untried(f"it would {END_KERNEL}", is_deadly=True)
    if ending.said.startswith(b"!"):
        return _untried(clip(ending.said[1:].decode("utf-8", "replace"), _MAX_MESSAGE))
    verdict = _verdict(ending.said)
    if verdict is None:
        return _untried("what the copy says makes no sense")
    return _seen_in(verdict, num_sources)


def _verdict(said: bytes) -> Verdict | None:
    import msgspec

    from jupyter_llm.notebook.sealed.running import Verdict

    try:
        return msgspec.json.decode(said, type=Verdict)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _seen_in(verdict: Verdict, num_sources: int) -> Seen:
    outcome: Outcome = "runs"
    text = "runs"
    if verdict.error_kind.endswith("MemoryError"):
        return _untried("it would take more memory than a try may", is_deadly=True)
    if verdict.refused:
        outcome, text = "refused", f"not tried: it would {verdict.refused}"
    elif verdict.error_kind:
        headline = ": ".join(filter(None, (verdict.error_kind, " ".join(verdict.message.split()))))
        outcome, text = "raises", f"raises {clip(headline, _MAX_MESSAGE)}"
    return Seen(
        outcome=outcome,
        text=text,
        error_kind=verdict.error_kind,
        message=verdict.message,
        index=min(max(verdict.index, 0), max(num_sources - 1, 0)),
        lineno=max(verdict.lineno, 0),
        report=verdict.report,
        printed=verdict.printed,
        result=verdict.result,
        names=tuple(verdict.names),
        num_figures=max(verdict.num_figures, 0),
        looked=verdict.looked,
        is_deadly=verdict.refused == END_KERNEL,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
