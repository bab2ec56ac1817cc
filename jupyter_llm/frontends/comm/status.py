"""Which model answers, how full its context is and how fast it was: the status line of a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.chat.context_report import context_report
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.frontends.comm.parts import PartsData, StatusData

if TYPE_CHECKING:
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat


def status_data(chat: Chat, mode: ContextMode) -> StatusData:
    """How things stand before the next prompt of a chat. Waits for the engine."""
    engine = chat.current.resident
    if engine is None:
        return _without_model(chat)
    try:
        report = context_report(chat, mode, goes_on=True, counts_all=False)
        speed = engine.status().tokens_per_s
    except EngineClosedError:  # unloaded meanwhile
        return _without_model(chat)
    turns = chat.turns
    usage = turns[-1].completion.usage if turns else None
    return StatusData(
        model=engine.info.name,
        is_loaded=True,
        n_ctx=engine.info.n_ctx,
        allowed=report.num_allowed,
        used=report.num_tokens,
        parts=PartsData(
            system=report.num_tokens_of("system"),
            cells=report.num_tokens_of("cell"),
            turns=report.num_tokens_of("turn"),
            variables=report.num_tokens_of("variable"),
        ),
        tokens_per_s=round(speed, 1) if speed else None,
        cached_share=round(usage.cached_tokens / usage.prompt_tokens, 3)
        if usage is not None and usage.prompt_tokens
        else None,
        num_cells=report.num_cells,
        is_if_asked=report.is_if_asked,
    )


def _without_model(chat: Chat) -> StatusData:
    return StatusData(num_cells=len(chat.timeline.snapshot().visible))


def status_at_once(chat: Chat, known: StatusData) -> StatusData:
    """What is known without the engine: which model there is, and what was measured of it."""
    engine = chat.current.resident
    if engine is None:
        return _without_model(chat)
    info = engine.info
    if info.name == known.model:
        return known
    return StatusData(model=info.name, is_loaded=True, n_ctx=info.n_ctx)
