"""Records the cells that run in a shell, invisibly.

While a cell runs, the methods that show outputs are wrapped, in a terminal and in ipykernel alike.
IPython's own record of outputs lacks displays in ipykernel, has no bound, and misses cells with
`await`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.cells.outputs import TRANSCRIPT_KEY, CellOutputs, error_text
from jupyter_llm.notebook.cells.rendering import SETUP_MAGICS
from jupyter_llm.notebook.cells.shell import own_variables, parent_header
from jupyter_llm.notebook.cells.timeline import HIDING_TAGS, NUMBERED_CELL
from jupyter_llm.notebook.code.bindings import bindings
from jupyter_llm.notebook.values.learning import learn
from jupyter_llm.notebook.values.peek import ABSENT, class_attribute
from jupyter_llm.notebook.values.secrets import conceal_new

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from jupyter_llm.notebook.cells.events import OutputKind
    from jupyter_llm.notebook.cells.timeline import Timeline

_Method = Callable[..., Any]
_CACHED = range(-5, 257)  # small integers: Python has one object for each
_SETUP = frozenset(f"%{name}" for name in SETUP_MAGICS)

logger = logging.getLogger(__name__)


def _replace(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Callable[[], None]:
    """Replace an object's method.

    The returned function restores it, unless somebody replaced ours.
    """
    original, is_own = getattr(owner, name), name in vars(owner)
    wrapper = wrap(original)
    setattr(owner, name, wrapper)

    def put_back() -> None:
        if vars(owner).get(name) is wrapper:
            delattr(owner, name)
            if is_own:
                setattr(owner, name, original)

    return put_back


@dataclass(slots=True, eq=False)
class _Run:
    """A running cell, with the cells that run inside it."""

    info: ExecutionInfo
    thread: int
    before: dict[str, int]  # id of each variable's value
    outputs: CellOutputs = field(default_factory=CellOutputs)
    inner: list[ExecutionInfo] = field(default_factory=list)


class _Muted(threading.local):
    is_set = False


class Recorder:
    """Appends each cell that a shell has run to a timeline, with its outputs.

    Not recorded are:

    - cells of `%llm` or `%%llm` alone, whose prompts and answers are turns of a chat,
    - cells that only load or set something, such as `%load_ext`, unless they failed,
    - cells that IPython's history omits, which front ends run for themselves,
    - outputs inside `muted`, and text that is captured, as by `%%capture`.
    """

    def __init__(self, shell: InteractiveShell, timeline: Timeline) -> None:
        self._shell = shell
        self._timeline = timeline
        self._run: _Run | None = None
        self._taps: list[Callable[[], None]] = []
        self._lock = threading.RLock()  # a signal handler may print while we record
        self._muted = _Muted()

    def attach(self) -> None:
        """Start to record, including a cell that is running now."""
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._timeline.bind(None, {})
        running = self._shell.displayhook.exec_result
        if running is not None:
            self._open(running.info)

    def detach(self) -> None:
        """Stop recording and restore the shell."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        self._close()

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Record no output of this thread meanwhile."""
        before, self._muted.is_set = self._muted.is_set, True
        try:
            yield
        finally:
            self._muted.is_set = before

    @property
    def has_output(self) -> bool:
        """Whether the running cell has shown something, perhaps by another thread."""
        with self._lock:
            return self._run is not None and bool(self._run.outputs.finish())

    def _begin(self, info: ExecutionInfo) -> None:
        run = self._run
        if run is not None and run.thread != threading.get_ident():
            return  # a subshell's cell: outputs of threads cannot be separated
        if run is None or getattr(info, "cell_id", None) is not None:
            self._close()  # only cells of a front end have an id, and those run one at a time
            self._open(info)
        else:
            run.inner.append(info)

    def _end(self, result: ExecutionResult | None) -> None:
        run = self._run
        if run is None or run.thread != threading.get_ident():
            return
        info = result.info if result is not None else None
        if info is not None and not (info.raw_cell or "").strip():
            return  # IPython sends no begin event for a blank cell
        if run.inner:
            run.inner.pop()
            return
        self._close()
        try:
            self._append(run, result)
        except Exception:  # our errors must not fail the cell
            logger.debug("A cell could not be recorded", exc_info=True)
        conceal_new()

    def _append(self, run: _Run, result: ExecutionResult | None) -> None:
        info = run.info
        source = info.raw_cell or ""
        is_prompt = source.lstrip().startswith("%%llm") or _is_made_of(source, {"%llm"})
        bound, cell_id = self._bound(run.before, source), getattr(info, "cell_id", None)
        if not info.store_history or is_prompt:
            self._timeline.bind(cell_id, bound)
            return
        error = result.error_before_exec or result.error_in_exec if result is not None else None
        if error is None and _is_made_of(source, _SETUP):
            return
        if result is not None and error is not None:
            name = partial(self._cell_name, info, result)
            run.outputs.fail(error_text(error, name))
        outputs = run.outputs.finish()
        with suppress(Exception):  # unknown secrets are still found by their form
            learn(source, self._shell.user_ns, (output.text for output in outputs))
        self._timeline.append(
            source,
            execution_count=result.execution_count if result is not None else None,
            cell_id=cell_id,
            outputs=outputs,
            pictures=run.outputs.pictures(),
            tags=self._tags(info),
            bound=bound,
        )

    def _bound(self, before: Mapping[str, int], source: str) -> dict[str, str | None]:
        """Return the names that a cell has bound, as `Timeline` expects them.

        An imported module, function or class was made elsewhere, so no cell counts as its maker.
        """
        imports = {one.name for one in bindings(source) if one.verb == "imports"}
        now, older = own_variables(self._shell), {at: name for name, at in before.items()}
        bound: dict[str, str | None] = dict.fromkeys(before.keys() - now)
        for name, value in now.items():
            if before.get(name) != id(value):
                is_small = type(value) is int and value in _CACHED
                bound[name] = "" if is_small else older.get(id(value), "")
                is_code = class_attribute(type(value), "__call__") is not ABSENT
                if type(value) is ModuleType or (is_code and name in imports):
                    bound[name] = None
        return bound

    def _cell_name(self, info: ExecutionInfo, result: ExecutionResult, filename: str) -> str | None:
        """Return the cell's name for a file name, by the number of its first run, as in prompts."""
        _, name = self._shell.compile.format_code_name(filename) or ("", None)
        number = NUMBERED_CELL.fullmatch(name or "")
        if number is None:
            return name
        count = int(number[1])
        cell = next((c for c in reversed(self._timeline.cells) if count in c.counts), None)
        if cell is None and count == result.execution_count:
            same = self._timeline.latest(getattr(info, "cell_id", None))
            cell = same if same is not None and same.source == info.raw_cell else None
        return f"In [{cell.execution_count if cell is not None else count}]"

    def _tags(self, info: ExecutionInfo) -> frozenset[str] | None:
        """Return the cell's tags, which JupyterLab sends with the code; None if none are sent."""
        sent = parent_header(self._shell).get("metadata")
        metadata = getattr(info, "cell_meta", None) or sent or {}  # before IPython 9.3
        tags = metadata.get("tags")
        return frozenset(one for one in tags if isinstance(one, str)) if tags is not None else None

    def _open(self, info: ExecutionInfo) -> None:
        before = {name: id(value) for name, value in own_variables(self._shell).items()}
        self._run = _Run(info, threading.get_ident(), before)
        self._timeline.running = cell_id = getattr(info, "cell_id", None) or ""
        is_tagged = (self._tags(info) or frozenset()).intersection(HIDING_TAGS)
        is_hidden = bool(is_tagged) or self._timeline.snapshot().is_hidden(cell_id)
        conceal_new(*([before] if is_hidden else []))
        publisher, hook = self._shell.display_pub, self._shell.displayhook
        self._tap(sys.stdout, "write", lambda write: self._stream(write, "stdout"))
        self._tap(sys.stderr, "write", lambda write: self._stream(write, "stderr"))
        self._tap(publisher, "publish", partial(self._recorded, note=_published))
        self._tap(publisher, "clear_output", partial(self._recorded, note=_cleared))
        self._tap(hook, "write_format_data", partial(self._recorded, note=_shown))

    def _close(self) -> None:
        while self._taps:
            self._taps.pop()()
        self._run = self._timeline.running = None

    def _tap(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        # Streams may be any object with a `write`, and some do not allow replacing it.
        with suppress(AttributeError, TypeError):
            self._taps.append(_replace(owner, name, wrap))

    def _note(self, run: _Run | None, note: Callable[[CellOutputs], None]) -> None:
        """Record an output of the running cell; never fail."""
        try:
            with self._lock:
                if run is not None and run is self._run and not self._muted.is_set:
                    note(run.outputs)
        except Exception:  # the user's output must not fail because of us
            logger.debug("An output could not be recorded", exc_info=True)

    def _stream(self, write: _Method, kind: OutputKind) -> _Method:
        shell, run = self._shell, self._run

        def tapped(text: str, *args: Any, **options: Any) -> Any:
            written = write(text, *args, **options)
            # In a terminal, results and tracebacks are printed, too.
            if not (shell.displayhook.is_active or shell.showing_traceback):
                self._note(run, lambda outputs: outputs.write(kind, text))
            return written

        return tapped

    def _recorded(self, method: _Method, note: Callable[..., None]) -> _Method:
        """Wrap a method: its own prints, as in a terminal, are omitted, and its output is noted."""
        run = self._run

        def tapped(*args: Any, **options: Any) -> Any:
            with self.muted():
                done = method(*args, **options)
            self._note(run, lambda outputs: note(outputs, *args, **options))
            return done

        return tapped


def _published(outputs: CellOutputs, data: Any, *_args: Any, **options: Any) -> None:
    if TRANSCRIPT_KEY in (options.get("metadata") or {}):  # its turns belong to the chat
        return
    display_id = (options.get("transient") or {}).get("display_id")
    if options.get("update", False):
        outputs.update(display_id, data)
    else:
        outputs.show("display", data, display_id)


def _cleared(outputs: CellOutputs, wait: bool = False) -> None:  # noqa: FBT001, FBT002  as IPython's
    outputs.clear(wait=wait)


def _shown(outputs: CellOutputs, format_dict: Any, *_args: Any, **_options: Any) -> None:
    outputs.show("result", format_dict)


def _is_made_of(source: str, magics: Container[str]) -> bool:
    """Whether a cell consists only of lines of the given magics."""
    lines = (line.strip() for line in source.splitlines())
    code = [line for line in lines if line and not line.startswith("#")]
    return bool(code) and all(line.split(maxsplit=1)[0] in magics for line in code)
