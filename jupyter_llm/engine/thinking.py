"""Separates a model's thoughts from its answer. Pure values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_FINAL = "<|channel|>final<|message|>"

MARKS = (
    ("<think>", "</think>"),  # DeepSeek R1, Qwen 3, SmolLM3, GLM 4.5 and most others
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    # gpt-oss, and its answers without thoughts
    ("<|channel|>analysis<|message|>", f"<|end|><|start|>assistant{_FINAL}"),
    ("<|channel|>commentary<|message|>", f"<|end|><|start|>assistant{_FINAL}"),
    (_FINAL, ""),
)
"""The texts, often of control tokens, between which models think before they answer."""


def opened_at_end(prompt: str) -> str | None:
    """Return the mark that ends the thoughts which a prompt leaves open, or None.

    With an open mark, the answer begins with thoughts.
    """
    end = prompt.rstrip()
    return next((close for mark, close in MARKS if close and end.endswith(mark)), None)


def at_once(prompt: str) -> str:
    """Return the text to append to a prompt so that the answer has no thoughts."""
    close = opened_at_end(prompt)
    if close is not None:
        return f"\n{close}\n\n"  # as in Qwen 3's training
    return MARKS[-1][0] if prompt.endswith("<|start|>assistant") else ""


def marks_among(control_texts: Collection[str]) -> set[str]:
    """Return the control texts that are parts of marks."""
    return {text for text in control_texts if text and any(text in a + b for a, b in MARKS)}


def marks_of(source: str, texts: Collection[str]) -> list[tuple[str, str]]:
    """Return the marks that a model may write: its template or its control texts contain them.

    In any other model's text, a mark is plain text.
    """
    starts = tuple(text for text in texts if text)
    return [pair for pair in MARKS if pair[0] in source or pair[0].startswith(starts)]


class Thinking:
    """Splits a model's text into thoughts and answer, piece by piece.

    With `close` the text begins with thoughts, which end at that mark, or at one of several.
    Otherwise they begin with one of `marks`. Blanks before an answer are dropped after thoughts,
    and always if `is_trimmed`.
    """

    def __init__(
        self,
        close: str | Sequence[str] | None = None,
        *,
        marks: Sequence[tuple[str, str]] = MARKS,
        is_trimmed: bool = False,
    ) -> None:
        self._closes = (close,) if isinstance(close, str) else close
        self._marks = marks
        self._is_trimmed = is_trimmed
        self._buffer = ""
        self._has_thought = False
        self.is_closed = False  # no more marks follow
        self.is_over = False  # set with the first text of the answer
        self.is_whole = not is_trimmed and close is None  # the answer is all of the text

    @property
    def is_on(self) -> bool:
        """Whether the text is inside thoughts."""
        return self._closes is not None and not self.is_closed

    def feed(self, text: str) -> tuple[str, str]:
        """Return the new certain parts of the thoughts and of the answer."""
        if self.is_over:
            return "", text
        self._buffer += text
        if self._closes is None and not self.is_closed and not self._has_begun():
            return "", ""
        thought = "" if self.is_closed else self._thought()
        return thought, self._answer() if self.is_closed else ""

    def flush(self) -> tuple[str, str]:
        """Return the buffered text at the end."""
        rest, self._buffer = self._buffer, ""
        if self.is_on:
            return rest.rstrip(), ""
        return "", rest.lstrip() if self.is_closed else rest

    def _has_begun(self) -> bool:
        """Whether it is certain how the text begins: with a mark, or with the answer.

        If so, the mark is removed from the buffer; after an answer's beginning no mark counts.
        """
        begun = self._buffer.lstrip()
        for mark, close in self._marks:
            if begun.startswith(mark):
                self._closes, self._buffer, self.is_whole = (close,), begun[len(mark) :], False
                return True
        if any(mark.startswith(begun) for mark, _ in self._marks):
            return False
        self.is_closed = True
        return True

    def _thought(self) -> str:
        """Return new thoughts, without final blanks and a possible part of the closing mark."""
        closes, buffer = self._closes or (), self._buffer
        end = min(
            ((buffer.find(close), close) for close in closes if close in buffer), default=None
        )
        if end is not None:
            place, close = end
            self.is_closed, self._buffer, self._is_trimmed = (
                True,
                buffer[place + len(close) :],
                True,
            )
            thought = buffer[:place].rstrip()
        else:
            starts = (close[:size] for close in closes for size in range(1, len(close)))
            most = max((len(start) for start in starts if buffer.endswith(start)), default=0)
            thought = buffer[: len(buffer) - most].rstrip()
            self._buffer = buffer[len(thought) :]
        if not self._has_thought:
            thought = thought.lstrip()
        self._has_thought = self._has_thought or bool(thought)
        return thought

    def _answer(self) -> str:
        answer, self._buffer = self._buffer, ""
        if self._is_trimmed:
            answer = answer.lstrip()
        self.is_over = bool(answer) or not self._is_trimmed
        return answer
