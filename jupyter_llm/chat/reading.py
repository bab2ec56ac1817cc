"""Lets the engine read the beginning of a chat's next prompt while it is idle."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from jupyter_llm.chat.budget import ContextMode, budget, includes_if_named, num_chars
from jupyter_llm.chat.plan import NUM_RECENT, variable_parts
from jupyter_llm.chat.question import variables_about
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.notebook.values.guard import without_user_code

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jupyter_llm.chat.branches import Sending
    from jupyter_llm.chat.context import Context
    from jupyter_llm.chat.question import ChatQuestion
    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.notebook.cells.timeline import Timeline

_READ_AHEAD_S = 0.1  # that the user's own `repr`s may take where nobody waits for us


class _Chat(Protocol):
    """The methods of a `Chat` that reading ahead needs."""

    current: CurrentEngine
    timeline: Timeline

    def preview(self, engine: Engine, question: ChatQuestion) -> Sending: ...
    def next_context(
        self, allowed: int, mode: ContextMode = "auto", *, continues: bool = True
    ) -> Context: ...
    def conversation(self, mode: ContextMode) -> str: ...
    def may_be_kept(self, context: Context) -> bool: ...
    def is_active(self, number: int) -> bool: ...


class ReadAhead:
    """Lets the engine read what the next prompt of a chat begins with; each call returns at once.

    The prompt that was sent last says which cells the next one will include.
    """

    def __init__(self, chat: _Chat) -> None:
        self._chat = chat
        self._mode: ContextMode = "none"
        self._params = SamplingParams()
        self._was_alone = False

    def note(self, sending: Sending) -> None:
        """Note a prompt that was sent."""
        self._mode, self._params = sending.question.context, sending.request.params
        self._was_alone = sending.context.is_alone

    def draft(self, question: ChatQuestion) -> None:
        """Let the engine read a prompt that is still being written, as `Chat.send` would send it.

        The chat stays as it is, nothing is written to the disk, no model is loaded and no code of
        the user runs. A draft that does not follow the end of the chat is read beside the chat, so
        that the chat stays resident.
        """
        chat = self._chat
        engine = chat.current.resident_for(question.model)
        if engine is None:
            return
        with suppress(EngineClosedError):
            with without_user_code():
                sending = chat.preview(engine, question)
            conversation = chat.conversation(question.context)
            if sending.context.is_aside or question.is_new or not sending.place.is_at_end:
                conversation += ", aside"
            first = replace(sending.request, prompt=sending.prompt, conversation=conversation)
            engine.prefill(replace(first, is_private=True), is_draft=True)

    def ahead(self, engine: Engine, choice: str = "none") -> None:
        """Let the engine read the cells that the next prompt includes, and variables of a `choice`.

        For a model that reads only what a prompt is about, that is the last cell, since most
        prompts are about it; nothing if the last prompt was about no cell. Does nothing if the
        prompt is going to be cut.
        """
        if self._was_alone:
            return
        allowed = budget(engine.info, "auto", self._params.max_tokens)
        context = self._chat.next_context(allowed, continues=False)
        recent = self._chat.timeline.snapshot().visible[-NUM_RECENT:]
        if includes_if_named(engine.info, "auto"):
            recent = recent[-1:]
            context = context.only(recent)
        if context.cells:
            variables = variables_about("", choice, recent, deadline_s=_READ_AHEAD_S)
            context = replace(context, variables=variable_parts(variables))
            self._read(engine, context, allowed, "auto")

    def branch(self) -> None:
        """Let the engine read the active branch, if the next prompt will include all of it."""
        engine, mode = self._chat.current.resident, self._mode
        if engine is None or isinstance(mode, int):
            return
        with suppress(EngineClosedError):
            allowed = budget(engine.info, mode, self._params.max_tokens)
            context = self._chat.next_context(allowed, mode)
            if includes_if_named(engine.info, mode):  # the prompt decides which cells
                context = context.only()
            if context.turns:
                self._read(engine, context, allowed, mode)

    def go_on(self, sending: Sending, future: Future[Completion]) -> None:
        """Let the engine read on behind its answer; called on the engine's thread."""
        if future.exception() is not None or not (answer := future.result()).text:
            return
        prompt = sending.request.prompt
        assert isinstance(prompt, tuple)
        if self._chat.is_active(sending.place.number):
            with suppress(EngineClosedError):
                more = (*prompt, answer.message)
                sending.engine.prefill(replace(sending.request, prompt=more, constraint=None))

    def _read(self, engine: Engine, context: Context, allowed: int, mode: ContextMode) -> None:
        """Let the engine read what any next prompt begins with, unless that will be cut."""
        messages = context.messages
        if sum(len(message.content) for message in messages) <= num_chars(allowed):
            engine.prefill(
                Request(
                    prompt=messages,
                    params=self._params,
                    conversation=self._chat.conversation(mode),
                    is_private=not self._chat.may_be_kept(context),
                )
            )
