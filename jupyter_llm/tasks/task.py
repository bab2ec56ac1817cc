"""What there is to do: the notebook as it is now, and the model that is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.drafts import drawn, varied
from jupyter_llm.chat.asked import code_prompt
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.stream import finished
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.shell import current_shell, user_namespace
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
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.timeline import Timeline
    from jupyter_llm.notebook.failures.failure import FailedRun, Failure
    from jupyter_llm.notebook.failures.last_error import LastError
    from jupyter_llm.tasks.code_answer import CodeAnswer
    from jupyter_llm.tasks.former import Former
    from jupyter_llm.tasks.judging import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do about the notebook, as it is at this moment.

    `cells` are the runs on the timeline that may be told, `hidden` the others. `error` is the last
    exception of the user's with the run it ended, `earlier` has what is known of those before, by
    the ids of their cells. `ask` sends one prompt to the model and waits, `write` asks it for code
    and `draft` for texts that begin as they are told: see `Asking`. `tries` tells what comes of
    code before it lands. With `vars` "none" no variables are told. `engine` gives the model itself,
    loaded by then; it is None where there is none. `former` was proposed for it before.
    """

    ask: Callable[..., Completion]
    write: Callable[..., CodeAnswer]
    draft: Callable[..., list[Completion]]
    cells: Sequence[CellEvent] = ()
    hidden: Sequence[CellEvent] = ()
    namespace: Mapping[str, Any] = field(default_factory=dict)
    sources: CellSources = field(default_factory=CellSources)
    error: tuple[BaseException, FailedRun | None] | None = None
    earlier: Mapping[str, Failure] = field(default_factory=dict)
    tries: Tries = NO_TRIES
    vars: str = "auto"
    engine: Callable[[], Engine] | None = None
    show_progress: ShowProgress | None = None
    former: Former | None = None

    @classmethod
    def of_shell(
        cls,
        shell: InteractiveShell | None,
        last_error: LastError,
        cells: Sequence[CellEvent] = (),
        hidden: Sequence[CellEvent] = (),
        **rest: Any,
    ) -> Task:
        """A task in a shell; without one there are no cells, and no names."""
        if shell is not None:
            sources = CellSources.of_shell(shell, [*cells, *hidden])
            rest |= {"cells": cells, "namespace": shell.user_ns, "sources": sources}
        return cls(error=last_error.get(), earlier=last_error.earlier, hidden=hidden, **rest)

    def code(self, prompt: str, **how: Any) -> CodeAnswer:
        """Ask for code, as `Asking.write` explains; `MagicUsageError` if none is in the answer."""
        answer = self.write(prompt, **how)
        if not answer.cells:
            raise MagicUsageError("The model wrote no code.", "Try again, or another model.")
        return answer

    def failure(self, cell_id: str | None = None) -> Failure | None:
        """The last error, or the last one of a cell, as a value; None if there was none.

        `MagicUsageError`: it is that of a hidden cell. Of other hidden cells it tells nothing.
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
        """The error that a run of a cell ended with, if it is still known."""
        failure = self.failure(cell.cell_id) if cell.has_failed else None
        run = failure.run if failure is not None else None
        return failure if run is not None and run.execution_count in cell.counts else None


@dataclass(frozen=True, slots=True)
class Asking:
    """Sends the prompts of a task to an engine; `show` reads the stream of each answer.

    `engine` gives the engine once there is something to ask, since loading one takes its time. With
    `is_private` nothing of them is written to the disk. `show_progress` is told of what goes on
    when there is no stream to read. `tries` are those of the drafts. All prompts follow the
    `former` proposal.
    """

    engine: Callable[[], Engine]
    params: SamplingParams
    answers: AnswerLog
    show: Callable[[Stream], Completion]
    is_private: bool = False
    show_progress: ShowProgress | None = None
    tries: Tries = NO_TRIES
    former: Former | None = None

    def task(self, timeline: Timeline, last_error: LastError) -> Task:
        """A task about the notebook of this process, as it is now."""
        snapshot = timeline.snapshot()
        return Task.of_shell(
            current_shell(),
            last_error,
            sorted(snapshot.visible, key=lambda cell: cell.counts[-1] or 0),
            snapshot.hidden,
            ask=self.ask,
            write=self.write,
            draft=self.draft,
            tries=self.tries,
            engine=self.engine,
            show_progress=self.show_progress,
            former=self.former,
        )

    def ask(self, prompt: str, *, begin: str = "", known: str = "") -> Completion:
        """Ask, and give the answer.

        It goes on from `begin`. What is `known` without the model is shown before that, at once.
        """
        request = replace(self._request(prompt), answer_prefix=begin)
        with self.answers.submit(self.engine(), request) as stream:
            return self.show(BegunStream(stream, known + begin) if known or begin else stream)

    def write(
        self,
        prompt: str,
        *,
        begin: str = "",
        unlike: str | None = None,
        check: Check | None = None,
    ) -> CodeAnswer:
        """Ask for a few drafts of code that begins like this and is unlike that; give the best.

        The sources of a draft are tried one after the other, or as `check` does it.
        """
        known = [] if unlike is None else [unlike]
        if self.former is not None:
            known.append(self.former.source)
        judge = Judge(names=user_namespace(), tries=self.tries, unlike=known, check=check)
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
        """Ask for a few texts at once that go on from `begin` and end before any of `stop`.

        What was begun is no part of them. `first` and `end_s` are those of `drawn`; more
        drafts than the first ones are not shown.
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
        # Thoughts would take the answer's room.
        messages = (Message("user", redact_mixed(prompt).text),)
        params = replace(self.params, think=bool(self.params.think))
        request = Request(prompt=messages, params=params, is_private=self.is_private)
        return self.former.followed(request) if self.former is not None else request
