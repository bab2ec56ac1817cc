"""The JSON document of a chat, by which its views show it. No threads, no comm."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, convert
from msgspec.structs import asdict, replace

from jupyter_llm.chat.branches import Exchange
from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.chat.context_report import context_report
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import asked_in
from jupyter_llm.engine.completion import JSON_BLOCK
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.frontends.comm.messages import (
    AttachmentData,
    Delta,
    StatusData,
    TurnData,
    UsageData,
)
from jupyter_llm.models.discover import better_model_hint
from jupyter_llm.notebook.cells.rules import RULES_FILE

_MISSING: Any = object()


def merge_patch(before: Any, after: Any) -> Any:
    """Return the merge patch (RFC 7396) from one JSON object to another; structs are objects.

    A patch cannot hold a null, so a field that is None is absent for the reader.
    """
    old, new = _members(before), _members(after)
    if new is None:
        return after
    known = old or {}
    patch = dict.fromkeys(known.keys() - new.keys())
    for name, value in new.items():
        former = known.get(name, _MISSING)
        if former is not value and former != value:
            patch[name] = merge_patch(former, value)
    return patch


def _members(value: Any) -> dict[str, Any] | None:
    if isinstance(value, Struct):
        return asdict(value)
    return value if isinstance(value, dict) else None


def growth(old: TurnData | None, new: TurnData) -> Delta | None:
    """Return the text that a turn has gained, if nothing else of it has changed."""
    if old is None or "finished" in (old.state, new.state):
        return None
    more, thought = new.text[len(old.text) :], new.reasoning[len(old.reasoning) :]
    progress = {"state": new.state, "progress": new.progress}
    if replace(old, text=old.text + more, reasoning=old.reasoning + thought, **progress) != new:
        return None
    return Delta(new.number, more, thought) if more or thought else None


def turn_data(
    exchange: Exchange, model: str | None, request: str | None, old: TurnData | None = None
) -> TurnData:
    """Return an exchange as views show it; what nobody reads any more stays as it was in `old`.

    `model` writes the answers that are not finished; the turn answers the `request`.
    """
    parts = exchange.parts
    known: dict[str, Any] = {
        "number": exchange.number,
        "parent": exchange.parent,
        "siblings": list(exchange.siblings),
        "prompt": asked_in(exchange.prompt),
        "by": exchange.by,
        "attachments": [part.attachment for part in parts if part.attachment is not None],
        "num_cells": sum(part.cell is not None for part in parts),
        "variables": [part.variable for part in parts if part.variable is not None],
        "request": request,
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
            usage=convert(completion.usage, UsageData, from_attributes=True),
        )
    stream = exchange.stream
    text = stream.written if stream is not None else old.text if old is not None else ""
    constraint = exchange.sending.question.constraint if exchange.sending is not None else None
    may_be_json = isinstance(constraint, Grammar) and constraint.kind != "regex"
    if stream is not None and text.startswith(("{", "[")) and may_be_json:
        text = f"{JSON_BLOCK}{text}"
    reasoning = stream.reasoning if stream is not None else old.reasoning if old is not None else ""
    state = stream.progress.state if stream is not None else "waiting"
    if text or reasoning or state == "finished":  # it is, once the chat has taken it in
        state = "writing"
    is_read = stream is not None and state in ("waiting", "reading")
    progress = stream.progress.step if stream is not None and is_read else None
    return TurnData(
        **known, text=text, reasoning=reasoning, state=state, model=model, progress=progress
    )


def status_of(chat: Chat, mode: ContextMode, known: StatusData) -> StatusData:
    """Return how full the context is before the next prompt of a chat, and which model answers it.

    While the chat is answering, the engine is busy, so the status that is `known` stays.
    """
    engine = chat.current.resident
    found = chat.timeline.rules.included()
    rules = AttachmentData(found.remark or RULES_FILE, found.sent) if found is not None else None
    without_model = StatusData(num_cells=len(chat.timeline.snapshot().visible), rules=rules)
    if engine is None:
        return without_model
    if chat.is_answering:
        name = engine.info.name
        return known if known.model == name else StatusData(model=name, rules=rules)
    try:
        report = context_report(chat, mode, continues=True, counts_all=False)
        speed = engine.status().tokens_per_s
    except EngineClosedError:  # unloaded meanwhile
        return without_model
    turns = chat.turns
    usage = turns[-1].completion.usage if turns else None
    return StatusData(
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
        rules=rules,
    )
