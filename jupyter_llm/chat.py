"""A conversation: turns that are remembered and sent along with the next prompt."""

from __future__ import annotations

import threading
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.archive import finished, restored_cuts, restored_turns, saved_chat
from jupyter_llm.engine.base import Completion, Message, Request, SamplingParams, check_text
from jupyter_llm.errors import EngineClosedError, PromptInterrupted
from jupyter_llm.notebook.budget import Budget, ContextMode, budget, check_mode
from jupyter_llm.notebook.context import Cut, Draft, Part, Turn
from jupyter_llm.notebook.plan import (
    Place,
    Plan,
    cells_told,
    draft_prompt,
    plan_prompt,
    variable_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Sequence
    from concurrent.futures import Future
    from typing import Any, Unpack

    from jupyter_llm.api import LLM, SamplingOptions
    from jupyter_llm.coding import CodeAnswer
    from jupyter_llm.display import View
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.notebook.events import CellEvent
    from jupyter_llm.notebook.saved import SavedChat

    Describe = Callable[[str, Sequence[CellEvent]], Sequence[tuple[str, str]]]
    """Names and summarises the variables that matter to a prompt and the cells before it."""

_NUM_RECENT = 5  # cells whose variables may matter


@dataclass(frozen=True, slots=True)
class _Entry:
    """A prompt that was sent. Until its future holds a completion, the turn it replaces counts."""

    prompt: str
    future: Future[Completion]
    origin: Hashable
    replaced: Turn | None
    told: tuple[Part, ...]
    number: int

    @classmethod
    def of_turn(cls, turn: Turn) -> _Entry:
        """Return the entry of a turn that is finished."""
        future = finished(turn.completion)
        return cls(turn.prompt, future, turn.origin, None, turn.told, turn.number)

    @property
    def turn(self) -> Turn | None:
        if not self.future.done() or self.future.exception() is not None:
            return self.replaced
        completion = self.future.result()
        if not completion.text:
            return self.replaced
        return Turn(self.prompt, completion, self.origin, self.told, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """A prompt of a chat, ready to be sent."""

    engine: Engine
    request: Request
    prompt: str
    origin: Hashable
    place: Place
    plan: Plan
    mode: ContextMode
    is_kept: bool


def _read_ahead(
    engine: Engine,
    request: Request,
    messages: tuple[Message, ...],
    future: Future[Completion],
) -> None:
    """Let the engine read the answer's end, and what any next prompt begins with.

    Runs on the engine's thread, so it only leaves a note there.
    """
    if future.exception() is not None or future.result().finish_reason == "cancelled":
        return
    completion = future.result()
    answer = Message("assistant", completion.text, completion.token_ids)
    with suppress(EngineClosedError):
        engine.prefill(replace(request, prompt=(*messages, answer)))


class Chat:
    """A conversation with the resident model.

    Call it to send a prompt together with the turns so far. Turns whose answers failed or were
    interrupted before the first word are not kept. When the turns outgrow their budget, the oldest
    are left out in one large cut, down to half of it, so that the rest stays resident until the
    next cut; `num_left_out` counts them.

    With a `context` other than "none" the cells that ran in the notebook go along: each run once,
    with the first prompt after it, and from then on as part of its turn. "auto" tells as much as is
    good for the model, "all" as much as the context window holds, and a number that many of the
    last cells to this prompt alone.
    """

    def __init__(self, llm: LLM, name: str | None = None, *, system: str | None = None) -> None:
        self.name = name
        self.system = system
        self._llm = llm
        self._entries: list[_Entry] = []
        self._num_prompts = 0
        self._cuts: dict[str, Cut] = {}  # by conversation: "all" leaves out less
        self._last_mode: ContextMode = "none"
        self._last_params = SamplingParams()
        self._lock = threading.Lock()

    @property
    def turns(self) -> list[Turn]:
        """The turns so far, the oldest first."""
        with self._lock:
            return list(_turns(self._entries))

    @property
    def num_left_out(self) -> int:
        """How many turns did not go along with the last prompt, since they no longer fit."""
        last_turn = self._cut(self._last_mode).last_turn
        return sum(turn.number <= last_turn for turn in self.turns)

    @property
    def cells_left_out(self) -> list[CellEvent]:
        """The runs of cells that the last prompt left out, since they no longer fit."""
        cut = self._cut(self._last_mode)
        notebook = self._llm.timeline.snapshot()
        told = cells_told(turn for turn in self.turns if turn.number <= cut.last_turn)
        gone = (told | cut.cells) - notebook.pinned
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
        context: ContextMode = "none",
        describe: Describe | None = None,
        is_kept: bool = True,
        view: View | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Stream:
        """Send a prompt and return its stream.

        `system` is the chat's system text from here on, and `is_new` forgets the turns first. If a
        turn of the same `origin` exists, the new one takes its place and is answered from what
        came before it; later turns stay. It tells the cells that the old one told, and those that
        no turn has told. `describe` gives the summaries of variables that go along; one that a
        turn has told already is not told again. With `is_kept=False` nothing of it is written to
        the disk. A loading bar appears in `view`, or is printed.
        """
        sending = self._prepare(
            prompt,
            model=model,
            system=system,
            is_new=is_new,
            origin=origin,
            context=context,
            describe=describe,
            is_kept=is_kept,
            view=view,
            sampling=sampling,
        )
        stream = sending.engine.submit(sending.request)
        self._llm.log(sending.request, stream.future, is_saved=is_kept)
        self._begin(sending, stream.future)
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
        view: View | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> CodeAnswer:
        """Send a prompt that is answered with code that parses, and wait for it.

        Of a few drafts the best becomes the turn; see `coding.write_code` for `namespace`,
        `num_drafts` and `show`, and `stream` for the rest.
        """
        from jupyter_llm.coding import NUM_DRAFTS, code_prompt, write_code

        sending = self._prepare(
            code_prompt(prompt),
            model=model,
            system=system,
            is_new=is_new,
            origin=origin,
            context=context,
            describe=describe,
            is_kept=is_kept,
            view=view,
            sampling=sampling,
        )
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
                self._begin(sending, finished(interrupt.completion))
            raise
        self._llm.log(answer.request, finished(answer.completion), is_saved=is_kept)
        shown = replace(answer.completion, text=answer.text, token_ids=None)
        self._begin(sending, finished(shown))
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
        params = self._llm.sampling_params(sampling)
        draft = Chat(self._llm, self.name, system=self.system if system is None else system)
        if not is_new:
            with self._lock:
                draft._entries = list(self._entries)
                draft._num_prompts, draft._cuts = self._num_prompts, dict(self._cuts)
        place = draft._place(origin)
        return draft._plan(engine, prompt, place, params, context, describe).draft.messages

    def read_ahead(self, engine: Engine, describe: Describe | None = None) -> None:
        """Let the engine read the cells that go along with the next prompt, while it is idle.

        So are the variables that go along with any prompt that names none. Returns at once. Does
        nothing if there are no cells, or if a cut is to be expected.
        """
        allowed = budget(engine.info, "auto", self._last_params.max_tokens)
        draft = self.next_draft(allowed)
        if draft.cells and describe is not None:
            recent = self._llm.timeline.snapshot().visible[-_NUM_RECENT:]
            draft = replace(draft, variables=variable_parts(describe("", recent)))
        messages = draft.messages
        is_long = sum(len(message.content) for message in messages) > allowed.num_chars
        if draft.cells and not is_long:
            conversation = self._conversation("auto")
            request = Request(prompt=messages, params=self._last_params, conversation=conversation)
            engine.prefill(request)

    def next_draft(self, allowed: Budget, mode: ContextMode = "auto") -> Draft:
        """Return what would go along with another prompt, however long that is."""
        return draft_prompt(
            "",
            self._place(None),
            self._llm.timeline.snapshot(),
            mode=mode,
            allowed=allowed,
            cut=self._cut(mode),
            system=self.system,
        )

    def forget(self, is_stale: Callable[[Any], bool]) -> None:
        """Forget the turns whose origin is stale."""
        with self._lock:
            stale = [entry for entry in self._entries if is_stale(entry.origin)]
            self._entries = [entry for entry in self._entries if entry not in stale]
        if self.name is not None:
            self._llm.archive.forget(self.name, (entry.origin for entry in stale))

    def reset(self) -> None:
        """Forget all turns, also those on the disk."""
        with self._lock:
            self._entries.clear()
            self._cuts.clear()
        if self.name is not None:
            self._llm.archive.clear(self.name)

    def restore(self, chat: SavedChat) -> None:
        """Go on from the turns of an earlier kernel."""
        self.system = chat.system
        with self._lock:
            self._entries = [_Entry.of_turn(turn) for turn in restored_turns(chat)]
            self._num_prompts = max((entry.number for entry in self._entries), default=0)
            self._cuts = restored_cuts(chat)

    def saved(self) -> SavedChat:
        """Return the chat as it is kept on disk."""
        return saved_chat(self.name or "", self.turns, system=self.system, cuts=self._cuts)

    def _prepare(
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
        view: View | None,
        sampling: SamplingOptions,
    ) -> _Sending:
        check_text(prompt)
        check_mode(context)
        params = self._llm.sampling_params(sampling)
        engine = self._llm.engine(model, view=view)
        # Only now: a prompt that cannot be sent leaves the conversation as it was.
        if system is not None:
            self.system = system
        if is_new:
            self.reset()
        place = self._place(origin)
        plan = self._plan(engine, prompt, place, params, context, describe)
        conversation = None if plan.is_aside else self._conversation(context)
        request = Request(prompt=plan.draft.messages, params=params, conversation=conversation)
        return _Sending(
            engine=engine,
            request=request,
            prompt=prompt,
            origin=origin,
            place=place,
            plan=plan,
            mode=context,
            is_kept=is_kept,
        )

    def _begin(self, sending: _Sending, future: Future[Completion]) -> None:
        """Take in a prompt that was sent: its turn, what it leaves out, and what to read next."""
        place, plan, request = sending.place, sending.plan, sending.request
        entry = _Entry(
            sending.prompt, future, sending.origin, place.replaced, plan.told, place.number
        )
        self._add(entry)
        self._last_mode, self._last_params = sending.mode, request.params
        if not plan.is_aside:
            self._leave_out(plan.cut, sending.mode, future)
            messages = plan.draft.messages
            future.add_done_callback(partial(_read_ahead, sending.engine, request, messages))
        if self.name is not None:
            future.add_done_callback(partial(self._keep, entry, is_kept=sending.is_kept))

    def _keep(self, entry: _Entry, _future: Future[Completion], *, is_kept: bool) -> None:
        """Keep a turn on disk, unless it failed or the chat was reset meanwhile."""
        turn = entry.turn
        assert self.name is not None
        if turn is not None and turn is not entry.replaced and entry in self._entries:
            self._llm.archive.keep(
                self.name, turn, system=self.system, cuts=self._cuts, is_kept=is_kept
            )

    def _plan(
        self,
        engine: Engine,
        prompt: str,
        place: Place,
        params: SamplingParams,
        mode: ContextMode,
        describe: Describe | None,
    ) -> Plan:
        notebook = self._llm.timeline.snapshot()
        recent = notebook.visible[-_NUM_RECENT:]
        allowed = budget(engine.info, mode, params.max_tokens)
        cut = self._cut(mode)
        draft = draft_prompt(
            prompt,
            place,
            notebook,
            mode=mode,
            allowed=allowed,
            cut=cut,
            system=self.system,
            variables=describe(prompt, recent) if describe is not None else (),
        )
        return plan_prompt(
            draft, place, mode=mode, allowed=allowed, cut=cut, count=engine.count_tokens
        )

    def _place(self, origin: Hashable) -> Place:
        """Return where a prompt stands: where the last one of its origin does, or at the end."""
        with self._lock:
            entries = self._entries
            same = (n for n, entry in enumerate(entries) if entry.origin == origin)
            index = next(same, len(entries)) if origin is not None else len(entries)
            old = entries[index] if index < len(entries) else None
            if old is None:
                self._num_prompts += 1
            return Place(
                number=old.number if old is not None else self._num_prompts,
                before=_turns(entries[:index]),
                after=_turns(entries[index + 1 :]),
                replaced=old.turn if old is not None else None,
            )

    def _add(self, entry: _Entry) -> None:
        """Put a prompt in its place among those that were sent meanwhile."""
        with self._lock:
            index = bisect_left(self._entries, entry.number, key=lambda other: other.number)
            is_taken = index < len(self._entries) and self._entries[index].number == entry.number
            self._entries[index : index + is_taken] = [entry]

    def _conversation(self, mode: ContextMode) -> str:
        """Return whose resident tokens a prompt goes on from; "all" leaves out other turns."""
        name = f"chat {self.name or id(self)}"
        return f"{name}, all" if mode == "all" else name

    def _cut(self, mode: ContextMode) -> Cut:
        return self._cuts.get(self._conversation(mode), Cut())

    def _leave_out(self, cut: Cut, mode: ContextMode, future: Future[Completion]) -> None:
        """Leave out a cut from now on, unless the prompt it was made for fails."""
        conversation, before = self._conversation(mode), self._cut(mode)
        self._cuts[conversation] = cut

        def undo(future: Future[Completion]) -> None:
            if future.exception() is not None and self._cuts.get(conversation) is cut:
                self._cuts[conversation] = before

        future.add_done_callback(undo)


def _turns(entries: Sequence[_Entry]) -> tuple[Turn, ...]:
    return tuple(turn for entry in entries if (turn := entry.turn) is not None)
