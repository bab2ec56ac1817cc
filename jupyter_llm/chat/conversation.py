"""A chat: sends prompts with the turns so far, and remembers them."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, overload

from jupyter_llm.ask.answer import ShapedStream
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.branches import Place, Sending
from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.chat.context import EARLIER
from jupyter_llm.chat.plan import context_of, full_context, left_out
from jupyter_llm.chat.question import ChatQuestion, variables_about
from jupyter_llm.chat.reading import ReadAhead
from jupyter_llm.chat.store import StoredChats
from jupyter_llm.chat.turns import ChatTurns
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.stream import finished
from jupyter_llm.notebook.cells.shell import current_shell, own_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from concurrent.futures import Future
    from typing import Unpack

    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.chat.context import Context
    from jupyter_llm.chat.question import About
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.options import SamplingOptions
    from jupyter_llm.notebook.cells.timeline import Timeline


class Chat(ChatTurns):
    """A conversation with the resident model.

    Call it to send a prompt together with the turns so far. A turn is kept if its answer has at
    least one word, also when the answer was interrupted. When the turns outgrow their budget, the
    oldest are left out in one large cut, down to half of it, so that the rest stays resident until
    the next cut.

    A prompt may follow any turn, so the turns form branches. Prompts include the active branch;
    `choose` makes another one active. Turns that an earlier kernel kept are included once somebody
    continues from them, as the chat panel and `resume` do.

    With a `context` other than "none" a prompt includes cells of the notebook: each run once, with
    the first prompt after it, and later prompts repeat it as part of that turn. "auto" includes as
    much as is good for the model, "all" as much as fits into the context window, and a number that
    many of the last cells, in this prompt alone. If long contexts harm a model, "auto" includes
    cells only in prompts about the notebook.
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
        super().__init__(answers, archive, name, system)
        self.timeline = timeline
        self.current = current
        self.reading = ReadAhead(self)
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

        The answer may have a shape, as in `llm(…)`; later prompts include its text.
        """
        return self.stream(prompt, **options).result()

    def stream(self, prompt: str, **options: Any) -> Any:
        """Send a prompt and return its stream; `send` explains the callbacks.

        The options are those of `ChatQuestion`, the sampling options, and those of a shape, with
        which the result is a `ShapedStream`.

        Raises
        ------
        TurnNotFoundError
            There is no turn `after` which the prompt could be sent.
        """
        callbacks = {name: options.pop(name, None) for name in ("show_progress", "on_begin")}
        question = ChatQuestion.written(prompt, options)
        stream, sending = self.send(question, **callbacks)
        if (shape := sending.question.shape) is None:
            return stream
        return ShapedStream(stream, shape, sending.request, sending.engine)

    def send(
        self,
        question: ChatQuestion,
        *,
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> tuple[Stream, Sending]:
        """Send a prompt; return its stream, and what it was made of.

        `show_progress` gets the progress of loading the model; without it a line shows the
        progress. `on_begin` is called with the number of the turn that has begun, before the
        watchers.
        """
        with self.sending(question, show_progress) as sending:
            stream = sending.question.begin(sending.engine, sending.request, self._answers)
            sent = replace(sending, future=stream.future, stream=weakref.ref(stream))
            self._take_in(sent, on_begin)
        return stream, sending

    def take_in(self, sending: Sending, shown: Completion, code: Any) -> None:
        """Add code that was written: its turn, and the draft that `/show draft` shows."""
        self.last_draft = code.whole
        for request, future in code.parts or [(code.request, finished(code.completion))]:
            self._answers.log(request, future)
        self._take_in(replace(sending, future=finished(shown), code=code))

    def preview(
        self, engine: Engine, question: ChatQuestion, about: About = variables_about
    ) -> Sending:
        """Return a prompt as it would be sent; nothing changes."""
        place = self._place(question.cell, question.after, continues=question.continues)
        if question.is_new:
            place = Place(number=1, tick=place.tick)
        return self._ready(engine, question, place, about)

    def next_context(
        self, allowed: int, mode: ContextMode = "auto", *, continues: bool = True
    ) -> Context:
        """Return the context of another prompt, however long that is."""
        place = self._place(continues=continues)
        context = full_context(
            "",
            place,
            self.timeline.snapshot(),
            mode=mode,
            allowed=allowed,
            cut=place.cuts.get(self.conversation(mode), frozenset()),
            system=self.system if continues else self._systems.at(place.tick),
            rules=self.timeline.rules.included(),
        )
        earlier = () if continues else self.restored
        return replace(context, why_out={**context.why_out, **dict.fromkeys(earlier, EARLIER)})

    # A prompt on its way

    @contextmanager
    def sending(
        self, question: ChatQuestion, show_progress: ShowProgress | None
    ) -> Iterator[Sending]:
        """Prepare a prompt, and hold its place until the answer has begun or cannot begin."""
        engine, question = self.current.get(question.model, show=show_progress), question.bound()
        about = cache(variables_about)  # asked once, so no Ctrl-C comes in the second time
        if question.is_new:
            self.preview(engine, question, about)
            # Only now: a prompt that cannot be sent leaves the conversation as it was.
            self.reset()
        if question.continues and question.cell is not None:
            self.resume()
        with self._lock:  # or else one that is sent in between would seem to stand below this one
            place = self._place(question.cell, question.after, continues=question.continues)
            self._branches.hold(place)
        try:
            self._note_system(question, place.tick)
            yield self._ready(engine, question, place, about)
        finally:
            with self._lock:
                if self._branches.release(place):  # its prompt has not begun
                    self._clear_away(place.number)

    def _place(
        self, origin: Hashable = None, after: int | None = None, *, continues: bool = False
    ) -> Place:
        """Return the place of a prompt: it includes nothing below its cell."""
        with self._settled() as branches:
            if after:
                self._check(after)
            tick, names = self._firsts.get(origin) or (self.timeline.tick(), None)
            place = branches.place(tick, origin, after, continues=continues)
        if origin is not None and names is None:
            names = frozenset(own_variables(current_shell()))
        return replace(place, names=names or frozenset())

    def _note_system(self, question: ChatQuestion, tick: int) -> None:
        """Set the system text from a prompt on, or remove the text that it set."""
        if question.cell is None:
            if question.system is not None:
                self._set_system(question.system, is_kept=question.is_kept)
        elif question.system is None:
            self._systems.drop(question.cell)
        else:
            self._systems.put(question.cell, question.system, tick, is_kept=question.is_kept)

    def _ready(self, engine: Engine, question: ChatQuestion, place: Place, about: About) -> Sending:
        """Return a prompt as it would be sent from a place; nothing changes."""
        notebook, mode = self.timeline.snapshot().above(place.tick), question.context
        question = question.bound()
        with self._settled():
            _, names = self._firsts.get(question.cell, (0, None))
        conversation = self.conversation(mode)
        context, script = context_of(
            question,
            place,
            notebook,
            engine.info,
            system=self.system if question.continues else self._systems.at(place.tick),
            rules=self.timeline.rules.included(),
            conversation=conversation,
            names=names,
            count=partial(self._count, engine),
            about=about,
        )
        return Sending(
            question=question,
            engine=engine,
            request=Request(
                prompt=context.messages,
                params=question.params,
                constraint=question.constraint,
                conversation=None if context.is_aside else conversation,
                is_private=not (question.is_kept and self.may_be_kept(context)),
            ),
            place=place,
            context=context,
            cuts={**place.cuts, conversation: context.cut},
            left_out=left_out(place.before, context.cut, notebook),
            script=script,
        )

    def _count(self, engine: Engine, messages: tuple[Message, ...]) -> int:
        """Return the number of tokens of a prompt; the last result is cached.

        Without the cache the same prompt would wait again for the engine, which may be reading.
        """
        counted = self._counted
        if counted is None or counted[0] is not engine or counted[1] != messages:
            counted = self._counted = engine, messages, engine.count_tokens(messages)
        return counted[2]

    def _take_in(self, sending: Sending, on_begin: Callable[[int], None] | None = None) -> None:
        """Add a prompt that was sent, and let the engine read on behind its answer."""
        self.reading.note(sending)
        place = sending.place
        with self._settled() as branches:
            has_begun = branches.begin(sending)
            if has_begun and place.elsewhere is not None:
                self._write_origins(StoredChats.release, [sending.question.cell])
        if not has_begun:  # the chat was reset, or the turn it was to replace removed
            self._drop([sending])
        elif on_begin is not None:
            on_begin(place.number)
        sending.future.add_done_callback(self._finish)
        self._watchers.notify()
        if not sending.context.is_aside:
            sending.future.add_done_callback(partial(self.reading.go_on, sending))

    def _finish(self, _future: Future[Completion]) -> None:
        """Settle the answer of a prompt, on the engine's thread; its place may be removed."""
        self.settle()
        self._watchers.notify()

    def conversation(self, mode: ContextMode) -> str:
        """Return the name of the resident tokens that a prompt continues; "all" has its own."""
        name = f"chat {self.name or id(self)}"
        return f"{name}, all" if mode == "all" else name

    def may_be_kept(self, context: Context) -> bool:
        """Whether everything that a prompt includes may be written to the disk."""
        turns = (turn.number for turn in context.turns)
        return self._systems.is_kept(context.system) and self.is_kept(*turns)

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one, and let the engine read it.

        After that turn it goes on as it did when it was active last.

        Raises
        ------
        TurnNotFoundError
        """
        super().choose(number)
        self.reading.branch()

    @property
    def system(self) -> str | None:
        """The system text that goes along with prompts from here on."""
        return self._systems.latest

    @system.setter
    def system(self, text: str | None) -> None:
        self._set_system(text)

    def begin_with(self, system: str | None) -> None:
        """Set the system text from the start on, unless there is one."""
        if self._systems.first is None:
            self._systems.first = system

    def _set_system(self, text: str | None, *, is_kept: bool = True) -> None:
        """Set the system text from the running cell on, or everywhere if no cell runs."""
        cell = self.timeline.running
        if not cell:
            self._systems.begin(text, is_kept=is_kept)
        else:
            self._systems.put(("set in", cell), text, self.timeline.tick(), is_kept=is_kept)
