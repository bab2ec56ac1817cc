"""A conversation: turns that are remembered and sent along with the next prompt."""

from __future__ import annotations

import weakref
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from jupyter_llm.chat.asked import Asked, variables_about
from jupyter_llm.chat.budget import (
    ContextMode,
    budget,
    num_chars,
    tells_if_asked,
    tells_what_code_needs,
)
from jupyter_llm.chat.draft import Cut, Draft, Turn
from jupyter_llm.chat.exchange import Sending
from jupyter_llm.chat.plan import (
    Place,
    Plan,
    cells_told,
    draft_prompt,
    plan_code,
    plan_prompt,
    variable_parts,
)
from jupyter_llm.chat.script import literal_names, needed_cells
from jupyter_llm.chat.turns import ChatTurns
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, RawPrompt, Request, check_text
from jupyter_llm.engine.stream import finished
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.values.guard import asking_nobody
from jupyter_llm.notebook.values.variables import plainly_mentioned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Unpack

    from jupyter_llm.chat.archive import Archive
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.options import SamplingOptions
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.timeline import Snapshot, Timeline
    from jupyter_llm.records.answers import AnswerLog

_NUM_RECENT = 5  # cells whose variables may matter
_READ_AHEAD_S = 0.1  # that the user's own `repr`s may take where nobody waits for us


