"""Answers for protocols that send a sequence of blocks: thoughts, texts and tool calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Chunk
from jupyter_llm.frontends.serve.answering import Answer, Json, encoded, event, read_piece
from jupyter_llm.frontends.serve.calls import ChatCall, ChatForm, GuestAnswer

Kind = Literal["thoughts", "text", "call"]


@dataclass(slots=True)
class Block:
    """A block of an answer with its text so far. The text of a tool call is its arguments."""

    kind: Kind
    number: int
    call: ToolCall | None = None
    text: str = ""


class BlockAnswer(Answer):
    """An answer sent as blocks. The `type` of an event's JSON is also the event's name."""

    def __init__(
        self,
        form: ChatForm,
        call: ChatCall,
        engine: Engine,
        answers: list[GuestAnswer],
        sender: str,
    ) -> None:
        super().__init__(call, engine, answers, sender)
        self._form: Any = form
        self._blocks: list[Block] = []

    def _opening(self) -> Iterator[Json]:
        """Yield the events before the first block."""
        raise NotImplementedError

    def _begun(self, block: Block) -> Iterator[Json]:
        """Yield the events for the beginning of a block."""
        raise NotImplementedError

    def _grown(self, block: Block, text: str) -> Iterator[Json]:
        """Yield the events for more text of a block."""
        raise NotImplementedError

    def _ended(self, block: Block) -> Iterator[Json]:
        """Yield the events for the end of a block."""
        raise NotImplementedError

    def _closing(self) -> Iterator[Json]:
        """Yield the events after the last block."""
        raise NotImplementedError

    def _events(self, answer: GuestAnswer, piece: Chunk | None) -> Iterator[bytes]:
        if not answer.is_begun:
            answer.is_begun = True
            yield from map(sent, self._opening())
        yield from map(sent, self._fed(answer, piece))
        if piece is None:
            yield from map(sent, self._closing())

    def _ending(self) -> bytes:
        return b""

    def _all_blocks(self) -> list[Block]:
        """Return the blocks of an answer that was not streamed."""
        (answer,) = self._answers
        written = answer.completion
        for piece in (Chunk(written.text, written.reasoning), None):
            for _ in self._fed(answer, piece):
                pass
        return self._blocks

    def _fed(self, answer: GuestAnswer, piece: Chunk | None) -> Iterator[Json]:
        """Add a piece, or the end (None), to the blocks; yield the events."""
        if piece is not None and piece.reasoning:
            yield from self._add("thoughts", piece.reasoning)
        text, calls = read_piece(answer, piece.text if piece else "", is_last=piece is None)
        if text:
            yield from self._add("text", text)
        for one in calls:
            new = answer.reader.calls[one.number] if one.is_first else None
            yield from self._add("call", one.arguments, new)
        if piece is None and self._blocks:
            yield from self._ended(self._blocks[-1])

    def _add(self, kind: Kind, text: str, call: ToolCall | None = None) -> Iterator[Json]:
        """Add text to the last block, or to a new one."""
        if call is not None or not self._blocks or self._blocks[-1].kind != kind:
            if self._blocks:
                yield from self._ended(self._blocks[-1])
            self._blocks.append(Block(kind, len(self._blocks), call))
            yield from self._begun(self._blocks[-1])
        block = self._blocks[-1]
        block.text += text
        if text:
            yield from self._grown(block, text)


def sent(message: Json) -> bytes:
    """Return an event of its type's name."""
    return event(encoded(message), message["type"])
