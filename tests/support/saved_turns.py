"""Saved turns for tests: a plain one to vary, and any."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from jupyter_llm.chat.saved import (
    ChatChanged,
    ChatCleared,
    Entry,
    Json,
    Origin,
    SavedChat,
    SavedTurn,
    TurnForgotten,
    TurnRemoved,
    TurnsDropped,
)
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.request import Message


def turn(
    prompt: str = "Who?",
    text: str = "Me.",
    *,
    chat: str = "default",
    finish_reason: FinishReason = "stop",
    token_ids: tuple[int, ...] | None = None,
    sent: Message | None = None,
    told: Json = None,
    provenance: Json = None,
    origin: Origin | None = None,
    number: int = 0,
    parent: int | None = None,
    finished_at: float = 1_700_000_000.0,
    seed: int | None = 7,
) -> SavedTurn:
    completion = Completion(
        text=text,
        finish_reason=finish_reason,
        usage=Usage(prompt_tokens=3, completion_tokens=2),
        model="tiny",
        seed=seed,
        token_ids=token_ids,
    )
    return SavedTurn(
        chat=chat,
        prompt=prompt,
        completion=completion,
        sent=sent,
        told=told,
        provenance=provenance,
        origin=origin,
        number=number,
        parent=parent,
        finished_at=finished_at,
    )


def chat_of(
    *turns: SavedTurn, name: str = "default", system: str | None = None, state: Json = None
) -> SavedChat:
    return SavedChat(name=name, system=system, turns=turns, state=state)


NAMES = st.sampled_from(["default", "other", "ünï codé"])
ORIGINS = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 2))
TOKENS = st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)
COUNTS = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)
TEXTS = st.text(st.characters(), max_size=20)  # surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def saved_turns() -> st.SearchStrategy[SavedTurn]:
    """Any turn."""
    completions = st.builds(
        Completion,
        text=TEXTS,
        finish_reason=st.sampled_from(get_args(FinishReason)),
        usage=st.builds(
            Usage,
            prompt_tokens=COUNTS,
            cached_tokens=COUNTS,
            completion_tokens=COUNTS,
            queue_s=SECONDS,
            prefill_s=SECONDS,
            decode_s=SECONDS,
        ),
        model=TEXTS,
        seed=st.none() | st.integers(0, 2**32 - 2),
        token_ids=TOKENS,
        exact=st.booleans(),
    )
    return st.builds(
        SavedTurn,
        chat=NAMES,
        prompt=TEXTS,
        completion=completions,
        sent=st.none()
        | st.builds(Message, st.just("user"), TEXTS, TOKENS)
        | st.builds(Message.of_parts, st.just("user"), st.lists(TEXTS, max_size=3)),
        told=JSON,
        provenance=JSON,
        origin=st.none() | ORIGINS,
        number=st.integers(0, 6),
        parent=st.none() | st.integers(0, 6),
        finished_at=st.sampled_from([0.0, 1.5, 2.5]) | st.floats(0, 2e9),
    )


def entries() -> st.SearchStrategy[Entry]:
    """Anything a log may hold."""
    return (
        saved_turns()
        | st.builds(TurnForgotten, NAMES, ORIGINS)
        | st.builds(
            TurnRemoved,
            NAMES,
            st.integers(0, 6),
            st.integers(0, 6),
            st.sampled_from([0.0, 1.5, 2.5]),
        )
        | st.builds(ChatCleared, st.none() | NAMES)
        | st.builds(ChatChanged, NAMES, st.none() | TEXTS, JSON)
        | st.builds(TurnsDropped, NAMES, st.integers(0, 3))
    )
