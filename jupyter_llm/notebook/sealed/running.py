"""Runs the cells of a draft in a copy, and reports the result."""

from __future__ import annotations
import __future__

import ast
import asyncio
import inspect
import linecache
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import ModuleType, TracebackType
from typing import Any

import msgspec
from IPython.lib.pretty import pretty

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.sources import CellSource, CellSources
from jupyter_llm.notebook.code.accesses import bound_names
from jupyter_llm.notebook.code.bindings import Binding, bindings
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell, parse_python
from jupyter_llm.notebook.failures.failure import read_failure
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.sealed.cells import Unit
from jupyter_llm.notebook.sealed.detached import Mapping
from jupyter_llm.notebook.sealed.facts import RAN, Facts
from jupyter_llm.notebook.sealed.hidden import Hidden
from jupyter_llm.notebook.sealed.polars_again import begin_again, copied_library
from jupyter_llm.notebook.sealed.refusals import END_KERNEL, Refusals
from jupyter_llm.notebook.sealed.seen import Seen, untried
from jupyter_llm.notebook.sealed.silence import Silence
from jupyter_llm.notebook.values.extents import Extent, extent_of
from jupyter_llm.notebook.values.peek import short_name
from jupyter_llm.notebook.values.tables import column_labels

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_ASYNC = re.compile(r"\b(?:async|await|asyncio)\b")
_MAX_MESSAGE, _MAX_HEADLINE = 600, 200
_MAX_RESULT = 2000
_MAX_ITEMS = 200
_MAX_REPORT = 12_000
_MAX_NAMES, _MAX_NAME = 200, 200
_MAX_SIZED = 10  # variables
_MAX_LOOKED = 300_000  # bytes


class _IterationEndedError(Exception):
    """A StopIteration of the draft, which cannot leave a coroutine unchanged."""


class TriedSources(CellSources):
    """The cells of the notebook and of a draft."""

    def __init__(self, shell: Any) -> None:
        super().__init__()
        self._others = CellSources.of_shell(shell) if shell is not None else CellSources()
        self._units: dict[str, Unit] = {}

    def add(self, units: Sequence[Unit]) -> None:
        """Add cells of a draft."""
        self._units |= {unit.name: unit for unit in units}

    def find(self, filename: str) -> CellSource | None:
        """Return the cell that was compiled under a name, the draft's included."""
        unit = self._units.get(filename)
        if unit is None:
            return self._others.find(filename)
        return CellSource(source=unit.source, compiled=unit.python)


class Stage:
    """The parts of a copy that all runs in it share."""

    def __init__(
        self,
        namespace: dict[str, Any],
        shell: Any = None,
        look: Callable[[dict[str, Any]], object] | None = None,
        hidden: Hidden | None = None,
        *,
        begins_polars_again: bool = False,
    ) -> None:
        self.namespace, self.shell, self.look = namespace, shell, look
        self.sources = TriedSources(shell)  # as typed
        self.removed: dict[str, object] = {}
        self._hidden = hidden or Hidden()
        self._begins_polars_again = begins_polars_again
        self._polars: int | None = None

    def prepare(self) -> None:
        """Do what the seal prevents later. None of the user's code may run here."""
        if self._begins_polars_again:
            self._polars = copied_library()

    def begin(self, shared: Sequence[Mapping]) -> None:
        """Prepare this process, a sealed copy, for its first run."""
        if self._polars is not None:
            begin_again(self._polars)
        self.refusals = Refusals(self.namespace, shared)
        self.removed = self._hidden.remove(self.shell) if self.shell is not None else {}
        self.refusals.watch()


