"""Prompts and commands of a front end, as its jobs carry them out on their threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.api import llm
from jupyter_llm.chat.asked import Asked
from jupyter_llm.engine.completion import Completion
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS, Offer
from jupyter_llm.frontends.comm.parts import ProposalData
from jupyter_llm.frontends.prompt.commands import Call, Order
from jupyter_llm.frontends.prompt.typed import Typed, read, read_draft
from jupyter_llm.frontends.views import cut_off
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.values.variables import plainly_mentioned
from jupyter_llm.tasks.proposal import Proposal

if TYPE_CHECKING:
    from jupyter_llm.chat.draft import Turn
    from jupyter_llm.frontends.comm.jobs import Job
    from jupyter_llm.frontends.comm.messages import DraftMessage, Regenerate, Send
    from jupyter_llm.frontends.comm.sync import KernelSide
    from jupyter_llm.frontends.prompt.options import Options


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends what is typed in a front end, with options of its own."""

    side: KernelSide
    options: Options

    def send(self, message: Send, job: Job) -> None:
        """Carry out a command, or send a prompt and wait until it is answered."""
        options = self._options(message, is_alone=message.is_alone)
        typed = job.run(partial(self._read, options, message.text))
        if isinstance(typed.what, Order):
            self._obey(typed.what, typed.options, job)
            return
        self._ask(self._with_message(typed.what, message), job)

    def draft(self, message: DraftMessage) -> Asked | None:
        """What `send` would send of a draft; None if that is no prompt, or not yet."""
        options = self._options(is_alone=message.is_alone)
        found = read_draft(partial(self._read, options), message.text)
        return self._with_message(found[0], message) if found is not None else None

    def regenerate(self, message: Regenerate, turn: Turn, job: Job) -> None:
        """Answer the prompt of a turn once more, as another branch."""
        options = self._options(message)
        asked = Asked(
            prompt=turn.prompt,
            model=options.model,
            after=turn.parent,
            attachments=turn.attachments,
            context=options.context,
            named=plainly_mentioned(turn.prompt, user_namespace()),
            # Whatever `@` is left in it was no variable's.
            about=turn.prompt.replace("@", "@@"),
            vars=options.vars,
            is_kept=self.side.chat.is_kept(turn.number),
            goes_on=True,
            params=options.params,
        )
        self._ask(asked, job)

    def _read(self, defaults: Options, *text: str, is_draft: bool = False) -> Typed:
        return read(
            *text,
            commands=PANEL_COMMANDS,
            namespace=user_namespace(),
            cells=self.side.chat.timeline.snapshot().visible,
            defaults=defaults,
            has_options=False,
            is_draft=is_draft,
        )

    @staticmethod
    def _with_message(asked: Asked, message: Send | DraftMessage) -> Asked:
        """A prompt where the message wants it, with what is attached to it there."""
        given = [(item.label, item.text) for item in message.attachments]
        return replace(asked, after=message.after, attachments=(*asked.attachments, *given))

    def _ask(self, asked: Asked, job: Job) -> None:
        self.side.chat.current.get(asked.model, show=job.tell)
        job.check()
        answer = self.side.send_prompt(job, asked).result()
        has_words = answer.text or answer.reasoning
        if not has_words and answer.finish_reason != "cancelled":  # there is no turn of it
            self.side.notify(job, "The model wrote nothing.")

    def _obey(self, order: Order, options: Options, job: Job) -> None:
        """Carry out a command, and show what it answers as a notice."""
        call = Call(
            llm=llm,
            chat=self.side.chat,
            argument=order.argument,
            options=options,
            show=job.show,
            show_progress=job.tell,
        )
        job.says_its_end = order.command is PANEL_COMMANDS["pull"]
        answer = order.command.run(call)
        if job.is_wordless:
            return  # what was typed is given back
        notify = partial(self.side.notify, job)
        if isinstance(answer, Proposal):
            made = answer.completion
            ended = _cut_off(made) if made is not None else ""
            shown = f"{ended}\n\n{answer}".lstrip()
            notify(shown, proposal=proposal_data(answer), answer=made)
        elif isinstance(answer, Completion):
            notify(f"{answer}\n\n{_cut_off(answer)}".rstrip("\n"), answer=answer)
        else:
            notify(str(answer), choices=answer.choices if isinstance(answer, Offer) else ())

    def _options(
        self, message: Send | Regenerate | None = None, *, is_alone: bool = False
    ) -> Options:
        """What the message asks for, or else what the front end is set to."""
        asked = {
            "seed": message and message.seed,
            "temperature": message and message.temperature,
            "context": "none" if is_alone else None,
        }
        return self.options.given({k: v for k, v in asked.items() if v is not None})


def _cut_off(answer: Completion) -> str:
    """That an answer was ended before its end, as a paragraph."""
    said = cut_off(answer, has_options=False)
    return said and f"*{said[0].upper()}{said[1:]}.*"


def proposal_data(proposal: Proposal) -> ProposalData | None:
    """Code that is proposed as the front end knows it; None if nothing is to change."""
    cell = proposal.cell
    if cell is not None and not proposal.diff:
        return None
    return ProposalData(
        source=proposal.source,
        cell_id=cell.cell_id if cell is not None else None,
        execution_count=cell.counts[-1] if cell is not None else None,
        before=cell.source if cell is not None else None,
        unknown_names=list(proposal.unknown_names),
    )
