"""A task: the notebook as it is now, and the model that is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.many import drawn, varied
from jupyter_llm.ask.question import Question
from jupyter_llm.chat.question import code_prompt
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.stream import finished
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.sources import CellSources
from jupyter_llm.notebook.cells.timeline import check_is_visible
from jupyter_llm.notebook.failures.failure import read_failure
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.tasks.begun import BegunStream
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.tries import NO_TRIES, Tries
from jupyter_llm.tasks.write import write_code

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.cells.events import CellEvent, Picture
    from jupyter_llm.notebook.failures.failure import FailedRun, Failure
    from jupyter_llm.notebook.failures.last_error import LastError
    from jupyter_llm.tasks.code_answer import CodeAnswer
    from jupyter_llm.tasks.judging import Check
    from jupyter_llm.tasks.proposal import Former


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task about the notebook as it is at this moment, and the model that is asked about it.

    `engine` returns the engine when there is something to ask, since loading takes time. `show`
    reads the stream of each answer to its end, and `show_progress` gets the progress while there is
    no stream. Unless it `is_kept`, nothing is written to the disk. `tries` runs code before it is
    inserted. All prompts have the text `system`, and follow the proposal `former`. `vars` "none":
    prompts include no variables.

    `cells`: the runs on the timeline that prompts may include. `hidden`: the other runs.
    `pictures`: those of runs, by the runs' numbers. `error`: the last exception of the user's, with
    the run that raised it. `earlier`: the failures before it, by the ids of their cells.
    """

    engine: Callable[[], Engine]
    answers: AnswerLog
    system: str | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    show: Callable[[Stream], Completion] = lambda stream: stream.result()
    show_progress: ShowProgress | None = None
    is_kept: bool = True
    tries: Tries = NO_TRIES
    former: Former | None = None
    vars: str = "auto"
    cells: Sequence[CellEvent] = ()
    hidden: Sequence[CellEvent] = ()
    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    namespace: Mapping[str, Any] = field(default_factory=dict)
    sources: CellSources = field(default_factory=CellSources)
    error: tuple[BaseException, FailedRun | None] | None = None
    earlier: Mapping[str, Failure] = field(default_factory=dict)

    @classmethod
    def of_shell(
        cls,
        shell: InteractiveShell | None,
        last_error: LastError,
        cells: Sequence[CellEvent] = (),
        hidden: Sequence[CellEvent] = (),
        **rest: Any,
    ) -> Self:
        """Return a task in a shell; without a shell there are no cells and no names."""
        if shell is not None:
            sources = CellSources.of_shell(shell, [*cells, *hidden])
            rest |= {"cells": cells, "namespace": shell.user_ns, "sources": sources}
        return cls(error=last_error.get(), earlier=last_error.earlier, hidden=hidden, **rest)

    def failure(self, cell_id: str | None = None) -> Failure | None:
        """Return the last error, or the last error of a cell; None if there was none.

        `MagicUsageError`: it is the error of a hidden cell. The failure includes no other hidden
        cells.
        """
        failure = self.earlier.get(cell_id or "")
        error, run = self.error or (None, None)
        is_last = cell_id is None or (run is not None and run.cell_id == cell_id)
        if error is not None and is_last:
            room = {"max_chars": 0} if self.vars == "none" else {}
            failure = read_failure(error, self.sources, run=run, **room)
        if failure is None:
            return None
        if failure.run is not None:
            check_is_visible(self.hidden, failure.run.cell_id, failure.run.execution_count)
        return failure.without({one.number for one in self.hidden})

    def failure_of(self, cell: CellEvent) -> Failure | None:
        """Return the error of a run of a cell, if it is still known."""
        failure = self.failure(cell.cell_id) if cell.has_failed else None
        run = failure.run if failure is not None else None
        return failure if run is not None and run.execution_count in cell.counts else None

    def ask(self, prompt: str, *, begin: str = "", known: str = "") -> Completion:
        """Ask, and return the answer.

        The answer continues `begin`. `known` is shown before it, at once.
        """
        request = replace(self._request(prompt), answer_prefix=begin)
        with ask(self.engine(), request, "task", self.answers) as stream:
            return self.show(BegunStream(stream, known + begin) if known or begin else stream)

    def code(self, prompt: str, *, may_be_empty: bool = False, **how: Any) -> CodeAnswer:
        """Ask for code, as `write` explains; `MagicUsageError` if the answer has none.

        With `may_be_empty` an empty block is an answer.
        """
        answer = self.write(prompt, **how)
        is_empty = not answer.completion.text.partition("```")[0].strip()
        if not answer.cells and not (may_be_empty and is_empty):
            raise MagicUsageError("The model wrote no code.", "Try again, or another model.")
        return answer

    def write(
        self,
        prompt: str,
        *,
        begin: str = "",
        unlike: str | None = None,
        check: Check | None = None,
    ) -> CodeAnswer:
        """Ask for drafts of code that begin with `begin` and differ from `unlike`; return the best.

        The sources of a draft are tried one after the other, or as `check` does it. It may have no
        cells.
        """
        known = [] if unlike is None else [unlike]
        if self.former is not None:
            known.append(self.former.source)
        judge = Judge(names=self.tries, tries=self.tries, unlike=known, check=check)
        answer = write_code(
            self.engine(),
            self._request(code_prompt(prompt)),
            judge,
            begin=begin,
            show=self.show,
            show_progress=self.show_progress,
        )
        self.answers.log(answer.request, finished(answer.completion))
        return answer

    def draft(
        self,
        prompt: str,
        *,
        begin: str,
        count: int = 1,
        first: int = 1,
        stop: Sequence[str] = (),
        max_tokens: int | None = None,
        end_s: float | None = None,
    ) -> list[Completion]:
        """Ask for a few texts at once that continue `begin` and end before any of `stop`.

        The beginning is not part of the texts. `first` and `end_s` are those of `drawn`. Only the
        first draft is shown, and only if `first` is 1.
        """
        engine, request = self.engine(), self._request(prompt)
        params = request.params.filled(engine.info.sampling.for_code)
        most = params.max_tokens if max_tokens is None else max_tokens
        params = replace(params, stop=(*params.stop, *stop))
        params = replace(
            params, max_tokens=min(filter(None, (most, params.max_tokens)), default=None)
        )
        request = replace(request, params=params, answer_prefix=begin)
        more = range(1, 1 if params.temperature == 0 else count)  # at 0 all would be the same
        found = list(
            drawn(
                engine,
                [request, *(varied(request, number) for number in more)],
                show=None if first > 1 else lambda s: self.show(BegunStream(s, begin, waits=True)),
                show_progress=self.show_progress,
                first=first,
                end_s=end_s,
            )
        )
        for again, completion in found:
            self.answers.log(again, finished(completion))
        return [completion for _, completion in found]

    def _request(self, prompt: str) -> Request:
        # All of it comes from the notebook, so nothing in it is the user's own word to the model.
        question: Question[str] = Question(
            prompt=redact_mixed(prompt).text,
            system=self.system,
            # Thoughts would take the answer's room.
            params=replace(self.params, think=bool(self.params.think)),
            is_kept=self.is_kept,
            origin="task",
        )
        request = question.request
        return self.former.followed(request) if self.former is not None else request
