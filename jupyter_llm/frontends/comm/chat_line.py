"""One chat over a line to its front end: what that may ask for, and who does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from jupyter_llm.api import llm
from jupyter_llm.ask.answer import answer_of
from jupyter_llm.ask.shape import Shape
from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.files import attached
from jupyter_llm.chat.question import ChatQuestion, asked_in
from jupyter_llm.engine.completion import Completion
from jupyter_llm.errors import OptionError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.answer_code import AnswerCode
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.comm.drafting import Drafting
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.line import Line
from jupyter_llm.frontends.comm.live_chat import live
from jupyter_llm.frontends.comm.messages import PromptData, SuggestionKind, Suggestions
from jupyter_llm.frontends.comm.models import ActivityWatch, ModelChoice
from jupyter_llm.frontends.comm.suggestions import description, suggestions
from jupyter_llm.frontends.comm.sync import ChatViews
from jupyter_llm.frontends.prompt.commands import Call, Order
from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.frontends.prompt.typed import Typed, read
from jupyter_llm.frontends.prompt.typed import read_draft as read_typed_draft
from jupyter_llm.frontends.views import remarks
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.cells.timeline import Snapshot
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.summaries import holds_data
from jupyter_llm.notebook.values.variables import plainly_mentioned, used
from jupyter_llm.tasks.proposal import Proposal


class ChatLine(Line):
    """A chat and all its views in one front end, and the models that may be chosen there.

    `options` are for the prompts that are typed there. `on_settled` is as in `ChatViews`.
    """

    def __init__(
        self,
        chat: Chat,
        options: Options,
        send: Callable[[Any], None],
        on_settled: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(llm, send)
        self._chat = chat
        self._options = options
        self._live = live(chat)
        self.views = ChatViews(self, chat, options.context, on_settled)
        AnswerCode(self, chat, self._live)
        self._drafting = Drafting(self, self._drafted, chat)
        ActivityWatch(self)
        ModelChoice(self, options)

    # Prompts

    @call("at once")
    def send(
        self,
        request: str,
        /,
        prompt: PromptData,
        after: int | None,
        like: int | None,
        seed: int | None,
        temperature: float | None,
        by: str,
    ) -> None:
        """Answer a prompt or carry out a command; the chat's document shows the result.

        `after` begins a branch behind that turn, 0: at the start. `by`: the user, where several
        share the notebook. The answer has the shape of the turn `like`, unless the text begins
        with a shape.
        """
        self._drafting.leave()
        options = self._options_for(seed, temperature, is_alone=prompt.is_alone)

        def answer(job: Job) -> None:
            typed = job.run(partial(self._read, options, prompt, prompt.text))
            job.is_command = isinstance(typed.what, Order)
            if isinstance(typed.what, Order):
                self._obey(typed.what, typed.options, job)
                return
            asked = replace(typed.what, by=by, after=after)
            if like is not None and asked.shape is None:
                asked = _shaped_as(asked, self._chat.turn(like))
            self._ask(asked, job)

        self._live.begin(Job(request, prompt.text, answer, self._live))

    @call("at once")
    def regenerate(
        self, request: str, /, number: int, seed: int | None, temperature: float | None
    ) -> None:
        """Write a new answer to the prompt of a turn, beside the old one."""
        turn = self._chat.turn(number)
        work = partial(self._answer_again, self._options_for(seed, temperature), turn)
        self._live.begin(Job(request, asked_in(turn.prompt), work, self._live))

    @call("at once")
    def bye(self) -> None:
        """Note that the last view on a page has closed; the views of other pages answer."""
        for part in self.parts:
            part.leave()

    def _drafted(self, prompt: PromptData, _cell: str | None) -> tuple[Chat, ChatQuestion] | None:
        """Return the prompt that a draft would send; None if it is no prompt, or not yet."""
        options = self._options_for(is_alone=prompt.is_alone)
        found = read_typed_draft(partial(self._read, options, prompt), prompt.text)
        return (self._chat, found[0]) if found is not None else None

    def _answer_again(self, options: Options, turn: Turn, job: Job) -> None:
        """Answer the prompt of a turn once more, as another branch."""
        asked = ChatQuestion(
            prompt=turn.prompt,
            model=options.model,
            after=turn.parent,
            attachments=turn.attachments,
            context=options.context,
            named=plainly_mentioned(turn.prompt, user_namespace()),
            # Whatever `@` is left in it was no variable's.
            about=turn.prompt.replace("@", "@@"),
            vars=options.vars,
            is_kept=self._chat.is_kept(turn.number),
            by=turn.by,
            continues=True,
            params=options.params,
        )
        self._ask(_shaped_as(_with_variables(asked), turn), job)

    def _read(
        self, options: Options, prompt: PromptData, *text: str, is_draft: bool = False
    ) -> Typed:
        """Read the typed text; a prompt includes the attachments."""
        typed = read(
            *text,
            commands=PANEL_COMMANDS,
            namespace=user_namespace(),
            snapshot=self._snapshot,
            defaults=options,
            notebook=llm.notebook.path,
            has_options=False,
            is_draft=is_draft,
        )
        if not isinstance(typed.what, ChatQuestion):
            return typed
        place = llm.notebook.path, self._snapshot
        given = (attached(item.label, item.text, *place) for item in prompt.attachments)
        attachments = tuple(dict.fromkeys((*typed.what.attachments, *given)))
        return replace(typed, what=_with_variables(replace(typed.what, attachments=attachments)))

    def _ask(self, asked: ChatQuestion, job: Job) -> None:
        self._chat.current.get(asked.model, show=job.tell)
        job.check()
        answer = self._live.send_prompt(job, asked).result()
        has_words = answer.text or answer.reasoning
        if not has_words and answer.finish_reason != "cancelled":  # there is no turn of it
            self._live.notify(job, "The model wrote nothing.")
        if asked.shape is not None and answer.finish_reason == "stop":  # else its turn says it
            answer_of(answer, asked.shape)  # its error says what is wrong with it

    def _obey(self, order: Order, options: Options, job: Job) -> None:
        """Carry out a command, and show what it answers as a notice."""
        call = Call(
            llm=llm,
            chat=self._chat,
            argument=order.argument,
            options=options,
            show=job.show,
            show_progress=job.tell,
        )
        shown = order.command.run(call)
        if job.is_unanswered:
            return  # what was typed is given back
        more: dict[str, Any] = {}
        ended = _remarks(shown.completion) if shown.completion is not None else ""
        parts = [shown.text, ended]
        if shown.proposal is not None:
            all_cells = (shown.proposal, *shown.proposal.others)
            proposals = [data for one in all_cells if (data := _proposal_data(one)) is not None]
            parts, more["proposals"] = [ended, shown.text], proposals
        if shown.tokens is not None:
            more["tokens"] = list(shown.tokens.shown)
        if shown.choices:
            more["choices"] = list(shown.choices)
        self._live.notify(job, "\n\n".join(filter(None, parts)), shown.completion, **more)

    def _options_for(
        self, seed: int | None = None, temperature: float | None = None, *, is_alone: bool = False
    ) -> Options:
        """Return the options of a request; the front end's stand in for those it leaves open."""
        context = "none" if is_alone else None
        asked = {"seed": seed, "temperature": temperature, "context": context}
        return self._options.with_line({k: v for k, v in asked.items() if v is not None})

    # Questions

    @property
    def _snapshot(self) -> Snapshot:
        return self._chat.timeline.snapshot()

    @call("on a thread")
    def suggest(self, text: str, cursor: int, open_notebooks: list[str]) -> Suggestions:
        """Return the texts that fit at the cursor, which counts code points, as all places do."""
        return suggestions(text, cursor, self._snapshot.visible, open_notebooks)

    @call("on a thread")
    def describe(self, kind: SuggestionKind, name: str) -> str:
        """Describe a suggestion, in plain text."""
        return description(kind, name, self._snapshot)


