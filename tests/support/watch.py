"""Watches a real shell, in a test or in a kernel: the cells that ran and the last error."""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from traitlets.config import Config

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.request import Request
from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.failures.last_error import LastError
from jupyter_llm.tasks.code_answer import CodeAnswer, CodeCell
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tries import NO_TRIES, Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jupyter_llm.notebook.failures.failure import Failure


@contextmanager
def watched_shell() -> Iterator[Watch]:
    """Start a real shell without the extension and watch it."""
    config = Config()
    config.HistoryManager.enabled = False  # its database would stay open
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    shell.InteractiveTB.set_mode("Minimal")  # how IPython shows errors is slow, and not our matter
    watch = Watch(shell)
    yield watch
    watch.close()
    # Not run now either: all it would do here is to collect garbage, a tenth of a second each time.
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()


@dataclass(frozen=True, kw_only=True)
class ScriptedTask(Task):
    """A task whose answers a test gives."""

    on_ask: Callable[..., Completion]
    on_write: Callable[..., CodeAnswer]
    on_draft: Callable[..., list[Completion]]

    def ask(self, prompt: str, **how: Any) -> Completion:
        return self.on_ask(prompt, **how)

    def write(self, prompt: str, **how: Any) -> CodeAnswer:
        return self.on_write(prompt, **how)

    def draft(self, prompt: str, **how: Any) -> list[Completion]:
        return self.on_draft(prompt, **how)


class Watch:
    """The cells that ran in a shell and the last error; makes tasks with a scripted answer."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.cells: list[CellEvent] = []
        self.last_error = LastError(lambda: self.cells)
        self.prompts: list[str] = []
        self._depth = 0
        self.last_error.watch(shell)
        shell.events.register("pre_run_cell", self._start_cell)
        shell.events.register("post_run_cell", self._end_cell)

    def close(self) -> None:
        self.last_error.unwatch(self.shell)
        self.shell.events.unregister("pre_run_cell", self._start_cell)
        self.shell.events.unregister("post_run_cell", self._end_cell)

    def run(self, source: str, cell_id: str | None = None) -> CellEvent:
        """Run a cell, which may fail, and return its event."""
        self.shell.run_cell(source, store_history=True, cell_id=cell_id)
        return self.cells[-1]

    def failure(self) -> Failure:
        failure = self.task().failure()
        assert failure is not None
        return failure

    def task(
        self,
        answer: str = "",
        *,
        unknown: tuple[str, ...] = (),
        drafts: Sequence[str] = (),
        tries: Tries = NO_TRIES,
    ) -> ScriptedTask:
        """A task now; the model in it gives one answer and notes the prompts.

        Where it is to go on from a beginning, it says the drafts first, in turn.
        """
        replies = list(drafts)

        def ask(prompt: str, **_how: Any) -> Completion:
            self.prompts.append(prompt)
            return Completion(text=answer, finish_reason="stop", usage=Usage(), model="script")

        def write(prompt: str, **_how: Any) -> CodeAnswer:
            cells = (CodeCell(source=answer, unknown_names=unknown),) if answer.strip() else ()
            return CodeAnswer(completion=ask(prompt), cells=cells, request=Request(prompt=prompt))

        def draft(prompt: str, *, count: int = 1, **_how: Any) -> list[Completion]:
            told = ask(prompt)
            texts = [replies.pop(0) if replies else answer for _ in range(count)]
            return [replace(told, text=text) for text in texts]

        cells = tuple(self.cells)
        answering: dict[str, Any] = {"on_ask": ask, "on_write": write, "on_draft": draft}
        asked: dict[str, Any] = {"engine": ScriptedEngine, "answers": AnswerLog(PromptStore())}
        how = {"tries": tries, **answering, **asked}
        return ScriptedTask.of_shell(self.shell, self.last_error, cells, **how)

    def _start_cell(self, _info: Any) -> None:
        self._depth += 1

    def _end_cell(self, result: Any) -> None:
        self._depth = max(self._depth - 1, 0)
        if self._depth:
            return  # it ran inside another, as under %%capture
        error = result.error_before_exec or result.error_in_exec
        outputs = (Output("error", type(error).__name__),) if error is not None else ()
        self.cells.append(
            CellEvent(
                number=len(self.cells) + 1,
                source=result.info.raw_cell,
                execution_count=result.execution_count,
                cell_id=result.info.cell_id,
                outputs=outputs,
            )
        )
