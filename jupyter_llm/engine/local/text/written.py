"""The text of one answer while its tokens come: thoughts, text, and which tokens are which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jupyter_llm.engine.completion import Chunk
from jupyter_llm.engine.local.text.detokenizer import Detokenizer
from jupyter_llm.engine.thinking import Thinking


@dataclass(slots=True, eq=False)
class Written:
    """The tokens of an answer and their text, which `next_chunk` returns piece by piece.

    An answer with a shape may have free text before it. `is_free`: the model writes that text now.
    `num_closed`: the number of its tokens if the model itself ended it, else 0.

    `num_tokens`: all tokens so far. `num_thought`: the first of them are thoughts. `answer_start`:
    the first token of the answer's text; if the text begins inside a token, or never, it `is_torn`.
    `first_record`: the token that the first kept log-probability belongs to.
    """

    detokenizer: Detokenizer
    is_free: bool = False
    texts: list[str] = field(default_factory=list)
    num_tokens: int = 0
    num_thought: int = 0
    num_closed: int = 0
    answer_start: int = 0
    first_record: int = 0
    is_torn: bool = False
    _unsent: list[str] = field(default_factory=list)
    _num_sent: int = 0  # of the thoughts

    def take(
        self, token_id: int, bytes_of: Callable[[int], bytes], mark_bytes: Mapping[int, bytes]
    ) -> None:
        """Add a token; `mark_bytes` are the bytes of control tokens that end or begin thoughts."""
        self.num_tokens += 1
        thinking, data = self.detokenizer.thinking, bytes_of(token_id)
        if thinking is None or thinking.is_over:
            self.put(self.detokenizer.feed(data))
        else:
            mark = b"" if thinking.is_closed else mark_bytes.get(token_id, b"")
            self.put(self.detokenizer.feed(data or mark))
            self._note_thought(thinking, data)

    def put(self, text: str) -> None:
        """Add text to the answer."""
        if text and not self.is_free:
            self.texts.append(text)
            self._unsent.append(text)

    def flush(self) -> None:
        """Add the text that was kept back, since a stop text might have begun in it."""
        self.put(self.detokenizer.flush())

    def start_answer(self, num_before: int) -> None:
        """Let the answer begin after `num_before` tokens of free text."""
        self.detokenizer.flush()
        answer = Detokenizer(self.detokenizer.stop)
        answer.thoughts, self.detokenizer = self.detokenizer.thoughts, answer
        self.is_free = self.is_torn = False
        self.num_tokens = self.num_thought = self.answer_start = self.first_record = num_before

    def next_chunk(self) -> Chunk | None:
        """Return the text and the thoughts that were not returned before; None without any."""
        thoughts = self.detokenizer.thoughts[self._num_sent :]
        if not (self._unsent or thoughts):
            return None
        chunk = Chunk("".join(self._unsent), "".join(thoughts))
        self._unsent.clear()
        self._num_sent += len(thoughts)
        return chunk

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self.texts)

    @property
    def reasoning(self) -> str:
        """The thoughts, or the free text before the answer."""
        return "".join(self.detokenizer.thoughts)

    @property
    def is_thinking(self) -> bool:
        """Whether no token of the answer's text came yet."""
        thinking = self.detokenizer.thinking
        return thinking is not None and (self.is_free or not thinking.is_over)

    def _note_thought(self, thinking: Thinking, data: bytes) -> None:
        if thinking.is_on or self.is_free:
            self.num_thought = self.num_tokens
        if self.is_free and thinking.is_closed:
            self.num_closed = self.num_closed or self.num_tokens
        if thinking.is_whole:
            return
        self.answer_start = self.num_tokens - thinking.is_over
        self.is_torn = not thinking.is_over or "".join(self._unsent).encode() != data
