"""Turns as they are kept, for tests: a plain one to vary, and any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from hypothesis import strategies as st

from jupyter_llm.chat.context import Part, Turn
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.store import ChatState, SavedChat
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.notebook.cells.events import CellEvent, Output, OutputKind


def left_out(chat: Chat) -> tuple[int, list[CellEvent]]:
    """How many turns of its branch a chat leaves out by now, and which cells."""
    turns, notebook = chat.turns, chat.timeline.snapshot()
    cuts = turns[-1].cuts if turns else {}
    cut = cuts.get(f"chat {chat.name or id(chat)}", frozenset())
    away = [turn for turn in turns if turn.number in cut]
    cells = cut.union(part.cell for turn in away for part in turn.parts) - notebook.pinned
    return len(away), [cell for cell in notebook.visible if cell in cells]


def turn(
    prompt: str = "Who?",
    text: str = "Me.",
    *,
    token_ids: tuple[int, ...] | None = None,
    finish_reason: FinishReason = "stop",
    **changes: Any,
) -> Turn:
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    answer: dict[str, Any] = {"text": text, "usage": usage, "token_ids": token_ids}
    completion = Completion(finish_reason=finish_reason, model="tiny", seed=7, **answer)
    made = Turn(prompt, completion, number=1, finished_at=1_700_000_000.0)
    return replace(made, **changes)


def chat_of(*turns: Turn, name: str = "default", system: str | None = None) -> SavedChat:
    return SavedChat(name=name, state=ChatState(system), turns=turns)


TOKENS = st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)
COUNTS = st.integers(0, 2**37)
SECONDS = st.floats(0, 1e6)
TEXTS = st.text(st.characters(), max_size=20)  # surrogates too
CELLS = st.builds(
    CellEvent,
    number=st.integers(-5, -1),  # of an earlier kernel
    source=TEXTS,
    execution_count=st.none() | COUNTS,
    cell_id=st.none() | TEXTS,
    outputs=st.lists(
        st.builds(Output, st.sampled_from(get_args(OutputKind)), TEXTS), max_size=2
    ).map(tuple),
    tags=st.frozensets(TEXTS, max_size=2),
)
PARTS = st.builds(
    Part,
    TEXTS,
    cell=st.none() | CELLS,
    variable=st.none() | TEXTS,
    attachment=st.none() | TEXTS,
)


def turns() -> st.SearchStrategy[Turn]:
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
            reasoning_tokens=COUNTS,
        ),
        model=TEXTS,
        seed=st.none() | st.integers(0, 2**32 - 2),
        token_ids=TOKENS,
        exact=st.booleans(),
        reasoning=TEXTS,
    )
    return st.builds(
        Turn,
        prompt=TEXTS,
        completion=completions,
        parts=st.lists(PARTS, max_size=2).map(tuple),
        origin=st.none() | st.tuples(TEXTS, st.integers(1, 2)),
        number=st.integers(1, 6),
        parent=st.integers(0, 5),
        finished_at=st.floats(0, 2e9),
    )
