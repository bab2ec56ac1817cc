"""Actions on a cell of a page: each is carried out on a thread of its own, beside what runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.messages import Act, AnswerMessage, ToFrontEnd
from jupyter_llm.frontends.lab.session import PagePart
from jupyter_llm.frontends.prompt.commands import Call
from jupyter_llm.frontends.prompt.options import default_options
from jupyter_llm.notebook.cells.timeline import check_is_told
from jupyter_llm.records.records import landed
from jupyter_llm.tasks.edit import edit, go_on
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.fix import failure_shown, fix_shown
from jupyter_llm.tasks.former import Former
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


class Actions(PagePart):
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
        chosen = (act.selection.start, act.selection.end) if act.selection is not None else None
        shown, is_text = act.cell, act.cell.kind == "markdown"
        cell = ShownCell.of_page(shown.id, shown.source, shown.error, chosen, is_text=is_text)
        check_is_told(self._session.llm.timeline.snapshot().hidden, shown.id, None)
        ways = {"explain": self._explained, "review": self._reviewed}
        carry_out = ways.get(act.action, self._proposed)
        return carry_out(act, cell, default_options(), job)

    def _explained(self, act: Act, cell: ShownCell, options: Options, job: Job) -> ToFrontEnd:
        """Say what a cell does, as `/explain` does; that is no turn of the chat."""
        task = self._task(act, options, options.params, job)
        subject = cell.subject(task.cells)
        if cell.error:
            subject = replace(subject, failure=failure_shown(cell, task))
        answer = explain(task, subject)
        job.check()
        if not answer.text:
            return messages.ErrorMessage(id=job.id, text="The model wrote nothing.")
        return AnswerMessage(id=act.id, markdown=answer.text)

    def _reviewed(self, act: Act, cell: ShownCell, options: Options, job: Job) -> ToFrontEnd:
        """Say what is wrong with a cell, as `/review` does; that is no turn of the chat."""
        task = self._task(act, options, options.params, job)
        if cell.is_text:
            found = review_text(task, cell)
        else:
            cell.check_is_python()
            found = review(task, cell.subject(task.cells))
        job.check()
        return AnswerMessage(id=act.id, markdown=str(found))

    def _proposed(self, act: Act, cell: ShownCell, options: Options, job: Job) -> ToFrontEnd:
        """Have something written for a cell."""
        params = _long_enough(options.params, cell.source)
        proposal = _propose(act, cell, self._task(act, options, params, job))
        job.check()
        return _message(act, proposal)

    def _task(self, act: Act, options: Options, params: SamplingParams, job: Job) -> Task:
        """What there is to do for a page, and whom to ask; what was stopped is dropped."""

        def show(stream: Stream) -> Completion:
            completion = job.show(stream)
            job.check()
            return completion

        llm = self._session.llm
        call = Call(
            llm=llm,
            chat=llm.chats.peek(options.chat),  # which a task asks nothing
            options=replace(options, params=params),
            show=show,
            show_progress=job.tell,
            former=_former(act),
        )
        return call.task()


def _former(act: Act) -> Former | None:
    if act.former is None:
        return None
    source, wish, count = act.former.source, act.former.wish, act.former.count
    language = "python" if act.cell.kind == "code" else act.cell.kind
    return Former(source=source, wish=wish, count=count, language=language)


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
    return messages.ProposalMessage(
        id=act.id,
        cell=cell,
        before=before,
        source=proposal.source,
        is_below=is_below,
        unknown_names=list(proposal.unknown_names),
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
