"""Work before and after each cell: numbering its prompts, and reading ahead."""

from __future__ import annotations

import ast
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from IPython.core.error import InputRejected

from jupyter_llm.api import llm
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.shell import current_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.frontends.prompt.options import Options

logger = logging.getLogger(__name__)


class NotRunError(JupyterLLMError, InputRejected):
    """A cell must not run. After any other error IPython would remove the transformer."""


@dataclass(slots=True, eq=False)
class _CellRun:
    """One run of a cell, and the number of prompts it has sent."""

    cell_id: Hashable
    source: str = ""
    num_prompts: int = 0


class CellRuns:
    """The running cells. At their end, the model reads the cells that the next prompt includes."""

    def __init__(self, defaults: Callable[[], Options], chat_of: Callable[[Options], Chat]) -> None:
        self._defaults = defaults
        self._chat_of = chat_of
        self._runs: list[_CellRun] = []  # the innermost last
        self._refusal = ""

    @property
    def running(self) -> tuple[str, str] | None:
        """Return the running cell: its id, if the front end sends one, and its source."""
        run = self._runs[-1] if self._runs else _CellRun(None)
        return (run.cell_id, run.source) if isinstance(run.cell_id, str) else None

    def next_origin(self) -> Hashable:
        """Return a key of the next prompt among those of its cell, the same on a re-run."""
        if not self._runs or self._runs[-1].cell_id is None:
            return None
        run = self._runs[-1]
        run.num_prompts += 1
        return (run.cell_id, run.num_prompts)

    @property
    def is_single_prompt(self) -> bool:
        """Whether the running cell is one prompt or command."""
        source = self._runs[-1].source.strip() if self._runs else ""
        return source.startswith("%%llm") or (source.startswith("%llm") and "\n" not in source)

    def start(self, info: ExecutionInfo) -> None:
        """Record the running cell (IPython's pre_run_cell).

        Code that runs inside a cell without an id of its own, as under `%%capture`, belongs to the
        cell.
        """
        llm.current.hold_background(is_held=True)
        source, shell = info.raw_cell or "", current_shell()
        self._refusal = llm.kept_runs.replays.begin(source, shell.user_ns)
        llm.kept_runs.begin(source, shell)
        cell_id = getattr(info, "cell_id", None)
        if cell_id is not None or not self._runs:
            self._runs = [_CellRun(cell_id, info.raw_cell or "")]
        else:
            self._runs.append(self._runs[-1])

    def visit(self, tree: ast.Module) -> ast.Module:
        """Let a cell run unless it was refused at its start (IPython's ast_transformers)."""
        refusal, self._refusal = self._refusal, ""
        if refusal:
            raise NotRunError(refusal)
        return tree

    def end(self, result: ExecutionResult | None) -> None:
        """Read ahead, and write the chats to the disk (IPython's post_run_cell).

        If the cell succeeded, prompts that it sent in earlier runs and no longer sends are removed
        from the chats.
        """
        # it began before the extension was loaded
        run = self._runs.pop() if self._runs else _CellRun(None)
        if run in self._runs:
            return
        llm.current.hold_background(is_held=False)
        shell, is_success = current_shell(), result is not None and bool(result.success)
        llm.kept_runs.replays.end(shell.user_ns, is_success=is_success)
        llm.kept_runs.end(shell)
        self._read_ahead()
        for chat in llm.chats:
            chat.settle()
        llm.archive.flush()
        # Without a result, a cell with `await` was cancelled.
        if result is None or not result.success or run.cell_id is None or not run.num_prompts:
            return
        for chat in llm.chats:
            chat.forget(lambda o: o is not None and o[0] == run.cell_id and o[1] > run.num_prompts)

    def _read_ahead(self) -> None:
        engine = llm.current.resident
        if engine is None:
            return
        try:
            options = self._defaults()
            if options.context == "auto":
                self._chat_of(options).reading.ahead(engine, options.vars)
        except Exception:  # the user did not request this
            logger.debug("The cells could not be read ahead", exc_info=True)