class DraftRun:
    """The run of a draft in this process, a sealed copy."""

    def __init__(self, stage: Stage, units: Sequence[Unit], mended: str | None = None) -> None:
        self._stage, self._units, self._mended = stage, units, mended
        self._namespace, self._shell = stage.namespace, stage.shell
        stage.sources.add(units)
        self._python = "\n".join(unit.python for unit in units)
        self._about: set[str] = set()
        self._sizes: dict[str, Extent] = {}
        self._value: object = None
        self._silence = Silence(self._shell)
        self._index = 0
        self._result = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    def work(self) -> Seen:
        """Run all cells, and return the result."""
        if any(_ASYNC.search(unit.python) for unit in self._units):
            self._loop = asyncio.SelectorEventLoop()  # the notebook's own may have another type
        self._silence.begin()
        self._before = dict(self._namespace)
        refusals = self._stage.refusals
        refusals.clear()
        with suppress(Exception):
            tree = parse_python(self._python) or ast.Module([], [])
            loops = (one.target for one in ast.walk(tree) if isinstance(one, ast.For))
            passing = {use.name for use in uses_in(*loops)}
            self._python = ast.unparse(tree)
            self._about = {use.name for use in uses_in(tree)} - passing
            self._sizes = _sized(self._before, sorted(self._about))
        return self._looked(self._seen(self._run(), refusals), refusals)

    def _run(self) -> BaseException | None:
        """Run all cells; return the exception of the one that failed."""
        coroutine = self._run_all()
        if self._loop is not None:
            return self._loop.run_until_complete(coroutine)
        try:
            coroutine.send(None)
        except StopIteration as end:
            error: BaseException | None = end.value
            return error
        return None

    async def _run_all(self) -> BaseException | None:
        try:
            for index, unit in enumerate(self._units):
                self._index = index
                self._result = ""
                self._value = value = await self._run_unit(unit)
                if value is not None:
                    self._result = self._shown(value)
        except _IterationEndedError as error:
            return error.__cause__
        except BaseException as error:  # noqa: BLE001  whatever a draft raises
            return error
        return None

    async def _run_unit(self, unit: Unit) -> object:
        """Run a cell; return the value of an expression at its end."""
        lines = unit.python.splitlines(keepends=True)
        linecache.cache[unit.name] = (len(unit.python), None, lines, unit.name)
        flags = _FLAGS | (self._shell.compile.flags if self._shell is not None else 0)
        cell_code = compile(unit.python, unit.name, "exec", flags, dont_inherit=True)
        tree = compile(unit.python, unit.name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr) or unit.python.rstrip().endswith(";"):
            await self._evaluated(cell_code)
            return None
        flags |= cell_code.co_flags & _FUTURE
        first = ast.Module(tree.body[:-1], type_ignores=[])
        await self._evaluated(compile(first, unit.name, "exec", flags, dont_inherit=True))
        expression = ast.Expression(last.value)
        return await self._evaluated(
            compile(expression, unit.name, "eval", flags, dont_inherit=True)
        )

    async def _evaluated(self, code: Any) -> object:
        try:
            value = eval(code, self._namespace)  # noqa: S307 the purpose of the copy
        except StopIteration as error:
            raise _IterationEndedError from error
        if code.co_flags & inspect.CO_COROUTINE:
            return await value
        return value

    def _shown(self, value: object) -> str:
        if self._shell is None:
            data = {"text/plain": repr(value)}
        else:
            data, _ = self._shell.display_formatter.format(value)
        self._silence.count(data)
        text = str(data.get("text/plain", ""))[: _MAX_RESULT * 10]  # bounds the cost of clipping
        return clip(text, _MAX_RESULT)

    def _seen(self, error: BaseException | None, refusals: Refusals) -> Seen:
        """Return the result of the run, with its exception."""
        kind, message, report, refused = "", "", "", refusals.own()
        lineno = self._line_of(error)
        if error is not None:
            kind, refused = short_name(type(error)), refusals.cause_of(error)
            with suppress(Exception):
                message = str(error.msg if isinstance(error, SyntaxError) else error)
            error.__traceback__ = _own_steps(error, {unit.name for unit in self._units})
            with suppress(Exception):
                report = failure_text(read_failure(error, self._stage.sources))
        if isinstance(error, NameError) and error.name in self._stage.removed:
            return untried(f"it needs `{error.name}`, which is hidden")
        if kind.endswith("MemoryError"):
            return untried("it would take more memory than a try may", is_deadly=True)
        seen = Seen(outcome="runs", text=RAN)
        if refused:
            seen = untried(_encodable(f"it would {refused}"), is_deadly=refused == END_KERNEL)
        elif kind:
            headline = ": ".join(filter(None, (kind, " ".join(message.split()))))
            seen = Seen(
                outcome="raises", text=_encodable(f"raises {clip(headline, _MAX_HEADLINE)}")
            )
        num_figures, names = 0, self._names()
        with suppress(Exception):
            num_figures = self._silence.num_figures
            seen = self._with_facts(seen, names) if seen.runs else seen
        return replace(
            seen,
            error_kind=_encodable(kind),
            message=_encodable(message, _MAX_MESSAGE),
            index=self._index,
            lineno=lineno,
            report=_encodable(report, _MAX_REPORT),
            printed=_encodable(self._silence.stdout.text),
            result=_encodable(self._result),
            names=tuple(names),
            kinds=tuple(_encodable(self._kind_of(name), _MAX_NAME) for name in names),
            num_figures=num_figures,
        )

    def _with_facts(self, seen: Seen, names: Collection[str]) -> Seen:
        """Return the result with the values that the code made, changed and shows."""
        bound = [name for name in names if name in self._about]
        now = _sized(self._namespace, [*sorted(self._about - {*bound}), *bound])
        changed = {*bound, *(one.name for one in self._bindings() if one.verb == "changes")}
        old, replaced = self._sizes, [name for name in bound if name in self._before]
        after = {name: one for name, one in now.items() if name in changed or one != old.get(name)}
        after |= _sized({"": self._value}, [""])
        own = None if self._mended is None else _names_bound(self._mended)
        facts = Facts(old, after, self._silence.drawn, self._python, replaced, own)
        text, num_lost = facts.summary()
        shown, kind, value = after.get(""), type(self._value), ""
        with suppress(BaseException):  # of its `repr`, whose actions are not the draft's either
            value = self._value_text()
        self._stage.refusals.clear()
        lost = [name for name in names if extent_of(self._before.get(name)) is not None]
        return replace(
            seen,
            text=_encodable("; ".join(filter(None, (seen.text, text))), _MAX_MESSAGE),
            num_lost=num_lost,
            kind=_encodable(short_name(kind), _MAX_NAME) * (self._value is not None),
            size=shown.size if shown is not None else 0,
            labels=tuple(_encodable(one, _MAX_NAME) for one in _labels(self._value)),
            value=_encodable(value),
            changed=tuple({*old}.intersection(after).union(lost)),
        )

    def _value_text(self) -> str:
        """Return the text of the value that is shown, printed or else bound last; "" for none."""
        value: Any = self._value
        if value is None:
            value = self._silence.stdout.text.strip() or None
            with suppress(TypeError, ValueError):  # `print(x)` has the value of `x`
                value = float(value)
        if value is None:
            names = [one.name for one in bindings(self._python) if one.name in self._namespace]
            value = self._namespace[names[-1]] if names else None
        if getattr(value, "ndim", None) == 0:  # of NumPy
            value = value.item()
        if value is None or callable(value) or isinstance(value, ModuleType):
            return ""
        if isinstance(value, float):
            return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
        # Few items, since a list of lists has their product.
        text = value if isinstance(value, str) else pretty(value, max_seq_length=_MAX_ITEMS)
        # Objects that print as their address cannot be compared.
        return "" if " at 0x" in text else clip(text[: _MAX_RESULT * 10], _MAX_RESULT)

    def _bindings(self) -> list[Binding]:
        """Return what the code binds and changes; an expression with a new value does neither."""
        tree = parse_cell(self._python)
        is_own = any(self._value is one for one in self._namespace.values())  # of `inplace`
        shows = self._value is not None and not is_own and tree is not None and tree.body
        end = tree.body[-1].lineno if tree is not None and shows else None
        return [one for one in bindings(self._python) if end is None or one.line < end]

    def _line_of(self, error: BaseException | None) -> int:
        """Return the running line of the draft's cell, or the line of its syntax error."""
        name = self._units[self._index].name
        if isinstance(error, SyntaxError) and error.filename == name:
            return error.lineno or 0
        line, step = 0, error.__traceback__ if error is not None else None
        while step is not None:
            if step.tb_frame.f_code.co_filename == name:
                line = step.tb_lineno
            step = step.tb_next
        return line

    def _names(self) -> list[str]:
        """Return the names that were bound or rebound."""
        missing = object()
        bound = (
            _encodable(str(name), _MAX_NAME)
            for name, value in list(self._namespace.items())
            if self._before.get(name, missing) is not value
        )
        return [name for name in islice(bound, _MAX_NAMES) if not name.startswith("_")]

    def _kind_of(self, name: str) -> str:
        return short_name(type(self._namespace.get(name)))

    def _looked(self, seen: Seen, refusals: Refusals) -> Seen:
        """Return the result with the answer of `look`, if it can be encoded."""
        if self._stage.look is None:
            return seen
        with suppress(Exception):
            looked = self._stage.look(self._namespace)
            if len(msgspec.json.encode(looked)) <= _MAX_LOOKED:
                seen = replace(seen, looked=looked)
        # `look` may run more of the user's code.
        if seen.outcome != "refused" and (refused := refusals.own()):
            would = untried(_encodable(f"it would {refused}"), is_deadly=refused == END_KERNEL)
            seen = replace(seen, outcome=would.outcome, text=would.text)
        return seen


