"""What a copy does: run the cells of a draft, and say what came of it."""

from __future__ import annotations
import __future__

import ast
import asyncio
import inspect
import linecache
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any

import msgspec

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.sources import CellSource, CellSources
from jupyter_llm.notebook.failures.failure import read_failure
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.sealed.cells import Unit
from jupyter_llm.notebook.sealed.polars_again import begin_again, copied_library
from jupyter_llm.notebook.sealed.refusals import Refusals
from jupyter_llm.notebook.sealed.silence import Silence
from jupyter_llm.notebook.values.peek import short_name

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_ASYNC = re.compile(r"\b(?:async|await|asyncio)\b")
_MAX_MESSAGE = 600
_MAX_RESULT = 2000
_MAX_REPORT = 12_000
_MAX_NAMES, _MAX_NAME = 200, 200
_MAX_LOOKED = 300_000  # bytes


class Verdict(msgspec.Struct, omit_defaults=True):
    """What a copy says to its parent, which trusts none of it."""

    error_kind: str = ""
    message: str = ""
    index: int = 0
    lineno: int = 0
    report: str = ""
    refused: str = ""
    printed: str = ""
    result: str = ""
    names: list[str] = []
    num_figures: int = 0
    looked: Any = None


class _IterationEndedError(Exception):
    """A StopIteration of the draft's, which cannot leave a coroutine as it is."""


class TriedSources(CellSources):
    """The cells of the notebook and those of a draft."""

    def __init__(self, shell: Any, units: Sequence[Unit]) -> None:
        super().__init__()
        self._others = CellSources.of_shell(shell) if shell is not None else CellSources()
        self._units = {unit.name: unit for unit in units}

    def find(self, filename: str) -> CellSource | None:
        """The cell that was compiled under a name, the draft's too."""
        unit = self._units.get(filename)
        if unit is None:
            return self._others.find(filename)
        return CellSource(source=unit.source, compiled=unit.python)


