"""Actions on a cell of a page: each is carried out on a thread of its own, beside what runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.comm.messages import Act, TextMessage, ToFrontEnd
from jupyter_llm.frontends.prompt.commands import task_of
from jupyter_llm.frontends.prompt.options import default_options
from jupyter_llm.notebook.cells.timeline import check_is_visible
from jupyter_llm.records.records import landed
from jupyter_llm.tasks.edit import edit, go_on
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.fix import failure_shown, fix_shown
from jupyter_llm.tasks.numpy_doc import document
from jupyter_llm.tasks.review import review, review_text
from jupyter_llm.tasks.target import ShownCell
from jupyter_llm.tasks.tests import write_tests

if TYPE_CHECKING:
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.frontends.lab.session import Session
    from jupyter_llm.frontends.prompt.options import Options
    from jupyter_llm.tasks.proposal import Proposal
    from jupyter_llm.tasks.task import Task

_SPARE_TOKENS = 384  # of an answer, beyond those for a cell that is written again
_CHARS_PER_TOKEN = 2.5  # of code, at the least


class Actions(Part):
    """What one page has done with its cells; what changes a cell is a proposal."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._jobs = WeakSet[Job]()  # those that go on
        session.add({Act: self._act})

    def close(self) -> None:
        """Stop what nobody would see any more."""
        for job in tuple(self._jobs):
            job.stop()

    def _act(self, act: Act) -> None:
        self._jobs.add(self._line.work(act.id, partial(self._carry_out, act)))

    def _carry_out(self, act: Act, job: Job) -> ToFrontEnd:
        shown, is_text = act.cell, act.cell.kind == "markdown"
        chosen = (act.selection[0], act.selection[1]) if act.selection else None
        cell = ShownCell.of_page(shown.id, shown.source, shown.error, chosen, is_text=is_text)
        check_is_visible(self._llm.timeline.snapshot().hidden, shown.id, None)
        options = default_options()
        if act.action in ("explain", "review"):
            said = _say(act, cell, self._task(act, options, job))
            job.check()
            if not said:
                return messages.ErrorMessage(id=job.id, text="The model wrote nothing.")
            return TextMessage(id=act.id, text=said)
        options = replace(options, params=_long_enough(options.params, cell.source))
        proposal = _propose(act, cell, self._task(act, options, job))
        job.check()
        return _message(act, proposal)

    def _task(self, act: Act, options: Options, job: Job) -> Task:
        """What there is to do for a page, and whom to ask; what was stopped is dropped."""

        def show(stream: Stream) -> Completion:
            completion = job.show(stream)
            job.check()
            return completion

        return task_of(self._llm, options, show=show, show_progress=job.tell, former=act.former)


def _say(act: Act, cell: ShownCell, task: Task) -> str:
    """Carry out an action that ends in words, as its command does; that is no turn of the chat."""
    if act.action == "review":
        if cell.is_text:
            return str(review_text(task, cell))
        cell.check_is_python()
        return str(review(task, cell.subject(task.cells)))
    subject = cell.subject(task.cells)
    if cell.error:
        subject = replace(subject, failure=failure_shown(cell, task))
    return explain(task, subject).text


def _propose(act: Act, cell: ShownCell, task: Task) -> Proposal:
    """Carry out an action that ends in code."""
    match act.action:
        case "fix":
            return fix_shown(task, cell)
        case "edit":
            return edit(task, cell, act.instruction or "")
        case "continue":
            return go_on(task, cell)
        case "test":
            cell.check_is_python()
            return write_tests(task, cell.subject(task.cells))
        case _:
            cell.check_is_python()
            proposal = document(task, cell.subject(task.cells))
            return replace(proposal, source=cell.changed(proposal.source))


def _message(act: Act, proposal: Proposal) -> messages.ProposalMessage:
    is_below = act.action == "test"
    made = proposal.completion.provenance if proposal.completion is not None else None
    cell, before = act.cell.id, act.cell.source
    if proposal.cell is not None and proposal.cell.cell_id != cell:
        cell, before = proposal.cell.cell_id or "", proposal.cell.source
    record = landed(made, proposal.source, "" if is_below else before) if made else None
    names, shown = list(proposal.unknown_names), None if is_below else before
    return messages.ProposalMessage(
        id=act.id,
        proposal=messages.ProposalData(cell, shown, proposal.source, names),
        metadata=record.to_metadata() if record is not None else {},
        markdown=_said(proposal) if act.action == "fix" else proposal.verdict,
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
