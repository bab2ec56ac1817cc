"""Prompts and commands of a panel, as its requests carry them out on their threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.base import Completion, check_text
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.comm.requests import LoadingView
from jupyter_llm.frontends.prompt.attaching import attach_cells, describer, expander
from jupyter_llm.frontends.prompt.commands import Call, command_table, find_command
from jupyter_llm.notebook.cells.shell import current_shell, own_variables, user_namespace
from jupyter_llm.notebook.values.variables import without_at
from jupyter_llm.tasks.proposal import Proposal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_llm.chat.draft import Turn
    from jupyter_llm.frontends.comm.messages import Regenerate, Send
    from jupyter_llm.frontends.comm.parts import ProposalData
    from jupyter_llm.frontends.comm.requests import Request
    from jupyter_llm.frontends.comm.sync import KernelSide
    from jupyter_llm.frontends.prompt.commands import Command

_LITERAL = "-- "
_HELP = (
    "Type a prompt, or a command. `@name` tells more of a variable and `@In[3]` of a cell; "
    "`{{expression}}` puts a value into the prompt. After `-- ` a prompt may begin with a slash. "
    "Enter sends, Shift+Enter begins a new line, Up brings back what you typed, Esc stops."
)


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends what is typed in a panel, with the panel's own settings."""

    side: KernelSide
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def send(self, message: Send, request: Request) -> None:
        """Carry out a command, or send a prompt and wait until it is answered."""
        typed = message["text"]
        is_literal = typed.startswith(_LITERAL)
        found = None if is_literal else find_command(typed)
        namespace = dict(user_namespace())
        expand = expander(namespace)
        if found is not None:
            command, argument = found
            self._obey(command, request.run(partial(expand, argument)), request)
            return
        typed = check_text(typed.removeprefix(_LITERAL))
        attached = attach_cells(typed, self.side.chat.llm.timeline.snapshot().visible)
        given = [(item["label"], item["text"]) for item in message["attachments"]]
        describe = describer(attached.prompt, partial(own_variables, current_shell()))
        prompt = without_at(attached.prompt, namespace)
        self._ask(
            request,
            request.run(partial(expand, prompt)),
            message,
            after=message["after"],
            attachments=[*attached.attachments, *given],
            describe=describe,
        )

    def regenerate(self, message: Regenerate, turn: Turn, request: Request) -> None:
        """Answer the prompt of a turn once more, as another branch."""
        self._ask(
            request,
            turn.prompt,
            message,
            after=turn.parent,
            attachments=turn.attachments,
            is_kept=self.side.chat.is_kept(turn.number),
            describe=describer(turn.prompt, partial(own_variables, current_shell())),
        )

    def _ask(
        self, request: Request, prompt: str, message: Send | Regenerate, **options: Any
    ) -> None:
        sampling = self._sampling(message)
        view = LoadingView(request)
        self.side.chat.llm.engine(self.model, view=view)
        request.check()
        stream = self.side.send_prompt(
            request, prompt, model=self.model, view=view, **options, **sampling
        )
        stream.result()

    def _obey(self, command: Command, argument: str, request: Request) -> None:
        """Carry out a command, and show what it answers as a notice."""
        if command.name == "chat":
            raise MagicUsageError("/chat shows a panel below a cell.", "Type `%llm /chat` in one.")
        if command.name == "help":  # options are for lines and cells
            self.side.notify(request, f"{_HELP}\n\n{command_table('chat')}")
            return
        chat, view = self.side.chat, LoadingView(request)
        situation = partial(
            chat.llm.situation, model=self.model, show=request.show, view=view, **self.sampling
        )
        answer = command.run(Call(chat.llm, chat, argument, self.side.mode, situation, view))
        proposal, completion = None, None
        if isinstance(answer, Proposal):
            proposal, completion = proposal_data(answer), answer.completion
        elif isinstance(answer, Completion):
            completion = answer
        self.side.notify(request, str(answer), proposal=proposal, answer=completion)

    def _sampling(self, message: Send | Regenerate) -> dict[str, Any]:
        asked = {"seed": message["seed"], "temperature": message["temperature"]}
        chosen = {name: value for name, value in asked.items() if value is not None}
        return {**self.sampling, **chosen}


def proposal_data(proposal: Proposal) -> ProposalData | None:
    """Return code that is proposed as the front end knows it; None if nothing is to change."""
    cell = proposal.cell
    if cell is not None and not proposal.diff:
        return None
    return {
        "source": proposal.source,
        "cell_id": cell.cell_id if cell is not None else None,
        "execution_count": cell.execution_count if cell is not None else None,
        "before": cell.source if cell is not None else None,
        "unknown_names": list(proposal.unknown_names),
    }
