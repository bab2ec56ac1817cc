"""Remembers the user's last exception, and how other cells failed before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.failure import FailedRun, Failure

_MAX_EARLIER = 20
_OURS = (JupyterLLMError, PromptInterrupted)


class LastError:
    """The exception that last ended a cell, even if other cells have run well since.

    Our own exceptions do not count, so `/fix` after a failed `/fix` still refers to the user's. At
    most one exception is kept. For those before it, `earlier` has the facts without variables, by
    the ids of cells that have not run since. `cells` returns the runs so far.
    """

    def __init__(self, cells: Callable[[], Sequence[CellEvent]] = tuple) -> None:
        self._cells = cells
        self._shell: InteractiveShell | None = None
        self._error: BaseException | None = None
        self._run: FailedRun | None = None
        self._is_over = False  # its cell has run well since
        self.earlier: dict[str, Failure] = {}

    def watch(self, shell: InteractiveShell) -> None:
        """Start to record how cells end."""
        self._shell = shell
        shell.events.register("post_run_cell", self.end_cell)

    def unwatch(self, shell: InteractiveShell) -> None:
        """Stop, and release the exception."""
        shell.events.unregister("post_run_cell", self.end_cell)
        self.clear()

    def clear(self) -> None:
        """Release the exception."""
        self._error = self._run = None
        self.earlier = {}

    def end_cell(self, result: ExecutionResult | None) -> None:
        """Record a cell's exception (IPython's post_run_cell).

        There is no result if the kernel cancelled an asynchronous cell.
        """
        if result is None:
            return
        error = result.error_before_exec
        if error is None:
            error = result.error_in_exec
        if issubclass(type(error), _OURS):
            return
        info: Any = result.info
        earlier = {key: one for key, one in self.earlier.items() if key != info.cell_id}
        if error is None:
            self._is_over |= self._run is not None and self._run.cell_id == info.cell_id
        else:
            from jupyter_llm.notebook.cells.sources import CellSources
            from jupyter_llm.notebook.failures.failure import FailedRun, read_failure

            old, run = self._error, None if self._is_over else self._run
            if old is not None and run is not None and run.cell_id not in (None, info.cell_id):
                sources = CellSources.of_shell(self._shell, self._cells())
                earlier[run.cell_id] = read_failure(old, sources, run=run, max_chars=0)
            count = result.execution_count
            self._error, self._is_over, cell_id = error, False, info.cell_id
            self._run = FailedRun(source=info.raw_cell, execution_count=count, cell_id=cell_id)
        self.earlier = dict(list(earlier.items())[-_MAX_EARLIER:])

    def get(self) -> tuple[BaseException, FailedRun | None] | None:
        """Return the exception and its run; an exception from before `watch` has no run."""
        if self._error is not None:
            return self._error, self._run
        error = getattr(sys, "last_exc", getattr(sys, "last_value", None))
        if isinstance(error, BaseException) and not issubclass(type(error), _OURS):
            return error, None
        return None
