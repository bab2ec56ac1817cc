"""A conversation: turns that are remembered and sent along with the next prompt."""

from __future__ import annotations

import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.chat.budget import Budget, ContextMode, budget, check_mode
from jupyter_llm.chat.draft import Cut, Draft, Turn
from jupyter_llm.chat.plan import (
    Place,
    Plan,
    cells_told,
    check_attachments,
    draft_prompt,
    plan_prompt,
    variable_parts,
)
from jupyter_llm.chat.tree import CutChange, Writing
from jupyter_llm.chat.turns import ChatTurns
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, Request, check_text
from jupyter_llm.errors import EngineClosedError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Hashable, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Unpack

    from jupyter_llm.chat.archive import Archive
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.options import SamplingOptions
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.timeline import Timeline
    from jupyter_llm.records.answers import AnswerLog
    from jupyter_llm.tasks.write import CodeAnswer

    Describe = Callable[[str, Sequence[CellEvent]], Sequence[tuple[str, str]]]
    """Names and summarises the variables that matter to a prompt and the cells before it."""

_NUM_RECENT = 5  # cells whose variables may matter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """A prompt of a chat, ready to be sent."""

    engine: Engine
    request: Request
    prompt: str
    place: Place
    plan: Plan
    mode: ContextMode
    is_kept: bool
    is_saved: bool  # the prompt as it was sent, with the turns before it