def _shaped_as(asked: ChatQuestion, turn: Turn) -> ChatQuestion:
    """A prompt whose answer is to look like that of a turn, which may be free."""
    made, told = turn.completion.provenance, turn.instruction
    if made is not None and made.is_constrained:
        kept = llm.answers.prompt_of(made.prompt_key)
        if kept is not None and kept.constraint and not kept.begins_with:  # as code does
            params = replace(asked.params, reason=made.params.reason)
            return replace(asked, params=params, shape=Shape.stored(kept.constraint, told))
    if told:
        raise OptionError("What it had to look like is not kept; begin with its shape: --schema …")
    return asked


def _remarks(answer: Completion) -> str:
    """Return the remarks below an answer as a paragraph."""
    said = remarks(answer, has_options=False)
    return said and f"*{said[0].upper()}{said[1:]}.*"


def _proposal_data(proposal: Proposal) -> messages.ProposalData | None:
    """Code that is proposed as the front end knows it; None if nothing is to change.

    Each of several new cells is inserted from the text.
    """
    cell = proposal.cell
    if cell is None and proposal.below:
        return None
    if cell is not None and not (proposal.diff or proposal.runs):
        return None
    cell_id, before = (cell.cell_id, cell.source) if cell is not None else (None, None)
    names, runs = list(proposal.unknown_names), list(proposal.runs)
    return messages.ProposalData(cell_id, before, proposal.source, names, runs)


def _with_variables(asked: ChatQuestion) -> ChatQuestion:
    """Return a question that also includes the variables which attached code uses."""
    if "none" in (asked.context, asked.vars):
        return asked
    variables = user_namespace()
    sources = [text for _, text in asked.attachments if parse_cell(text) is not None]
    names = dict.fromkeys(name for source in sources for name in used(source, variables))
    data = [name for name in names if holds_data(variables[name])]
    about = " ".join((asked.about or "", *(f"@{name}" for name in data)))
    return replace(asked, named=(*asked.named, *data), about=about)
