"""Runs cells and an answer in a process that may fail, and lets a check look at what came of it.

As a program it is the process: it imports the libraries once and forks for every job, so that no
job sees what another one did, and one that hangs is killed. As a module it is the way to ask:
`with Checker() as checker: checker.check(Job(cells, source, check))`.

A check is Python that runs in the namespace after the answer did, and may use

- `value(*names)`: the variable of the first such name that the answer bound or changed. Else what
  the answer shows: the value of its last expression, what it printed last, or a variable that it
  bound. The check passes if one of these passes.
- `result()`: as `value()` without names.
- `near(a, b)`, `near(a, b, any_order=True)`: see `judge`.
- `figure()`: what the newest figure shows, see `judge.Figure`.
- `printed`: what the answer printed, its last expression as a notebook shows it included.
- `before`: a copy of the namespace as it was before the answer: `before["sales"]`.
"""

from __future__ import annotations

import ast
import builtins
import copy
import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.judge import Figure, figure_facts, near

from jupyter_llm.notebook.code.syntax import cell_python

LIMIT_S = 10.0
_MAX_BYTES = 4 << 30  # a job may take
_MAX_VALUES = 8  # a check is tried with
_TEXT_CHARS = 300  # of an error


@dataclass(frozen=True, slots=True)
class Job:
    """Cells that ran, the code that runs after them, and the check of what came of it."""

    cells: Sequence[str]
    source: str
    check: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether code ran, whether the check accepts it, and what went wrong if not."""

    runs: bool
    is_right: bool
    error: str = ""
    printed: str = ""


class Checker:
    """The process that checks, from outside."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = self._folder.name
        paths = (str(Path(__file__).parents[2]), str(Path(__file__).parents[1]))
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={
                **os.environ,
                "HOME": folder,
                "MPLBACKEND": "agg",
                "MPLCONFIGDIR": folder,
                "POLARS_MAX_THREADS": "1",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(paths),
            },
        )

    def check(self, job: Job) -> Verdict:
        """Run a job, and say what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()


class Notebook:
    """A namespace in which cells run one after another, as in a notebook."""

    def __init__(self) -> None:
        self.shown: list[Any] = []  # objects that were printed or displayed
        self.namespace: dict[str, Any] = {
            "__name__": "__main__",
            "display": self._display,
            "print": self._print,
            "get_ipython": _no_ipython,
        }
        self.last: Any = None  # the value of the last expression

    def run(self, source: str) -> None:
        """Run a cell, keeping the value of its last expression."""
        tree = ast.parse(cell_python(source), "<cell>")
        self.last = None
        end = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), self.namespace)  # noqa: S102  that is the purpose
        if isinstance(end, ast.Expr):
            expression = compile(ast.Expression(end.value), "<cell>", "eval")
            self.last = eval(expression, self.namespace)  # noqa: S307  as above
            if self.last is not None and not source.rstrip().endswith(";"):
                builtins.print(repr(self.last))

    def _print(self, *values: object, **how: Any) -> None:
        self.shown += values
        builtins.print(*values, **how)

    def _display(self, *values: object, **_how: Any) -> None:
        self._print(*values)


def _no_ipython() -> Any:
    """Something like the shell, to which magics mean nothing."""
    return SimpleNamespace(
        run_line_magic=lambda *_: None, run_cell_magic=lambda *_: None, system=_refuse
    )


def _refuse(*_: object) -> None:
    raise OSError("There are no other programs here.")


def judged(job: Job) -> Verdict:
    """Run a job in this process. Nothing else should live in it."""
    notebook = Notebook()
    out = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            for cell in job.cells:
                notebook.run(cell)
    except BaseException as error:  # noqa: BLE001  whatever others wrote
        return Verdict(runs=False, is_right=False, error=f"a cell before: {_text_of(error)}")
    before = _copied(notebook.namespace)
    _close_figures()
    notebook.shown.clear()
    try:
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            notebook.run(job.source)
    except BaseException as error:  # noqa: BLE001  as above
        printed = out.getvalue()[:_TEXT_CHARS]
        return Verdict(runs=False, is_right=False, error=_text_of(error), printed=printed)
    printed = out.getvalue()
    refusal = _refusal(job, notebook, before, printed) if job.check.strip() else ""
    return Verdict(runs=True, is_right=not refusal, error=refusal, printed=printed[:_TEXT_CHARS])


def _copied(namespace: dict[str, Any]) -> dict[str, Any]:
    """A copy of what can be copied."""
    copies = {}
    for name, each in namespace.items():
        copies[name] = each
        if not isinstance(each, ModuleType) and not name.startswith("__"):
            with suppress(Exception):
                copies[name] = copy.deepcopy(each)
    return copies


def _refusal(job: Job, notebook: Notebook, before: dict[str, Any], printed: str) -> str:
    """Why the check refuses; "" if with one of the values that may be meant it does not."""
    bound = bound_names(job.source, notebook.namespace)
    values = _candidates(notebook, bound)
    refusals = []
    for number in range(min(max(1, len(values)), _MAX_VALUES)):
        value = _Value(notebook.namespace, before, bound, values[number : number + 1])
        helpers = {
            "value": value,
            "result": value.of_nothing,
            "near": near,
            "figure": lambda: newest_figure(notebook),
            "printed": printed,
            "before": before,
        }
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                exec(  # noqa: S102  that is the purpose
                    compile(job.check, "<check>", "exec"), {**notebook.namespace, **helpers}
                )
        except BaseException as error:  # noqa: BLE001  the check met what it did not expect
            refusals.append(f"check, {_where(error, job.check)}: {_text_of(error)}")
        else:
            return ""
    return refusals[0]


class _Value:
    """`value` of a check."""

    def __init__(
        self,
        namespace: dict[str, Any],
        before: dict[str, Any],
        bound: Sequence[str],
        else_: Sequence[Any],
    ) -> None:
        self._namespace = namespace
        self._before = before
        self._bound = bound
        self._else = else_

    def __call__(self, *names: str) -> Any:
        for name in names:
            if name in self._bound or self._is_changed(name):
                return self._namespace[name]
        return self.of_nothing()

    def of_nothing(self) -> Any:
        assert self._else, "The answer binds and shows nothing."
        return self._else[0]

    def _is_changed(self, name: str) -> bool:
        if name not in self._namespace:
            return False
        try:
            return not near(self._namespace[name], self._before.get(name))
        except Exception:  # noqa: BLE001  objects that cannot be compared
            return False


def bound_names(source: str, namespace: dict[str, Any]) -> list[str]:
    """The names that code binds at the top, the last first; loop variables and modules are none."""
    tree = ast.parse(cell_python(source))
    names: list[str] = []
    for statement in _statements(tree.body):
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.append(statement.name)
            continue
        targets: list[ast.AST] = [
            node for node in ast.walk(statement) if isinstance(node, ast.NamedExpr)
        ]
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
            targets.append(statement.target)
        for target in targets:
            names += [
                node.id
                for node in ast.walk(target)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]
    unique = dict.fromkeys(reversed(names))
    return [name for name in unique if name in namespace]


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at the top, those of loops and branches too."""
    for statement in body:
        if isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, name, ()))
        else:
            yield statement


