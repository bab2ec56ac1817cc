"""Actions on a cell of a page: each is carried out on a thread of its own, beside what runs."""

from __future__ import annotations

from dataclasses import replace

from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import EngineError
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.comm.messages import (
    Action,
    CellProposal,
    OpenProposal,
    TargetCellData,
)
from jupyter_llm.frontends.lab.session import Session
from jupyter_llm.frontends.prompt.commands import task_of
from jupyter_llm.frontends.prompt.options import Options, default_options
from jupyter_llm.notebook.cells.timeline import check_is_visible
from jupyter_llm.records.records import landed
from jupyter_llm.tasks.edit import edit, go_on, write_next
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.fix import failure_shown, fix_shown
from jupyter_llm.tasks.numpy_doc import document
from jupyter_llm.tasks.proposal import Former, Proposal
from jupyter_llm.tasks.review import review, review_text
from jupyter_llm.tasks.splitting import split
from jupyter_llm.tasks.target import ShownCell
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tests import write_tests

_SPARE_TOKENS = 384  # of an answer, beyond those for a cell that is written again
_CHARS_PER_TOKEN = 2.5  # of code, at the least


class Actions(Part):
    """Carries out actions on the cells of one page.

    An action changes no cell itself; it makes a proposal, which the user accepts or rejects. If the
    page disconnects, the action goes on, and all pages show its proposal. An explanation or a
    review stops then, since only its page would show it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._descriptions: set[Job] = set()

    def close(self) -> None:
        """Stop what no page will show."""
        for job in tuple(self._descriptions):
            job.stop()

    @call("on a thread")
    def act(
        self,
        job: Job,
        /,
        action: Action,
        cell: TargetCellData,
        selection: tuple[int, int] | None,
        instruction: str | None,
        task: str,
        former: Former | None = None,
    ) -> CellProposal | str:
        """Propose another source for a cell, or describe the cell in Markdown.

        `selection`: its start and end in code points. `former`: the last proposal before. `task`:
        the page's name for what it asks, under which the proposal waits.
        """
        is_text = cell.kind == "markdown"
        shown = ShownCell.of_page(cell.id, cell.source, cell.error, selection, is_text=is_text)
        check_is_visible(self._llm.timeline.snapshot().hidden, cell.id, None)
        options = default_options()
        if action in ("explain", "review"):
            self._descriptions.add(job)
            try:
                said = _say(action, shown, self._task(former, options, job))
            finally:
                self._descriptions.discard(job)
            job.check()
            if not said:
                raise EngineError("The model wrote nothing.")
            return said
        options = replace(options, params=_long_enough(options.params, cell.source))
        if action == "split":
            shown = replace(shown, source=cell.source)  # each line stays
        asked = self._task(former, options, job)
        proposal = _propose(action, shown, instruction or "", asked)
        job.check()
        change, *others = (
            OpenProposal(action, cell.id, instruction, _cell_proposal(action, cell, one))
            for one in (proposal, *proposal.others)
        )
        self._session.proposals.keep(task, change, self._session)
        self._session.proposals.keep_others(task, others)
        return change.proposal

    def _task(self, former: Former | None, options: Options, job: Job) -> Task:
        """Return the task of a page; a stopped job raises `PromptInterrupted`."""

        def show(stream: Stream) -> Completion:
            completion = job.show(stream)
            job.check()
            return completion

        return task_of(self._llm, options, show=show, show_progress=job.tell, former=former)


def _say(action: Action, cell: ShownCell, task: Task) -> str:
    """Carry out an action that ends in words, as its command does; that is no turn of the chat."""
    if action == "review":
        if cell.is_text:
            return str(review_text(task, cell))
        cell.check_is_python()
        return str(review(task, cell.subject(task.cells)))
    subject = cell.subject(task.cells)
    if cell.error:
        subject = replace(subject, failure=failure_shown(cell, task))
    return explain(task, subject).text


def _propose(action: Action, cell: ShownCell, instruction: str, task: Task) -> Proposal:
    """Carry out an action that ends in code."""
    match action:
        case "fix":
            return fix_shown(task, cell)
        case "edit":
            return edit(task, cell, instruction)
        case "continue":
            return go_on(task, cell)
        case "next":
            return write_next(task, cell)
        case "split":
            return split(cell)
        case "test":
            cell.check_is_python()
            return write_tests(task, cell.subject(task.cells))
        case _:
            cell.check_is_python()
            proposal = document(task, cell.subject(task.cells))
            return replace(proposal, source=cell.changed(proposal.source))


def _cell_proposal(action: Action, shown: TargetCellData, proposal: Proposal) -> CellProposal:
    is_below = action in ("next", "test")
    made = proposal.completion.provenance if proposal.completion is not None else None
    cell, before = shown.id, shown.source
    if proposal.cell is not None and proposal.cell.cell_id != cell:
        cell, before = proposal.cell.cell_id or "", proposal.cell.source
    record = landed(made, proposal.source, "" if is_below else before) if made else None
    return CellProposal(
        cell=cell,
        before=None if is_below else before,
        source=before if proposal.only_runs else proposal.source,
        unknown_names=list(proposal.unknown_names),
        metadata=record.to_metadata() if record is not None else {},
        markdown=_said(proposal) if action == "fix" else proposal.verdict,
        runs=list(proposal.runs),
        below=list(proposal.below),
    )


def _said(proposal: Proposal) -> str:
    """Why a cell is to change, and what was seen when the change was tried."""
    mend = f": {proposal.mend}" if proposal.mend else ""
    return f"The cell {proposal.reason}{mend}. {proposal.verdict}".rstrip()


def _long_enough(params: SamplingParams, source: str) -> SamplingParams:
    """Options with which a cell can be written again from its beginning to its end."""
    least = int(len(source) / _CHARS_PER_TOKEN) + _SPARE_TOKENS
    most = params.max_tokens
    return params if most is None else replace(params, max_tokens=max(most, least))
