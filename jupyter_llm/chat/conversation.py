"""A conversation: turns that are remembered and sent along with the next prompt."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, overload

from jupyter_llm.ask.answer import ShapedStream
from jupyter_llm.ask.question import take_shape
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.asked import asked_with, variables_about
from jupyter_llm.chat.branches import Branches, Exchange, Sending
from jupyter_llm.chat.budget import (
    ContextMode,
    budget,
    num_chars,
    tells_if_asked,
)
from jupyter_llm.chat.draft import EARLIER
from jupyter_llm.chat.plan import NUM_RECENT, draft_of, draft_prompt, left_out, variable_parts
from jupyter_llm.chat.store import ChatState, SavedChat, StoredChats, origin_of
from jupyter_llm.chat.system import SystemTexts
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.stream import finished
from jupyter_llm.errors import EngineClosedError, TurnNotFoundError
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.values.guard import without_user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Unpack

    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.chat.asked import About, Asked
    from jupyter_llm.chat.draft import Draft, Turn
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.options import SamplingOptions
    from jupyter_llm.notebook.cells.timeline import Timeline

    When = tuple[int, frozenset[str]]
    """A moment of the kernel, and what variables there were."""

_READ_AHEAD_S = 0.1  # that the user's own `repr`s may take where nobody waits for us


class Chat:
    """A conversation with the resident model.

    Call it to send a prompt together with the turns so far. Turns whose answers failed or were
    interrupted before the first word are not kept; of others, what there was. When the turns
    outgrow their budget, the oldest are left out in one large cut, down to half of it, so that the
    rest stays resident until the next cut.

    A prompt may be sent after any turn, so the turns form branches. The active one is what goes
    along with prompts; `choose` makes another one active. Turns that were kept of an earlier kernel
    go along once somebody has gone on from them: the chat panel does, and `resume`.

    With a `context` other than "none" the cells that ran in the notebook go along: each run once,
    with the first prompt after it, and from then on as part of its turn. "auto" tells as much as is
    good for the model, "all" as much as the context window holds, and a number that many of the
    last cells to this prompt alone. Models that long contexts harm are told by "auto" only with
    prompts that are about the notebook. `last_draft` is the code that was written last, as
    Markdown.

    Safe from any thread. The lock guards all that changes, and the archive hears of a change before
    it is released; whoever watches is called after that.
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
        self.name = name
        self.timeline = timeline
        self.current = current
        self._answers = answers
        self._archive = archive
        self._systems = SystemTexts(system)
        self._branches = Branches()
        self._firsts: dict[Hashable, When] = {}  # when each origin was first answered
        self._watchers = Watchers()
        self._lock = threading.RLock()
        self._last_mode: ContextMode = "none"
        self._last_params = SamplingParams()
        self._was_alone = False
        self.last_draft = ""
        self._counted: tuple[Engine, tuple[Message, ...], int] | None = None

    @overload
    def __call__(
        self,
        prompt: str,
        *,
        model: str | None = ...,
        context: ContextMode = ...,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion: ...
    @overload
    def __call__(self, prompt: str, **options: Any) -> Any: ...
    def __call__(self, prompt: str, **options: Any) -> Any:
        """Send a prompt, wait for the answer and remember both.

        It may have a shape, as in `llm(…)`; later prompts tell the model its text.
        """
        return self.stream(prompt, **options).result()

    def stream(self, prompt: str, **options: Any) -> Any:
        """Send a prompt and return its stream; `send` explains the callbacks.

        The options are those of `Asked`, the sampling options, and a shape, with which it is a
        `ShapedStream`.

        Raises
        ------
        TurnNotFoundError
            There is no turn `after` which it could be sent.
        """
        callbacks = {name: options.pop(name, None) for name in ("show_progress", "on_begin")}
        shape = take_shape(options)
        asked = asked_with(prompt, options)
        if shape is None:
            return self.send(asked, **callbacks)[0]
        shape = shape.for_prompt(prompt)
        stream, sending = self.send(asked.shaped(shape), **callbacks)
        return ShapedStream(stream, shape, sending.request, sending.engine)

    def send(
        self,
        asked: Asked,
        *,
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> tuple[Stream, Sending]:
        """Send a prompt and return its stream, and what it was made of.

        `show_progress` is told how far the model is loaded; without it a line says so. `on_begin`
        is called with the number of the turn that has begun, before those who watch.
        """
        with self.sending(asked, show_progress) as sending:
            stream = sending.engine.submit(sending.request)
            self._answers.log(sending.request, stream.future)
            sent = replace(sending, future=stream.future, stream=weakref.ref(stream))
            self._take_in(sent, on_begin)
        return stream, sending

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

    def preview(self, engine: Engine, asked: Asked, about: About = variables_about) -> Sending:
        """A prompt as it would be sent; nothing changes."""
        place = self._place(asked.origin, asked.after, goes_on=asked.goes_on)
        if asked.is_new:
            place = Exchange(number=1, tick=place.tick)
        return self._ready(engine, asked, place, about)

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
            with without_user_code():
                sending = self.preview(engine, asked)
            conversation = self._conversation(asked.context)
            if sending.draft.is_aside or asked.is_new or not sending.place.is_at_end:
                conversation += ", aside"
            first = replace(sending.request, prompt=sending.prompt, conversation=conversation)
            engine.prefill(replace(first, is_private=True), is_draft=True)

    def read_ahead(self, engine: Engine, choice: str = "none") -> None:
        """Let the engine read what goes along with the next prompt, while it is idle.

        That is the cells, and the variables of a `choice` that any prompt tells. A model that is
        told only what a prompt is about reads the last cell, which that is most often; none if the
        last prompt was about none. Returns at once; does nothing if a cut is to be expected.
        """
        if self._was_alone:
            return
        allowed = budget(engine.info, "auto", self._last_params.max_tokens)
        draft = self.next_draft(allowed, goes_on=False)
        recent = self.timeline.snapshot().visible[-NUM_RECENT:]
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
        draft = draft_prompt(
            "",
            place,
            self.timeline.snapshot(),
            mode=mode,
            allowed=allowed,
            gone=place.cuts.get(self._conversation(mode), frozenset()),
            system=self.system if goes_on else self._systems.at(place.tick),
        )
        earlier = () if goes_on else self.restored
        return replace(draft, why_out={**draft.why_out, **dict.fromkeys(earlier, EARLIER)})

    # A prompt on its way

    @contextmanager
    def sending(self, asked: Asked, show_progress: ShowProgress | None) -> Iterator[Sending]:
        """Make a prompt ready, and hold its place until it has begun or it is known not to."""
        engine = self.current.get(asked.model, show=show_progress)
        about = cache(variables_about)  # asked once, so no Ctrl-C comes in the second time
        if asked.is_new:
            self.preview(engine, asked, about)
            # Only now: a prompt that cannot be sent leaves the conversation as it was.
            self.reset()
        if asked.goes_on and asked.origin is not None:
            self.resume()
        with self._lock:  # or else one that is sent in between would seem to stand below this one
            place = self._place(asked.origin, asked.after, goes_on=asked.goes_on)
            self._branches.hold(place)
        try:
            self._note_system(asked, place.tick)
            yield self._ready(engine, asked, place, about)
        finally:
            with self._lock:
                if self._branches.release(place):  # its prompt has not begun
                    self._clear_away(place.number)

    def _place(
        self, origin: Hashable = None, after: int | None = None, *, goes_on: bool = False
    ) -> Exchange:
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

    def _ready(self, engine: Engine, asked: Asked, place: Exchange, about: About) -> Sending:
        """A prompt as it would be sent from a place; nothing changes."""
        notebook, mode = self.timeline.snapshot().above(place.tick), asked.context
        with self._settled():
            _, names = self._firsts.get(asked.origin, (0, None))
        conversation = self._conversation(mode)
        draft, script = draft_of(
            asked,
            place,
            notebook,
            engine.info,
            system=self.system if asked.goes_on else self._systems.at(place.tick),
            conversation=conversation,
            names=names,
            count=partial(self._count, engine),
            about=about,
        )
        return Sending(
            asked=asked,
            engine=engine,
            request=Request(
                prompt=draft.messages,
                params=asked.params,
                constraint=asked.constraint,
                conversation=None if draft.is_aside else conversation,
                is_private=not (asked.is_kept and self._may_be_kept(draft)),
            ),
            place=place,
            draft=draft,
            cuts={**place.cuts, conversation: draft.gone},
            left_out=left_out(place.before, draft.gone, notebook),
            script=script,
        )

    def _count(self, engine: Engine, messages: tuple[Message, ...]) -> int:
        """How many tokens a prompt has; the engine may be reading, so it is asked once."""
        counted = self._counted
        if counted is None or counted[0] is not engine or counted[1] != messages:
            counted = self._counted = engine, messages, engine.count_tokens(messages)
        return counted[2]

    def _take_in(self, sending: Sending, on_begin: Callable[[int], None] | None = None) -> None:
        """Take in a prompt that was sent: its turn, and what to read next."""
        self._last_mode, self._last_params = sending.asked.context, sending.request.params
        self._was_alone = sending.draft.is_alone
        place = sending.place
        with self._settled() as branches:
            has_begun = branches.begin(sending)
            if has_begun and place.elsewhere is not None:
                self._write_origins(StoredChats.release, [sending.asked.origin])
        if not has_begun:  # the chat was reset, or the turn it was to replace removed
            self._drop([sending])
        elif on_begin is not None:
            on_begin(place.number)
        sending.future.add_done_callback(self._finish)
        self._watchers.notify()
        if not sending.draft.is_aside:
            sending.future.add_done_callback(partial(self._read_on, sending))

    def _finish(self, _future: Future[Completion]) -> None:
        """Take in the end of a prompt, on the engine's thread; it may have no place any more."""
        self.settle()
        self._watchers.notify()

    def settle(self) -> None:
        """Have on its way to the disk what is answered, though the engine has not told it yet."""
        with self._settled():
            pass

    # What is left out, and what is read

    def _conversation(self, mode: ContextMode) -> str:
        """Whose resident tokens a prompt goes on from; "all" leaves out other turns."""
        name = f"chat {self.name or id(self)}"
        return f"{name}, all" if mode == "all" else name

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
        """Let the engine, whose thread this is, read what any next prompt begins with."""
        if future.exception() is not None or not (answer := future.result()).text:
            return
        prompt = sending.request.prompt
        assert isinstance(prompt, tuple)
        with self._settled() as branches:
            is_active = sending.place.number in branches.path()
        if is_active:
            with suppress(EngineClosedError):
                more = (*prompt, answer.message)
                sending.engine.prefill(replace(sending.request, prompt=more, constraint=None))

    # The turns, as branches, kept on disk, and watched by whoever shows them

    @contextmanager
    def _settled(self) -> Iterator[Branches]:
        """All that was said, under the lock, with the answers that the engine has not told yet."""
        with self._lock:
            for number in self._branches.over():
                self._settle(number)
            yield self._branches

    @property
    def system(self) -> str | None:
        """The system text that goes along with prompts from here on."""
        return self._systems.latest

    @system.setter
    def system(self, text: str | None) -> None:
        self._set_system(text)

    def begin_with(self, system: str | None) -> None:
        """Let a system text hold from the start, if none was given yet."""
        if self._systems.first is None:
            self._systems.first = system

    def _set_system(self, text: str | None, *, is_kept: bool = True) -> None:
        """Let a system text hold from the cell that runs on, or everywhere if there is none."""
        cell = self.timeline.running
        if not cell:
            self._systems.begin(text, is_kept=is_kept)
        else:
            self._systems.put(("set in", cell), text, self.timeline.tick(), is_kept=is_kept)

    @property
    def turns(self) -> list[Turn]:
        """The turns of the active branch, the oldest first."""
        with self._settled() as branches:
            return list(branches.turns())

    @property
    def kept_turns(self) -> list[Turn]:
        """Those of the active branch that may be written to the disk."""
        return [turn for turn in self.turns if self.is_kept(turn.number)]

    @property
    def num_other_branches(self) -> int:
        """How many branches there are beside the active one."""
        with self._lock:
            return self._branches.num_others

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The active branch with the prompts that are being answered."""
        with self._settled() as branches:
            return branches.shown()

    @property
    def is_answering(self) -> bool:
        """Whether a prompt of the active branch is being answered."""
        return any(not exchange.is_finished for exchange in self.exchanges)

    def turn(self, number: int) -> Turn:
        """A finished turn of any branch.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            turn = branches.turn(number)
        if turn is None:
            raise TurnNotFoundError(number, self.name)
        return turn

    def is_kept(self, *numbers: int) -> bool:
        """Tell whether all of these turns may be written to the disk; not one that was removed."""
        with self._lock:
            return all(map(self._branches.is_kept, numbers))

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one, and have it read while there is time.

        After that turn it goes on as it did when it was active last.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            self._check(number)
            is_another = branches.choose(number)
            if is_another:
                self._save_state()
        if is_another:
            self._watchers.notify()
        self.read_branch()

    def remove(self, number: int) -> None:
        """Forget a turn for good, also on the disk; one that is being written is cancelled.

        What followed it follows the turn before it, and can no longer be verified: its prompt told
        the turn, and is forgotten too.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            self._check(number)
            prompts = branches.prompts_with(number)
            sendings = self._take_out([number], is_on_disk=True)
        self._drop(sendings)
        self._answers.forget(prompts)
        self._watchers.notify()

    def cancel(self, number: int | None = None) -> None:
        """Stop writing a turn, or all that are being written, on all branches; texts stay.

        Returns at once.
        """
        with self._lock:
            sendings = dict(self._branches.sendings)
        for at, sending in sendings.items():
            if number in (None, at):
                sending.cancel()

    def forget(self, is_stale: Callable[[Any], bool]) -> None:
        """Forget the turns whose origin is stale; those being written are cancelled."""
        with self._settled() as branches:
            stale = branches.of_origin(is_stale)
            if not stale:
                return
            sendings = self._take_out(stale)
            self._write_origins(StoredChats.forget, stale.values())
            self._save_state()
        self._drop(sendings)
        self._watchers.notify()

    def reset(self, *, with_prompts: bool = False) -> None:
        """Forget all turns, also those on the disk, and the code that was written last.

        What is being written is cancelled. Where their prompts are forgotten too, they can no
        longer be verified.
        """
        self.last_draft = ""
        with self._lock:
            prompts = self._branches.prompts() | self._branches.past_prompts.keys()
            sendings = self._branches.clear()
            if self.name is not None:
                self._archive.clear(self.name)
        self._drop(sendings)
        if with_prompts:
            self._answers.forget(prompts)
        self._watchers.notify()

    def rename(self, name: str) -> None:
        """Go by another name from here on, also on the disk."""
        with self._lock:
            self._archive.write(StoredChats.rename, self.name, name)
            self.name = name
        self._watchers.notify()

    def restore(self, chat: SavedChat) -> None:
        """Take in the turns of an earlier kernel, for whoever goes on from them."""
        with self._lock:
            self._systems.restored = chat.state.system
            self._branches = Branches(chat)
        self._watchers.notify()

    def resume(self) -> None:
        """Go on from the turns of an earlier kernel: from here on they count as said before."""
        with self._settled() as branches:
            origins = branches.resume()
            self._write_origins(StoredChats.release, origins)
            self._systems.resume()
            if origins:
                self._save_state()
        if origins:
            self._watchers.notify()

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of the turns of an earlier kernel that nobody has gone on from."""
        with self._lock:
            return self._branches.restored

    def saved(self) -> SavedChat:
        """The active branch as it is kept on disk, and how many others there are."""
        with self._lock:
            turns = self.turns
            return SavedChat(
                name=self.name or "",
                state=ChatState(self.system),
                turns=tuple(turns),
                num_other_branches=self.num_other_branches,
                passing=frozenset(t.number for t in turns if not self.is_kept(t.number)),
            )

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, on any thread, whenever `exchanges` has changed; what is returned ends that.

        The call must return at once. Its errors are logged.
        """
        return self._watchers.add(callback)

    # What is changed, under the lock

    def _check(self, number: int) -> None:
        if number not in self._branches:
            raise TurnNotFoundError(number, self.name)

    def _settle(self, number: int) -> None:
        """Take in an answer that is there, and keep its turn on the disk."""
        sending = self._branches.sendings[number]
        turn = self._branches.settle(number)
        if turn is None:
            if self._branches.is_empty(number):
                self._clear_away(number)
            return
        if turn.origin is not None:
            self._firsts.setdefault(turn.origin, (sending.place.tick, sending.place.names))
        self._save_state()
        if sending.asked.is_kept:
            saved = replace(turn, parent=self._branches.kept_parent(number))
            self._archive.write(StoredChats.keep, self.name, saved)
        else:  # what the same cell said before goes
            self._write_origins(StoredChats.forget, [turn.origin])

    def _clear_away(self, number: int) -> None:
        """Take out a place without a turn; what follows it may be on the disk already."""
        self._take_out([number], is_on_disk=self._branches.has_children(number))

    def _take_out(self, numbers: Iterable[int], *, is_on_disk: bool = False) -> list[Sending]:
        """Take out turns, and return what was being written of them."""
        sendings = []
        for number in numbers:
            parent, turn = self._branches.kept_parent(number), self._branches.turn(number)
            sendings.append(self._branches.remove(number))
            if is_on_disk:
                finished_at = turn.finished_at if turn is not None else None
                self._archive.write(StoredChats.remove, self.name, number, parent, finished_at)
                self._save_state()
        return [sending for sending in sendings if sending is not None]

    def _drop(self, sendings: Iterable[Sending]) -> None:
        """Stop writing what has no place any more, and keep no prompt of it."""
        for sending in sendings:
            sending.future.add_done_callback(self._forget_prompt)  # after it was kept
            sending.cancel()

    def _forget_prompt(self, future: Future[Completion]) -> None:
        """Forget the prompt of an answer, unless a turn has the same."""
        made = None if future.exception() is not None else future.result().provenance
        if made is not None:
            with self._lock:
                prompts = {made.prompt_key} - self._branches.prompts()
            self._answers.forget(prompts)

    def _write_origins(self, work: Any, origins: Iterable[Hashable]) -> None:
        """Have something done on the disk with the turns of some cells."""
        if known := [one for origin in origins if (one := origin_of(origin)) is not None]:
            self._archive.write(work, self.name, known)

    def _save_state(self) -> None:
        """Keep what the chat is beside its turns; cells do not outlive a kernel."""
        turns = self._branches.turns()
        cuts = turns[-1].cuts if turns else {}
        numbers = {at: [one for one in gone if isinstance(one, int)] for at, gone in cuts.items()}
        last_turns = {at: max(turns) for at, turns in numbers.items() if turns}
        state = ChatState(self._systems.kept, last_turns, self._branches.choices)
        self._archive.write(StoredChats.describe, self.name, state)
