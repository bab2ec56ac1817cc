"""A conversation: turns that are remembered and sent along with the next prompt."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.engine.base import Completion, Message, Request, SamplingParams, check_text
from jupyter_llm.errors import EngineClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from concurrent.futures import Future
    from typing import Any, Unpack

    from jupyter_llm.api import LLM, SamplingOptions
    from jupyter_llm.display import View
    from jupyter_llm.engine.base import Engine, Stream


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and what the model wrote; `origin` is the cell it came from, if known."""

    prompt: str
    completion: Completion
    origin: Hashable = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A prompt that was sent. Until its future holds a completion, the turn it replaces counts."""

    prompt: str
    future: Future[Completion]
    origin: Hashable
    replaced: Turn | None

    @property
    def turn(self) -> Turn | None:
        if not self.future.done() or self.future.exception() is not None:
            return self.replaced
        completion = self.future.result()
        return Turn(self.prompt, completion, self.origin) if completion.text else self.replaced


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
    interrupted before the first word are not kept. When the turns outgrow the context window, the
    oldest are left out in one large cut, down to half of it, so that the rest stays resident until
    the next cut; `num_left_out` counts them.
    """

    def __init__(self, llm: LLM, name: str | None = None, *, system: str | None = None) -> None:
        self.name = name
        self.system = system
        self.num_left_out = 0
        self._llm = llm
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()

    @property
    def turns(self) -> list[Turn]:
        """The turns so far, the oldest first."""
        with self._lock:
            return [turn for entry in self._entries if (turn := entry.turn) is not None]

    def __call__(
        self, prompt: str, *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Send a prompt, wait for the answer and remember both."""
        return self.stream(prompt, model=model, **sampling).result()

    def stream(
        self,
        prompt: str,
        *,
        model: str | None = None,
        system: str | None = None,
        is_new: bool = False,
        origin: Hashable = None,
        view: View | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Stream:
        """Send a prompt and return its stream.

        `system` is the chat's system text from here on, and `is_new` forgets the turns first. If a
        turn of the same `origin` exists, the new one takes its place and is answered from what
        came before it; later turns stay. A loading bar appears in `view`, or is printed.
        """
        check_text(prompt)
        params = self._llm.sampling_params(sampling)
        engine = self._llm.engine(model, view=view)
        # Only now: a prompt that cannot be sent leaves the conversation as it was.
        self._begin(system, is_new=is_new)
        messages = self._fitting_messages(engine, prompt, origin, params)
        request = Request(
            prompt=messages, params=params, conversation=f"chat {self.name or id(self)}"
        )
        stream = engine.submit(request)
        with self._lock:
            place = self._place_of(origin)
            replaced = self._entries[place].turn if place < len(self._entries) else None
            entry = _Entry(prompt, stream.future, origin, replaced)
            self._entries[place : place + 1] = [entry]
        stream.future.add_done_callback(partial(_read_ahead, engine, request, messages))
        return stream

    def preview(
        self,
        engine: Engine,
        prompt: str,
        *,
        system: str | None = None,
        is_new: bool = False,
        origin: Hashable = None,
        **sampling: Unpack[SamplingOptions],
    ) -> tuple[Message, ...]:
        """Return the messages that `stream` would send, and change nothing."""
        params = self._llm.sampling_params(sampling)
        draft = Chat(self._llm, self.name, system=self.system)
        with self._lock:
            draft._entries = list(self._entries)
            draft.num_left_out = self.num_left_out
        draft._begin(system, is_new=is_new)
        return draft._fitting_messages(engine, prompt, origin, params)

    def _begin(self, system: str | None, *, is_new: bool) -> None:
        if system is not None:
            self.system = system
        if is_new:
            self.reset()

    def _messages(self, prompt: str, origin: Hashable) -> tuple[Message, ...]:
        """Return the whole conversation up to a prompt, nothing left out."""
        with self._lock:
            entries = self._entries[: self._place_of(origin)]
            turns = [turn for entry in entries if (turn := entry.turn) is not None]
        messages = [Message("system", self.system)] if self.system else []
        for turn in turns:
            completion = turn.completion
            messages.append(Message("user", turn.prompt))
            messages.append(Message("assistant", completion.text, completion.token_ids))
        return (*messages, Message("user", prompt))

    def forget(self, is_stale: Callable[[Any], bool]) -> None:
        """Forget the turns whose origin is stale."""
        with self._lock:
            self._entries = [entry for entry in self._entries if not is_stale(entry.origin)]

    def reset(self) -> None:
        """Forget all turns."""
        with self._lock:
            self._entries.clear()
            self.num_left_out = 0

    def _place_of(self, origin: Hashable) -> int:
        if origin is not None:
            for index, entry in enumerate(self._entries):
                if entry.origin == origin:
                    return index
        return len(self._entries)

    def _fitting_messages(
        self, engine: Engine, prompt: str, origin: Hashable, params: SamplingParams
    ) -> tuple[Message, ...]:
        messages = self._messages(prompt, origin)
        start = 1 if self.system else 0
        n_ctx = engine.info.n_ctx
        # Room for the answer, as long as it does not take the room of the turns.
        room = min(params.max_tokens or n_ctx, n_ctx // 4)
        limit = n_ctx - room

        def after(cut: int) -> tuple[Message, ...]:
            return (*messages[:start], *messages[cut:])

        last = len(messages) - 1
        cut = start + 2 * self.num_left_out
        is_old = cut > last  # a turn from before the cut is asked again
        cut = start if is_old else cut
        while cut < last and engine.count_tokens(after(cut)) > limit:
            limit = n_ctx // 2
            cut += 2
        if not is_old:
            self.num_left_out = (cut - start) // 2
        return after(cut)
