"""One place of a chat: a prompt with its answer, on its way or finished."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.chat.draft import attachments_in
from jupyter_llm.errors import JupyterLLMError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from weakref import ReferenceType

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.draft import Cut, Part, Turn
    from jupyter_llm.chat.plan import Place, Plan
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request

START = 0  # the number of what comes before all others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sending:
    """A prompt on its way, from when it is ready until its answer is a turn.

    `cuts` are what its branch leaves out from then on, by conversation. Nothing here keeps the
    `stream` from being given up.
    """

    asked: Asked
    engine: Engine
    request: Request
    place: Place
    plan: Plan
    cuts: Mapping[str, Cut]
    future: Future[Completion] = field(default_factory=Future)
    stream: ReferenceType[Stream] | None = None

    @property
    def completion(self) -> Completion | None:
        """The answer once it is over, or what there was of it when the model failed or went away.

        None if there is not a word of it.
        """
        error = self.future.exception()
        stream = self.stream() if self.stream is not None else None
        completion: Completion | None = None
        if error is None:
            completion = self.future.result()
        elif isinstance(error, JupyterLLMError) and stream is not None:
            completion = stream.interrupt().completion
        has_words = completion is not None and (completion.text or completion.reasoning)
        return completion if has_words else None

    def cancel(self) -> None:
        """Stop writing, if somebody still reads it."""
        if self.stream is not None and (stream := self.stream()) is not None:
            stream.cancel()


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What stands at a number of a chat: a prompt with its answer, finished or not.

    While another answer is `sending`, the turn that is `settled` counts. `siblings` are the numbers
    of all that stand after `parent`, the oldest first, its own included. `tick` is None for what an
    earlier kernel wrote and nobody has gone on from in this one.
    """

    number: int
    parent: int = START
    siblings: tuple[int, ...] = ()
    origin: Hashable = None
    settled: Turn | None = None
    sending: Sending | None = field(default=None, repr=False)
    is_kept: bool = True
    tick: int | None = None

    @property
    def turn(self) -> Turn | None:
        """The finished turn; None while the answer is written."""
        return self.settled if self.sending is None else None

    @property
    def is_finished(self) -> bool:
        """Whether the whole answer is there."""
        return self.sending is None

    @property
    def stream(self) -> Stream | None:
        """What is being written, unless nobody reads it any more."""
        ref = self.sending.stream if self.sending is not None else None
        return ref() if ref is not None else None

    @property
    def prompt(self) -> str:
        """What was asked."""
        if self.sending is not None:
            return self.sending.asked.prompt
        return self.settled.prompt if self.settled is not None else ""

    @property
    def told(self) -> tuple[Part, ...]:
        """What went along with the prompt and with none before it."""
        if self.sending is not None:
            return self.sending.plan.told
        return self.settled.told if self.settled is not None else ()

    @property
    def attachments(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of what was attached to the prompt."""
        return attachments_in(self.told)
