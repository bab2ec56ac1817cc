"""What `/fix`, `/explain` and their like know of the notebook, and whom they ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.sources import CellSources
from jupyter_llm.notebook.failures.failure import read_failure
from jupyter_llm.notebook.failures.frames import Limits, Summarize
from jupyter_llm.notebook.values.summaries import summarize

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.engine.base import Completion
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.failure import FailedRun, Failure
    from jupyter_llm.notebook.failures.last_error import LastError


class Ask(Protocol):
    """Sends one prompt to the model and waits for the answer."""

    def __call__(self, prompt: str, *, as_code: bool) -> Completion:
        """Return the completion; with `as_code` the answer is made to begin with Python code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The notebook at the moment something is asked about it.

    `cells` are the runs on the timeline, `error` is the last exception of the user's with the run
    it ended. `to_code` makes Python that parses out of an answer; `unknown_names` returns the names
    that code uses and nobody defines.
    """

    ask: Ask
    to_code: Callable[[str], str]
    unknown_names: Callable[[str], Sequence[str]]
    cells: Sequence[CellEvent] = ()
    namespace: Mapping[str, Any] = field(default_factory=dict)
    sources: CellSources = field(default_factory=CellSources)
    error: tuple[BaseException, FailedRun | None] | None = None
    summarize: Summarize = summarize
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of_shell(
        cls,
        shell: InteractiveShell | None,
        last_error: LastError,
        cells: Sequence[CellEvent] = (),
        **rest: Any,
    ) -> Situation:
        """Return the situation of a shell; without one there are no cells, and no names."""
        if shell is None:
            return cls(error=last_error.get(), **rest)
        return cls(
            cells=cells,
            namespace=shell.user_ns,
            sources=CellSources.of_shell(shell, cells),
            error=last_error.get(),
            **rest,
        )

    def ask_for_code(self, prompt: str) -> tuple[str, Completion]:
        """Return the code the model answers with, made to parse, and its completion.

        Raises
        ------
        MagicUsageError
            There is no code in the answer.
        """
        completion = self.ask(prompt, as_code=True)
        source = self.to_code(completion.text)
        if not source.strip():
            raise MagicUsageError("The model wrote no code.", "Try again, or another model.")
        return source, completion

    def failure(self) -> Failure | None:
        """Return the last error as a value, or None if there was none."""
        if self.error is None:
            return None
        error, run = self.error
        return read_failure(
            error,
            self.sources,
            run=run,
            namespace=self.namespace,
            summarize=self.summarize,
            limits=self.limits,
        )