class Chat(ChatTurns):
    """A conversation with the resident model.

    Call it to send a prompt together with the turns so far. Turns whose answers failed or were
    interrupted before the first word are not kept; of others, what there was. When the turns
    outgrow their budget, the oldest are left out in one large cut, down to half of it, so that the
    rest stays resident until the next cut; `num_left_out` counts them.

    A prompt may be sent after any turn, so the turns form branches. The active one is what goes
    along with prompts; `choose` makes another one active.

    With a `context` other than "none" the cells that ran in the notebook go along: each run once,
    with the first prompt after it, and from then on as part of its turn. "auto" tells as much as is
    good for the model, "all" as much as the context window holds, and a number that many of the
    last cells to this prompt alone.
    """

    def __init__(
        self,
        current: CurrentEngine,
        timeline: Timeline,
        answers: AnswerLog,
        archive: Archive,
        name: str | None = None,
        *,
        system: str | None = None,
    ) -> None:
        super().__init__(archive, name, system=system)
        self.current = current
        self.timeline = timeline
        self._answers = answers
        self._last_mode: ContextMode = "none"
        self._last_params = SamplingParams()

    @property
    def num_left_out(self) -> int:
        """How many turns did not go along with the last prompt, since they no longer fit."""
        return len(self._turns_left_out()[0])

    @property
    def cells_left_out(self) -> list[CellEvent]:
        """The runs of cells that the last prompt left out, since they no longer fit."""
        turns, cut = self._turns_left_out()
        notebook = self.timeline.snapshot()
        gone = (cells_told(turns) | cut.cells) - notebook.pinned
        return [cell for cell in notebook.visible if cell in gone]

    def __call__(
        self,
        prompt: str,
        *,
        model: str | None = None,
        context: ContextMode = "none",
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """Send a prompt, wait for the answer and remember both."""
        return self.stream(prompt, model=model, context=context, **sampling).result()

    def stream(
        self,
        prompt: str,
        *,
        model: str | None = None,
        system: str | None = None,
        is_new: bool = False,
        origin: Hashable = None,
        after: int | None = None,
        attachments: Sequence[tuple[str, str]] = (),
        context: ContextMode = "none",
        describe: Describe | None = None,
        is_kept: bool = True,
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Stream:
        """Send a prompt and return its stream.

        `system` is the chat's system text from here on, and `is_new` forgets the turns first. If a
        turn of the same `origin` exists, the new one takes its place and is answered from what
        came before it; later turns stay, and its branch becomes the active one. It tells the cells
        that the old one told, and those that no turn has told. With `after` the number of a turn
        is given that the prompt follows, or 0 for the start: what followed that turn stays, as
        another branch.

        `describe` gives the summaries of variables that go along; one that a turn has told already
        is not told again. `attachments` are names and texts that go along with this prompt. With
        `is_kept=False` nothing of it is written to the disk. `show_progress` is given the loading
        bar; without it the bar is printed. `on_begin` is called with the number of the turn that
        has begun, before those who watch.

        Raises
        ------
        TurnNotFoundError
            There is no turn `after` which it could be sent.
        """
        with self._sending(
            prompt,
            model=model,
            system=system,
            is_new=is_new,
            origin=origin,
            after=after,
            attachments=attachments,
            context=context,
            describe=describe,
            is_kept=is_kept,
            show_progress=show_progress,
            sampling=sampling,
        ) as sending:
            stream = sending.engine.submit(sending.request)
            self._answers.log(sending.request, stream.future, is_saved=sending.is_saved)
            self._take_in(sending, stream.future, stream, on_begin)
        return stream

    def write_code(
        self,
        prompt: str,
        *,
        namespace: Container[str] = (),
        num_drafts: int | None = None,
        show: Callable[[Stream], Completion] = lambda stream: stream.result(),
        model: str | None = None,
        system: str | None = None,
        is_new: bool = False,
        origin: Hashable = None,
        context: ContextMode = "none",
        describe: Describe | None = None,
        is_kept: bool = True,
        show_progress: ShowProgress | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> CodeAnswer:
        """Send a prompt that is answered with code that parses, and wait for it.

        Of a few drafts the best becomes the turn, which is there when it is; see
        `coding.write_code` for `namespace`, `num_drafts` and `show`, and `stream` for the rest.
        """
        from jupyter_llm.engine.stream import finished
        from jupyter_llm.tasks.write import NUM_DRAFTS, code_prompt, write_code

        with self._sending(
            code_prompt(prompt),
            model=model,
            system=system,
            is_new=is_new,
            origin=origin,
            context=context,
            describe=describe,
            is_kept=is_kept,
            show_progress=show_progress,
            sampling=sampling,
        ) as sending:
            try:
                answer = write_code(
                    sending.engine,
                    sending.request,
                    namespace,
                    num_drafts=num_drafts or NUM_DRAFTS,
                    show=show,
                )
            except PromptInterrupted as interrupt:
                if interrupt.completion is not None:
                    self._take_in(sending, finished(interrupt.completion))
                raise
            completion = finished(answer.completion)
            self._answers.log(answer.request, completion, is_saved=sending.is_saved)
            shown = replace(answer.completion, text=answer.text, token_ids=None)
            self._take_in(sending, finished(shown))
        return answer

    def preview(
        self,
        engine: Engine,
        prompt: str,
        *,
        system: str | None = None,
        is_new: bool = False,
        origin: Hashable = None,
        context: ContextMode = "none",
        describe: Describe | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> tuple[Message, ...]:
        """Return the messages that `stream` would send, and change nothing."""
        place = Place(number=1) if is_new else self._place(origin)
        plan = self._plan(
            engine,
            prompt,
            place,
            sampling_params(sampling),
            context,
            system=self.system if system is None else system,
            cut=Cut() if is_new else self._cut(context).on(place.branch),
            describe=describe,
        )
        return plan.draft.messages

    def read_ahead(self, engine: Engine, describe: Describe | None = None) -> None:
        """Let the engine read the cells that go along with the next prompt, while it is idle.

        So are the variables that go along with any prompt that names none. Returns at once. Does
        nothing if there are no cells, or if a cut is to be expected.
        """
        allowed = budget(engine.info, "auto", self._last_params.max_tokens)
        draft = self.next_draft(allowed)
        if draft.cells and describe is not None:
            recent = self.timeline.snapshot().visible[-_NUM_RECENT:]
            draft = replace(draft, variables=variable_parts(describe("", recent)))
        if draft.cells:
            self._read(engine, draft, allowed, "auto")

    def next_draft(self, allowed: Budget, mode: ContextMode = "auto") -> Draft:
        """Return what would go along with another prompt, however long that is."""
        place = self._place()
        return draft_prompt(
            "",
            place,
            self.timeline.snapshot(),
            mode=mode,
            allowed=allowed,
            cut=self._cut(mode).on(place.branch),
            system=self.system,
        )

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one, and have it read while there is time.

        After that turn it goes on as it did when it was active last.

        Raises
        ------
        TurnNotFoundError
        """
        super().choose(number)
        self._read_branch()

    # A prompt on its way

    @contextmanager
    def _sending(
        self,
        prompt: str,
        *,
        model: str | None,
        system: str | None,
        is_new: bool,
        origin: Hashable,
        context: ContextMode,
        describe: Describe | None,
        is_kept: bool,
        show_progress: ShowProgress | None,
        sampling: SamplingOptions,
        after: int | None = None,
        attachments: Sequence[tuple[str, str]] = (),
    ) -> Iterator[_Sending]:
        """Make a prompt ready, and hold its place until it has begun or it is known not to."""
        check_text(prompt)
        check_mode(context)
        check_attachments(attachments)
        if after is not None and (is_new or origin is not None):
            raise OptionError("`after` says where a prompt stands; `is_new` and `origin` do too.")
        params = sampling_params(sampling)
        engine = self.current.get(model, show=show_progress)
        # Only now: a prompt that cannot be sent leaves the conversation as it was.
        if is_new:
            self.reset()
        place = self._place(origin, after, is_held=True)
        try:
            if system is not None:
                self.system = system
            plan = self._plan(
                engine,
                prompt,
                place,
                params,
                context,
                system=self.system,
                cut=self._cut(context).on(place.branch),
                describe=describe,
                attachments=attachments,
            )
            conversation = None if plan.is_aside else self._conversation(context)
            request = Request(prompt=plan.draft.messages, params=params, conversation=conversation)
            yield _Sending(
                engine=engine,
                request=request,
                prompt=prompt,
                place=place,
                plan=plan,
                mode=context,
                is_kept=is_kept,
                is_saved=is_kept and self.is_kept(*(turn.number for turn in plan.draft.turns)),
            )
        finally:
            self._release(place)

    def _plan(
        self,
        engine: Engine,
        prompt: str,
        place: Place,
        params: SamplingParams,
        mode: ContextMode,
        *,
        system: str | None,
        cut: Cut,
        describe: Describe | None,
        attachments: Sequence[tuple[str, str]] = (),
    ) -> Plan:
        notebook = self.timeline.snapshot()
        recent = notebook.visible[-_NUM_RECENT:]
        allowed = budget(engine.info, mode, params.max_tokens)
        draft = draft_prompt(
            prompt,
            place,
            notebook,
            mode=mode,
            allowed=allowed,
            cut=cut,
            system=system,
            variables=describe(prompt, recent) if describe is not None else (),
            attachments=attachments,
        )
        return plan_prompt(
            draft, place, mode=mode, allowed=allowed, cut=cut, count=engine.count_tokens
        )

    def _take_in(
        self,
        sending: _Sending,
        future: Future[Completion],
        stream: Stream | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> None:
        """Take in a prompt that was sent: its turn, what it leaves out, and what to read next."""
        plan, request = sending.plan, sending.request
        self._last_mode, self._last_params = sending.mode, request.params
        conversation, before = self._conversation(sending.mode), self._cut(sending.mode)
        writing = Writing(
            prompt=sending.prompt,
            future=future,
            told=plan.told,
            cut=None if plan.is_aside else CutChange(conversation, before, plan.cut),
            is_kept=sending.is_kept,
            stream=weakref.ref(stream) if stream is not None else None,
        )
        self._begin(sending.place, writing, on_begin)
        if not plan.is_aside:
            read_on = partial(self._read_on, sending.place.number, sending.engine, request)
            future.add_done_callback(read_on)

    def _forget_prompts(self, prompt_sha256s: Collection[str]) -> None:
        """Forget prompts wherever they are kept."""
        self._answers.forget(prompt_sha256s)

    # What is left out, and what is read

    def _conversation(self, mode: ContextMode) -> str:
        """Return whose resident tokens a prompt goes on from; "all" leaves out other turns."""
        name = f"chat {self.name or id(self)}"
        return f"{name}, all" if mode == "all" else name

    def _cut(self, mode: ContextMode) -> Cut:
        """Return what was last left out, on whatever branch."""
        return self._cuts.get(self._conversation(mode), Cut())

    def _turns_left_out(self) -> tuple[list[Turn], Cut]:
        """Return the turns that the last prompt left out, and all that it did."""
        turns = self.turns
        cut = self._cut(self._last_mode).on({turn.number for turn in turns})
        return [turn for turn in turns if turn.number <= cut.last_turn], cut

    def _read_branch(self) -> None:
        """Let the engine read the active branch, if there is one and it will go along as it is."""
        engine, mode = self.current.resident, self._last_mode
        if engine is None or isinstance(mode, int):
            return
        with suppress(EngineClosedError):
            allowed = budget(engine.info, mode, self._last_params.max_tokens)
            draft = self.next_draft(allowed, mode)
            if draft.turns:
                self._read(engine, draft, allowed, mode)

    def _read(self, engine: Engine, draft: Draft, allowed: Budget, mode: ContextMode) -> None:
        """Let the engine read what any next prompt begins with, unless it will be cut."""
        messages = draft.messages
        if sum(len(message.content) for message in messages) <= allowed.num_chars:
            conversation = self._conversation(mode)
            request = Request(prompt=messages, params=self._last_params, conversation=conversation)
            engine.prefill(request)

    def _read_on(
        self, number: int, engine: Engine, request: Request, future: Future[Completion]
    ) -> None:
        """Let the engine read the answer's end, and what any next prompt begins with.

        Runs on the engine's thread, so it only leaves a note there.
        """
        if future.exception() is not None or future.result().finish_reason == "cancelled":
            return
        with self._lock:
            self._take_in_answers()
            is_active = self._exchanges.is_active(number)
        if is_active:
            completion = future.result()
            answer = Message("assistant", completion.text, completion.token_ids)
            with suppress(EngineClosedError):
                engine.prefill(replace(request, prompt=(*request.prompt, answer)))