def _sized(namespace: dict[str, Any], names: Sequence[str]) -> dict[str, Extent]:
    last = ((one, size) for one in reversed(names) if (size := extent_of(namespace.get(one))))
    return dict(reversed([*islice(last, _MAX_SIZED)]))


def _labels(value: Any) -> list[str]:
    """Return the labels of a table's columns and axes, or the keys of a dictionary."""
    if type(value) is dict:
        return [str(key) for key in islice(value, _MAX_NAMES) if type(key) is str]
    axes = [getattr(value, "index", None), getattr(value, "columns", None)]
    names = [name for axis in axes for name in getattr(axis, "names", None) or ()]
    names += [*(column_labels(value) or ()), getattr(value, "name", None)]
    return [name for name in names if type(name) is str][:_MAX_NAMES]


def _names_bound(source: str) -> frozenset[str]:
    """Return the names that a cell binds or changes, also of one with a syntax error."""
    if parse_cell(source) is None:
        return bound_names(source)
    return frozenset(one.name for one in bindings(source))


def _own_steps(error: BaseException, names: set[str]) -> TracebackType | None:
    """Return a traceback without our own frames above the draft's."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename not in names:
        step = step.tb_next
    return step


def _encodable(text: str, most: int | None = None) -> str:
    """Return a text of at most `most` characters without lone surrogates."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")