def _candidates(notebook: Notebook, bound: Sequence[str]) -> list[Any]:
    """The values an answer may mean as its result, the likeliest first."""
    values = [notebook.last] if notebook.last is not None else []
    variables = [notebook.namespace[name] for name in bound]
    values += [value for value in variables if not callable(value)][:1]
    values += reversed(notebook.shown)
    values += [value for value in variables if not callable(value)][1:]
    return values + [value for value in variables if callable(value)]


def newest_figure(notebook: Notebook) -> Figure:
    """What the newest figure shows; `AssertionError` if there is none."""
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as DrawnFigure

    if numbers := plt.get_fignums():
        return figure_facts(plt.figure(numbers[-1]))
    for each in (notebook.last, *reversed(notebook.namespace.values())):
        if isinstance(each, Axes):
            return figure_facts(each.figure)
        if isinstance(each, DrawnFigure):
            return figure_facts(each)
    raise AssertionError("There is no figure.")


def _close_figures() -> None:
    """Close the figures of the cells before, as a notebook does."""
    if (plt := sys.modules.get("matplotlib.pyplot")) is not None:
        plt.close("all")


def _text_of(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}"[:_TEXT_CHARS] if text else type(error).__name__


def _where(error: BaseException, check: str) -> str:
    """The line of the check that refused."""
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == "<check>"
    ]
    source = check.split("\n")
    return source[lines[-1] - 1].strip() if lines and lines[-1] <= len(source) else "it"


def in_child(job: Job, limit_s: float) -> Verdict:
    """Run a job in a fork of this process, and kill that if it takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(reader)
            _be_harmless(limit_s)
            verdict = judged(job)
            os.write(writer, json.dumps(asdict(verdict)).encode())
        os._exit(0)
    os.close(writer)
    text = b""
    ends_s = time.monotonic() + limit_s
    while select.select([reader], [], [], max(0.0, ends_s - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 16)
        text += piece
        if not piece:
            break
    is_late = time.monotonic() >= ends_s
    os.close(reader)
    for end in (os.killpg, os.kill):
        with suppress(OSError):
            end(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if text:
        with suppress(ValueError):
            return Verdict(**json.loads(text))
    reason = f"still running after {limit_s:g} s" if is_late else "the process ended"
    return Verdict(runs=False, is_right=False, error=reason)


def _be_harmless(limit_s: float) -> None:
    """Give up the network, standard input and more memory than a notebook takes."""
    import resource
    import socket

    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_BYTES, _MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 2, int(limit_s) + 2))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = io.StringIO()
    for owner, name in ((socket.socket, "connect"), (subprocess.Popen, "__init__"), (os, "system")):
        setattr(owner, name, _refuse)
    warnings.simplefilter("ignore")


@contextmanager
def own_output() -> Iterator[int]:
    """Where the verdicts go; whatever else is written to standard output goes nowhere."""
    kept = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    yield kept


def main() -> None:
    for library in ("numpy", "pandas", "matplotlib.pyplot"):
        import_module(library)  # before the forks, which then have it

    limit_s = float(sys.argv[1])
    with own_output() as output:
        for line in sys.stdin:
            verdict = in_child(Job(**json.loads(line)), limit_s)
            os.write(output, json.dumps(asdict(verdict)).encode() + b"\n")


if __name__ == "__main__":
    main()
