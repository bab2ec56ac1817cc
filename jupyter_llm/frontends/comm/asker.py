"""Prompts and commands of a front end, as its jobs carry them out on their threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_llm.api import llm
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import check_text
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.comm.parts import ProposalData
from jupyter_llm.frontends.prompt.attaching import attach_cells, describer, expander
from jupyter_llm.frontends.prompt.commands import Call, find_command
from jupyter_llm.notebook.cells.shell import current_shell, own_variables, user_namespace
from jupyter_llm.notebook.values.mentions import without_at
from jupyter_llm.tasks.proposal import Proposal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.draft import Turn
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.frontends.comm.jobs import Job
    from jupyter_llm.frontends.comm.messages import Regenerate, Send
    from jupyter_llm.frontends.prompt.commands import Command

_LITERAL = "-- "


class Side(Protocol):
    """What prompts and commands need of the kernel's side of a chat."""

    chat: Chat
    mode: ContextMode

    def send_prompt(self, job: Job, prompt: str, **options: Any) -> Stream:
        """Send a prompt of a job to the chat; the turn that appears is the job's."""

    def notify(
        self,
        job: Job,
        markdown: str,
        *,
        proposal: ProposalData | None = None,
        answer: Completion | None = None,
    ) -> None:
        """Show what a job has come to."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends what is typed in a front end, with settings of its own."""

    side: Side
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def send(self, message: Send, job: Job) -> None:
        """Carry out a command, or send a prompt and wait until it is answered."""
        typed = message.text
        is_literal = typed.startswith(_LITERAL)
        found = None if is_literal else find_command(typed, PANEL_COMMANDS)
        namespace = dict(user_namespace())
        expand = expander(namespace)
        if found is not None:
            command, argument = found
            self._obey(command, job.run(partial(expand, argument)), job)
            return
        typed = check_text(typed.removeprefix(_LITERAL))
        attached = attach_cells(typed, self.side.chat.timeline.snapshot().visible)
        given = [(item.label, item.text) for item in message.attachments]
        describe = describer(attached.prompt, partial(own_variables, current_shell()))
        prompt = without_at(attached.prompt, namespace)
        self._ask(
            job,
            job.run(partial(expand, prompt)),
            message,
            after=message.after,
            attachments=[*attached.attachments, *given],
            describe=describe,
        )

    def regenerate(self, message: Regenerate, turn: Turn, job: Job) -> None:
        """Answer the prompt of a turn once more, as another branch."""
        self._ask(
            job,
            turn.prompt,
            message,
            after=turn.parent,
            attachments=turn.attachments,
            is_kept=self.side.chat.is_kept(turn.number),
            describe=describer(turn.prompt, partial(own_variables, current_shell())),
        )

    def _ask(self, job: Job, prompt: str, message: Send | Regenerate, **options: Any) -> None:
        sampling = self._sampling(message)
        self.side.chat.current.get(self.model, show=job.progress_text)
        job.check()
        stream = self.side.send_prompt(
            job,
            prompt,
            model=self.model,
            show_progress=job.progress_text,
            **options,
            **sampling,
        )
        stream.result()

    def _obey(self, command: Command, argument: str, job: Job) -> None:
        """Carry out a command, and show what it answers as a notice."""
        chat, show_progress = self.side.chat, job.progress_text
        task = partial(
            llm.task,
            model=self.model,
            show=job.show,
            show_progress=show_progress,
            **self.sampling,
        )
        answer = command.run(Call(llm, chat, argument, self.side.mode, task, show_progress))
        proposal, completion = None, None
        if isinstance(answer, Proposal):
            proposal, completion = proposal_data(answer), answer.completion
        elif isinstance(answer, Completion):
            completion = answer
        self.side.notify(job, str(answer), proposal=proposal, answer=completion)

    def _sampling(self, message: Send | Regenerate) -> dict[str, Any]:
        asked = {"seed": message.seed, "temperature": message.temperature}
        chosen = {name: value for name, value in asked.items() if value is not None}
        return {**self.sampling, **chosen}


def proposal_data(proposal: Proposal) -> ProposalData | None:
    """Code that is proposed as the front end knows it; None if nothing is to change."""
    cell = proposal.cell
    if cell is not None and not proposal.diff:
        return None
    return ProposalData(
        source=proposal.source,
        cell_id=cell.cell_id if cell is not None else None,
        execution_count=cell.execution_count if cell is not None else None,
        before=cell.source if cell is not None else None,
        unknown_names=list(proposal.unknown_names),
    )