class Run:
    """The run of a draft in this process, which is a sealed copy."""

    def __init__(
        self,
        units: Sequence[Unit],
        namespace: dict[str, Any],
        shell: Any,
        look: Callable[[dict[str, Any]], object] | None,
        *,
        begins_polars_again: bool = False,
    ) -> None:
        self._units = units
        self._namespace = namespace
        self._shell = shell
        self._look = look
        self._begins_polars_again = begins_polars_again
        self._polars: int | None = None
        self._before = dict(namespace)
        self._silence = Silence(shell)
        self._index = 0
        self._result = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    def prepare(self) -> None:
        """Make what cannot be made behind the seal: an event loop wakes itself by sockets."""
        if self._begins_polars_again:
            self._polars = copied_library()
        if any(_ASYNC.search(unit.python) for unit in self._units):
            self._loop = asyncio.new_event_loop()

    def work(self, *, was_writable: bool) -> bytes:
        """Run it all; what came of it, as the parent reads it."""
        if self._polars is not None:
            begin_again(self._polars)
        refusals = Refusals(self._namespace, was_writable=was_writable)
        self._silence.begin()
        refusals.watch()
        error = self._run()
        if error is None:
            verdict = Verdict(refused=refusals.own() or refusals.written())
        else:
            verdict = self._verdict_of(error, refusals)
        verdict.index = self._index
        verdict.printed = self._silence.printed
        verdict.result = self._result
        verdict.names = self._names()
        with suppress(Exception):
            verdict.num_figures = self._silence.num_figures
        return self._with_look(verdict, refusals)

    def _run(self) -> BaseException | None:
        """Run all cells; what the one raised that did not come to its end."""
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
                value = await self._run_unit(unit)
                if value is not None:
                    self._result = self._shown(value)
        except _IterationEndedError as error:
            return error.__cause__
        except BaseException as error:  # noqa: BLE001  whatever a draft raises
            return error
        return None

    async def _run_unit(self, unit: Unit) -> object:
        """Run a cell; the value of an expression at its end is what it shows."""
        lines = unit.python.splitlines(keepends=True)
        linecache.cache[unit.name] = (len(unit.python), None, lines, unit.name)
        flags = _FLAGS | (self._shell.compile.flags if self._shell is not None else 0)
        whole = compile(unit.python, unit.name, "exec", flags, dont_inherit=True)
        tree = compile(unit.python, unit.name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr) or unit.python.rstrip().endswith(";"):
            await self._evaluated(whole)
            return None
        flags |= whole.co_flags & _FUTURE
        first = ast.Module(tree.body[:-1], type_ignores=[])
        await self._evaluated(compile(first, unit.name, "exec", flags, dont_inherit=True))
        expression = ast.Expression(last.value)
        return await self._evaluated(
            compile(expression, unit.name, "eval", flags, dont_inherit=True)
        )

    async def _evaluated(self, code: Any) -> object:
        try:
            value = eval(code, self._namespace)  # noqa: S307  that is what the copy is for
        except StopIteration as error:
            raise _IterationEndedError from error
        if code.co_flags & inspect.CO_COROUTINE:
            return await value
        return value

    def _shown(self, value: object) -> str:
        if self._shell is None:
            return _shortened(repr(value))
        data, _ = self._shell.display_formatter.format(value)
        self._silence.count(data)
        return _shortened(str(data.get("text/plain", "")))

    def _verdict_of(self, error: BaseException, refusals: Refusals) -> Verdict:
        message = ""
        with suppress(Exception):
            message = str(error.msg if isinstance(error, SyntaxError) else error)
        verdict = Verdict(
            error_kind=short_name(type(error)),
            message=message[:_MAX_MESSAGE],
            lineno=self._line_of(error),
            refused=refusals.behind(error),
        )
        error.__traceback__ = _own_steps(error, {unit.name for unit in self._units})
        with suppress(Exception):
            sources = TriedSources(self._shell, self._units)
            failure = read_failure(error, sources, namespace=self._namespace)
            verdict.report = failure_text(failure)[:_MAX_REPORT]
        return verdict

    def _line_of(self, error: BaseException) -> int:
        """The line of the draft's cell that was running, or where it is no Python."""
        name = self._units[self._index].name
        if isinstance(error, SyntaxError) and error.filename == name:
            return error.lineno or 0
        line, step = 0, error.__traceback__
        while step is not None:
            if step.tb_frame.f_code.co_filename == name:
                line = step.tb_lineno
            step = step.tb_next
        return line

    def _names(self) -> list[str]:
        """The names that were bound anew or to something else."""
        missing = object()
        bound = (
            str(name)[:_MAX_NAME]
            for name, value in list(self._namespace.items())
            if self._before.get(name, missing) is not value
        )
        return [name for name in islice(bound, _MAX_NAMES) if not name.startswith("_")]

    def _with_look(self, verdict: Verdict, refusals: Refusals) -> bytes:
        for name in ("error_kind", "message", "report", "refused", "printed", "result"):
            setattr(verdict, name, _encodable(getattr(verdict, name)))
        verdict.names = [_encodable(name) for name in verdict.names]
        plain = msgspec.json.encode(verdict)
        if self._look is None:
            return plain
        with suppress(Exception):
            verdict.looked = self._look(self._namespace)
            # To look may be to run more of the user's code.
            verdict.refused = verdict.refused or _encodable(refusals.own() or refusals.written())
            said = msgspec.json.encode(verdict)
            if len(said) - len(plain) <= _MAX_LOOKED:
                return said
        return plain


def _own_steps(error: BaseException, names: set[str]) -> TracebackType | None:
    """A traceback without our own steps above the draft's."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename not in names:
        step = step.tb_next
    return step


def _shortened(text: str) -> str:
    """A text as short as it is told; what is very long is cut first, since clipping looks at it."""
    return clip(text[: _MAX_RESULT * 10], _MAX_RESULT)


def _encodable(text: str) -> str:
    """A text without halves of characters, which no encoding has."""
    return text.encode("utf-8", "replace").decode("utf-8")
