"""Which model answers, how full its context is and how fast it was: the panel's status line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jupyter_llm.chat.context_report import context_report
from jupyter_llm.errors import EngineClosedError

if TYPE_CHECKING:
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.frontends.comm.parts import StatusData

NO_MODEL: Final[StatusData] = {
    "model": None,
    "is_loaded": False,
    "n_ctx": None,
    "allowed": None,
    "used": None,
    "parts": {"system": 0, "cells": 0, "turns": 0, "variables": 0},
    "tokens_per_s": None,
    "cached_share": None,
}


def status_data(chat: Chat, mode: ContextMode) -> StatusData:
    """Return how things stand before the next prompt of a chat. Waits for the engine."""
    engine = chat.llm.resident_engine
    if engine is None:
        return NO_MODEL
    try:
        report = context_report(chat.llm, chat, mode, counts_all=False)
        speed = engine.status().tokens_per_s
    except EngineClosedError:  # unloaded meanwhile
        return NO_MODEL
    turns = chat.turns
    usage = turns[-1].completion.usage if turns else None
    return {
        "model": engine.info.name,
        "is_loaded": True,
        "n_ctx": engine.info.n_ctx,
        "allowed": report.num_allowed,
        "used": report.num_tokens,
        "parts": {
            "system": report.num_tokens_of("system"),
            "cells": report.num_tokens_of("cell"),
            "turns": report.num_tokens_of("turn"),
            "variables": report.num_tokens_of("variable"),
        },
        "tokens_per_s": round(speed, 1) if speed else None,
        "cached_share": (
            round(usage.cached_tokens / usage.prompt_tokens, 3)
            if usage is not None and usage.prompt_tokens
            else None
        ),
    }


def status_at_once(chat: Chat, known: StatusData) -> StatusData:
    """Return what is known without the engine: which model there is, and what is known of it."""
    engine = chat.llm.resident_engine
    if engine is None:
        return NO_MODEL
    if engine.info.name == known["model"]:
        return known
    info = engine.info
    return {**NO_MODEL, "model": info.name, "is_loaded": True, "n_ctx": info.n_ctx}