class Chat(ChatTurns):
    """A conversation with the resident model.

    Call it to send a prompt together with the turns so far. Turns whose answers failed or were
    interrupted before the first word are not kept; of others, what there was. When the turns
    outgrow their budget, the oldest are left out in one large cut, down to half of it, so that the
    rest stays resident until the next cut; `num_left_out` counts them.

    A prompt may be sent after any turn, so the turns form branches. The active one is what goes
    along with prompts; `choose` makes another one active. Turns that were kept of an earlier kernel
    go along once somebody has gone on from them: the chat panel does, and `resume`.

    With a `context` other than "none" the cells that ran in the notebook go along: each run once,
    with the first prompt after it, and from then on as part of its turn. "auto" tells as much as is
    good for the model, "all" as much as the context window holds, and a number that many of the
    last cells to this prompt alone. Models that long contexts harm are told by "auto" only with
    prompts that are about the notebook. `last_draft` is the code that was written last, as
    Markdown.
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
        super().__init__(timeline, archive, name, system=system)
        self.current = current
        self._answers = answers
        self._last_mode: ContextMode = "none"
        self._last_params = SamplingParams()
        self._was_alone = False
        self.last_draft = ""
        self._counted: tuple[Engine, tuple[Message, ...], int] | None = None

    @property
    def num_left_out(self) -> int:
        """How many turns did not go along with the last prompt, since they no longer fit."""
        return len(self._turns_left_out()[0])

    @property
    def cells_left_out(self) -> list[CellEvent]:
        """The runs of cells that the last prompt left out, since they no longer fit."""
        return _cells_left_out(*self._turns_left_out(), self.timeline.snapshot())

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
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Stream:
        """Send a prompt and return its stream; `send` explains the callbacks.

        The options are those of `Asked`, and the sampling options.

        Raises
        ------
        TurnNotFoundError
            There is no turn `after` which it could be sent.
        """
        named = plainly_mentioned(check_text(prompt), own_variables(current_shell()))
        given = {one.name: options.pop(one.name) for one in fields(Asked) if one.name in options}
        params = sampling_params(cast("SamplingOptions", options))
        asked = Asked(**{"prompt": prompt, "named": named, "params": params, **given})
        return self.send(asked, show_progress=show_progress, on_begin=on_begin)[0]

    def send(
        self,
        asked: Asked,
        *,
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> tuple[Stream, Plan]:
        """Send a prompt and return its stream, and what it was made of.

        `show_progress` is told how far the model is loaded; without it a line says so. `on_begin`
        is called with the number of the turn that has begun, before those who watch.
        """
        with self.sending(asked, show_progress) as sending:
            stream = sending.engine.submit(sending.request)
            self._answers.log(sending.request, stream.future)
            sent = replace(sending, future=stream.future, stream=weakref.ref(stream))
            self._take_in(sent, on_begin)
        return stream, sending.plan

    def take_in(
        self,
        sending: Sending,
        shown: Completion,
        request: Request,
        completion: Completion,
        draft: str,
    ) -> None:
        """Take in code that was written: its turn, and the draft that `/show draft` shows."""
        self.last_draft = draft
        self._answers.log(request, finished(completion))
        self._take_in(replace(sending, future=finished(shown)))

    def reset(self, *, with_prompts: bool = False) -> None:
        """Forget all turns, and the code that was written last."""
        self.last_draft = ""
        super().reset(with_prompts=with_prompts)

    def preview(self, engine: Engine, asked: Asked) -> RawPrompt | tuple[Message, ...]:
        """What would be sent first; nothing changes."""
        return self._preview(engine, asked)[1].prompt

    def read_draft(self, asked: Asked) -> None:
        """Let the engine read a prompt that is still being written, as `send` would send it.

        Returns soon; the chat stays as it is, nothing is written to the disk, no model is loaded
        and no code of the user's run. What would not go on from the end of the chat is read beside
        it, lest that is lost.
        """
        engine = self.current.resident_for(asked.model)
        if engine is None:
            return
        with suppress(EngineClosedError):
            with asking_nobody():
                place, plan = self._preview(engine, asked)
            conversation = self._conversation(asked.context)
            if plan.is_aside or asked.is_new or not place.is_at_end:
                conversation += ", aside"
            request = Request(
                prompt=plan.prompt,
                params=asked.params,
                conversation=conversation,
                is_private=True,
            )
            engine.prefill(request, is_draft=True)

    def _preview(self, engine: Engine, asked: Asked) -> tuple[Place, Plan]:
        place = self._place(asked.origin, asked.after, goes_on=asked.goes_on)
        if asked.is_new:
            place = Place(number=1, tick=place.tick)
        return place, self._plan(engine, asked, place)

    def read_ahead(self, engine: Engine, choice: str = "none") -> None:
        """Let the engine read the cells that go along with the next prompt, while it is idle.

        So are the variables of a `choice` that go along with any prompt. Returns at once. Does
        nothing if there are no cells, or if a cut is to be expected.

        A model that is told only what a prompt is about reads the last cell, which that is most
        often; none if the last prompt was about none, so that the next one need not be.
        """
        if self._was_alone:
            return
        allowed = budget(engine.info, "auto", self._last_params.max_tokens)
        draft = self.next_draft(allowed, goes_on=False)
        recent = self.timeline.snapshot().visible[-_NUM_RECENT:]
        if tells_if_asked(engine.info, "auto"):
            recent = recent[-1:]
            draft = draft.only(recent)
        if draft.cells:
            variables = variables_about("", choice, recent, deadline_s=_READ_AHEAD_S)
            draft = replace(draft, variables=variable_parts(variables))
            self._read(engine, draft, allowed, "auto")

    def next_draft(
        self, allowed: int, mode: ContextMode = "auto", *, goes_on: bool = True
    ) -> Draft:
        """What would go along with another prompt, however long that is."""
        place = self._place(goes_on=goes_on)
        return draft_prompt(
            "",
            place,
            self.timeline.snapshot(),
            mode=mode,
            allowed=allowed,
            cut=self._cut_at(place, mode),
            system=self.system if goes_on else self._systems.at(place.tick),
        )

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one, and have it read while there is time.

        After that turn it goes on as it did when it was active last.

        Raises
        ------
        TurnNotFoundError
        """
        super().choose(number)
        self.read_branch()

    # A prompt on its way

    @contextmanager
    def sending(self, asked: Asked, show_progress: ShowProgress | None) -> Iterator[Sending]:
        """Make a prompt ready, and hold its place until it has begun or it is known not to."""
        engine = self.current.get(asked.model, show=show_progress)
        if asked.is_new:
            self._preview(engine, asked)
            # Only now: a prompt that cannot be sent leaves the conversation as it was.
            self.reset()
        if asked.goes_on and asked.origin is not None:
            self.resume()
        with self._lock:  # or else one that is sent in between would seem to stand below this one
            place = self._place(asked.origin, asked.after, goes_on=asked.goes_on)
            self._branches.hold(place, asked.origin)
        try:
            self._note_system(asked, place.tick)
            plan = self._plan(engine, asked, place)
            conversation = self._conversation(asked.context)
            yield Sending(
                asked=asked,
                engine=engine,
                request=Request(
                    prompt=plan.draft.messages,
                    params=asked.params,
                    conversation=None if plan.is_aside else conversation,
                    is_private=not (asked.is_kept and self._may_be_kept(plan.draft)),
                ),
                place=place,
                plan=replace(plan, left_out=self._count_left_out(plan.cut, place)),
                cuts={**place.cuts, conversation: plan.cut},
            )
        finally:
            self._release(place)

    def _place(
        self, origin: Hashable = None, after: int | None = None, *, goes_on: bool = False
    ) -> Place:
        """Where a prompt stands: what is below its cell is not told it."""
        with self._settled() as branches:
            if after:
                self._check(after)
            tick, names = self._firsts.get(origin) or (self.timeline.tick(), None)
            place = branches.place(tick, origin, after, goes_on=goes_on)
        if origin is not None and names is None:
            names = frozenset(own_variables(current_shell()))
        return replace(place, names=names or frozenset())

    def _note_system(self, asked: Asked, tick: int) -> None:
        """Let a system text hold from a prompt on, or no longer."""
        if asked.origin is None:
            if asked.system is not None:
                self._set_system(asked.system, is_kept=asked.is_kept)
        elif asked.system is None:
            self._systems.drop(asked.origin)
        else:
            self._systems.put(asked.origin, asked.system, tick, is_kept=asked.is_kept)

    def _plan(self, engine: Engine, asked: Asked, place: Place) -> Plan:
        notebook, mode = self.timeline.snapshot().above(place.tick), asked.context
        system = self.system if asked.goes_on else self._systems.at(place.tick)
        cells, is_about = notebook.visible, True
        first = self.first_asked(asked.origin)
        if first is not None:
            asked = asked.asked_again(cells, first[1])
        needs = asked.is_code and tells_what_code_needs(engine.info, mode)
        if needs:
            cells = needed_cells(cells, asked.cells_meant(cells))
        elif tells_if_asked(engine.info, mode):
            meant = asked.cells_meant(cells)
            cells = tuple(cell for cell in cells if cell in meant)
            is_about = bool(cells or asked.named)
        variables: Sequence[tuple[str, str]] = ()
        if is_about and asked.about is not None:
            names = first[1] if first is not None else None
            variables = variables_about(asked.about, asked.vars, cells[-_NUM_RECENT:], names=names)
        if needs:
            typed = literal_names(cells)
            variables = [one for one in variables if one[0] not in typed]
        cut, count = self._cut_at(place, mode), partial(self._count, engine)
        allowed = budget(engine.info, mode, asked.params.max_tokens)
        draft = draft_prompt(
            asked.prompt,
            place,
            notebook,
            mode="none" if needs else mode,
            allowed=allowed,
            cut=cut,
            system=system if asked.system is None else asked.system,
            variables=variables,
            attachments=asked.attachments,
        )
        if needs:
            return plan_code(draft, cells, allowed=allowed, cut=cut, count=count)
        sent = draft.only(cells)
        plan = plan_prompt(
            sent, place, self._conversation(mode), mode=mode, allowed=allowed, cut=cut, count=count
        )
        return replace(plan, is_alone=not is_about and sent.cells != draft.cells)

    def _count(self, engine: Engine, messages: tuple[Message, ...]) -> int:
        """How many tokens a prompt has; of one that was read while it was written it is known.

        So it need not wait for the engine, which may be reading.
        """
        counted = self._counted
        if counted is None or counted[0] is not engine or counted[1] != messages:
            counted = self._counted = engine, messages, engine.count_tokens(messages)
        return counted[2]

    def _take_in(self, sending: Sending, on_begin: Callable[[int], None] | None = None) -> None:
        """Take in a prompt that was sent: its turn, and what to read next."""
        self._last_mode, self._last_params = sending.asked.context, sending.request.params
        self._was_alone = sending.plan.is_alone
        self._begin(sending, on_begin)
        if not sending.plan.is_aside:
            sending.future.add_done_callback(partial(self._read_on, sending))

    def _forget_prompts(self, prompt_sha256s: Collection[str]) -> None:
        """Forget prompts wherever they are kept."""
        self._answers.forget(prompt_sha256s)

    # What is left out, and what is read

    def _conversation(self, mode: ContextMode) -> str:
        """Whose resident tokens a prompt goes on from; "all" leaves out other turns."""
        name = f"chat {self.name or id(self)}"
        return f"{name}, all" if mode == "all" else name

    def _cut_at(self, place: Place, mode: ContextMode) -> Cut:
        """What is left out of a prompt in this place."""
        return place.cuts.get(self._conversation(mode), Cut())

    def _turns_left_out(self) -> tuple[list[Turn], Cut]:
        """The turns that the end of the chat leaves out, and all that it does."""
        turns = self.turns
        cuts = turns[-1].cuts if turns else {}
        cut = cuts.get(self._conversation(self._last_mode), Cut())
        return [turn for turn in turns if turn.number <= cut.last_turn], cut

    def _count_left_out(self, cut: Cut, place: Place) -> tuple[int, int]:
        """How many turns and cells a prompt leaves out."""
        turns = [turn for turn in place.before if turn.number <= cut.last_turn]
        notebook = self.timeline.snapshot().above(place.tick)
        return len(turns), len(_cells_left_out(turns, cut, notebook))

    def read_branch(self) -> None:
        """Let the engine read the active branch, if there is one and it will go along as it is."""
        engine, mode = self.current.resident, self._last_mode
        if engine is None or isinstance(mode, int):
            return
        with suppress(EngineClosedError):
            allowed = budget(engine.info, mode, self._last_params.max_tokens)
            draft = self.next_draft(allowed, mode)
            if tells_if_asked(engine.info, mode):  # which cells, the prompt will say
                draft = draft.only()
            if draft.turns:
                self._read(engine, draft, allowed, mode)

    def _read(self, engine: Engine, draft: Draft, allowed: int, mode: ContextMode) -> None:
        """Let the engine read what any next prompt begins with, unless it will be cut."""
        messages = draft.messages
        if sum(len(message.content) for message in messages) <= num_chars(allowed):
            conversation = self._conversation(mode)
            engine.prefill(
                Request(
                    prompt=messages,
                    params=self._last_params,
                    conversation=conversation,
                    is_private=not self._may_be_kept(draft),
                )
            )

    def _may_be_kept(self, draft: Draft) -> bool:
        """Whether all that goes along with a prompt may be written to the disk."""
        turns = (turn.number for turn in draft.turns)
        return self._systems.is_kept(draft.system) and self.is_kept(*turns)

    def _read_on(self, sending: Sending, future: Future[Completion]) -> None:
        """Let the engine read the answer's end, and what any next prompt begins with.

        Runs on the engine's thread, so it only leaves a note there.
        """
        if future.exception() is not None or not (answer := future.result()).text:
            return
        prompt = sending.request.prompt
        assert isinstance(prompt, tuple)
        with self._settled() as branches:
            is_active = sending.place.number in branches.path()
        if is_active:
            with suppress(EngineClosedError):
                sending.engine.prefill(replace(sending.request, prompt=(*prompt, answer.message)))


def _cells_left_out(turns: Sequence[Turn], cut: Cut, notebook: Snapshot) -> list[CellEvent]:
    """The cells that are left out with some turns, and those that no turn told."""
    gone = (cells_told(turns) | cut.cells) - notebook.pinned
    return [cell for cell in notebook.visible if cell in gone]
