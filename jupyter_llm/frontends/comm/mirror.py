"""What the front end knows of a chat, and what it must be told. No threads, no comm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import convert
from msgspec.structs import replace

from jupyter_llm.chat.asked import asked_in
from jupyter_llm.chat.context_report import context_report
from jupyter_llm.engine.completion import JSON_BLOCK
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.messages import ProgressMessage, Status, ToFrontEnd, TurnData
from jupyter_llm.models.discover import better_model_hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jupyter_llm.chat.branches import Exchange
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat


class Mirror:
    """The turns of the active branch as all views have them; guarded by the kernel side's lock.

    `turns` are those that are shown, by their numbers; `growing` are being written.
    """

    def __init__(self) -> None:
        self.turns: dict[int, TurnData] = {}
        self._exchanges: Sequence[Exchange] = ()
        self.growing: list[Exchange] = []
        self._progress: dict[int, ProgressMessage] = {}

    def news(
        self, exchanges: Sequence[Exchange], model: str | None, requests: Mapping[int, str]
    ) -> Iterator[ToFrontEnd]:
        """Take in how the chat is now, and yield what tells it to those who knew how it was.

        `model` writes what is not finished; `requests` are ids that turns answer, not told yet.
        """
        if exchanges is self._exchanges and not requests:  # many times a second, in long chats
            for exchange in self.growing:
                yield from self._news_of(exchange, self.turns[exchange.number], model, None)
            return
        before, self.turns = self.turns, {}
        for exchange in exchanges:
            number = exchange.number
            yield from self._news_of(exchange, before.get(number), model, requests.get(number))
        for number in self._progress.keys() - self.turns.keys():
            del self._progress[number]
        self._exchanges = exchanges
        self.growing = [exchange for exchange in exchanges if not exchange.is_finished]
        if list(before) != list(self.turns):
            yield messages.PathMessage(path=list(self.turns))

    def _news_of(
        self, exchange: Exchange, old: TurnData | None, model: str | None, request: str | None
    ) -> Iterator[ToFrontEnd]:
        turn = turn_data(exchange, model, old)
        self.turns[exchange.number] = turn
        if request is not None or old is None or not _goes_on(old, turn):
            yield messages.TurnMessage(turn=turn, id=request)
        elif (turn.text, turn.reasoning) != (old.text, old.reasoning):
            more, thought = turn.text[len(old.text) :], turn.reasoning[len(old.reasoning) :]
            yield messages.Delta(number=exchange.number, text=more, reasoning=thought)
        yield from self._reading(exchange, turn)

    def _reading(self, exchange: Exchange, turn: TurnData) -> Iterator[ProgressMessage]:
        """Yield how far the prompt is read, if that is news."""
        stream = exchange.stream
        if turn.state not in ("waiting", "reading") or stream is None:
            self._progress.pop(exchange.number, None)
            return
        message = ProgressMessage(number=exchange.number, progress=stream.progress.step)
        if self._progress.get(exchange.number) != message:
            self._progress[exchange.number] = message
            yield message


def turn_data(exchange: Exchange, model: str | None, old: TurnData | None = None) -> TurnData:
    """An exchange as the front end knows it; what nobody reads any more stays as it was."""
    told = exchange.told
    known: dict[str, Any] = {
        "number": exchange.number,
        "parent": exchange.parent,
        "siblings": list(exchange.siblings),
        "prompt": asked_in(exchange.prompt),
        "by": exchange.by,
        "attachments": [part.attachment for part in told if part.attachment is not None],
        "num_cells": sum(part.cell is not None for part in told),
        "variables": [part.variable for part in told if part.variable is not None],
    }
    if exchange.turn is not None:
        completion = exchange.turn.completion
        made = completion.provenance
        return TurnData(
            **known,
            text=completion.markdown,
            reasoning=completion.reasoning,
            state="finished",
            finish_reason=completion.finish_reason,
            model=completion.model,
            host=made.model.host if made is not None else "",
            seed=completion.seed,
            temperature=made.params.temperature if made is not None else None,
            exact=completion.exact,
            usage=convert(completion.usage, messages.UsageData, from_attributes=True),
        )
    stream = exchange.stream
    text = stream.written if stream is not None else old.text if old is not None else ""
    constraint = exchange.sending.asked.constraint if exchange.sending is not None else None
    may_be_json = isinstance(constraint, Grammar) and constraint.kind != "regex"
    if stream is not None and text.startswith(("{", "[")) and may_be_json:
        text = f"{JSON_BLOCK}{text}"
    reasoning = stream.reasoning if stream is not None else old.reasoning if old is not None else ""
    state = stream.progress.state if stream is not None else "waiting"
    if text or reasoning or state == "finished":  # it is, once the chat has taken it in
        state = "writing"
    return TurnData(**known, text=text, reasoning=reasoning, state=state, model=model)


def _goes_on(old: TurnData, new: TurnData) -> bool:
    """Tell whether a turn is what it was, but for more text at its end, or more thoughts."""
    if new.state == "finished":
        return old == new
    is_same = replace(old, text=new.text, reasoning=new.reasoning, state=new.state) == new
    is_longer = new.text.startswith(old.text) and new.reasoning.startswith(old.reasoning)
    return is_same and old.state != "finished" and is_longer


def status_of(chat: Chat, mode: ContextMode, known: Status) -> Status:
    """How things stand before the next prompt of a chat.

    It waits for the engine, so not while that answers: then what is `known` of the model stays.
    """
    engine = chat.current.resident
    without_model = Status(num_cells=len(chat.timeline.snapshot().visible))
    if engine is None:
        return without_model
    if chat.is_answering:
        name = engine.info.name
        return known if known.model == name else Status(model=name)
    try:
        report = context_report(chat, mode, goes_on=True, counts_all=False)
        speed = engine.status().tokens_per_s
    except EngineClosedError:  # unloaded meanwhile
        return without_model
    turns = chat.turns
    usage = turns[-1].completion.usage if turns else None
    return Status(
        model=engine.info.name,
        allowed=report.num_allowed,
        used=report.num_tokens,
        parts={
            "system": report.num_tokens_of("system"),
            "cells": report.num_tokens_of("cell"),
            "turns": report.num_tokens_of("turn"),
            "variables": report.num_tokens_of("variable"),
        },
        tokens_per_s=round(speed, 1) if speed else None,
        cached_share=round(usage.cached_tokens / usage.prompt_tokens, 3)
        if usage is not None and usage.prompt_tokens
        else None,
        num_cells=report.num_cells,
        is_if_asked=report.is_if_asked,
        remark=better_model_hint(engine.info.name, "/pull"),
    )
