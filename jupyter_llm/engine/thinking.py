"""What a model thinks before it answers, told from the answer. Pure values."""

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
    # gpt-oss, and when it need not think
    ("<|channel|>analysis<|message|>", f"<|end|><|start|>assistant{_FINAL}"),
    ("<|channel|>commentary<|message|>", f"<|end|><|start|>assistant{_FINAL}"),
    (_FINAL, ""),
)
"""The texts, often of control tokens, between which models think before they answer."""


def opened_at_end(prompt: str) -> str | None:
    """The mark that ends the thinking which a prompt leaves open, so that the answer begins in it.

    None if it leaves none open, as most chat templates do.
    """
    end = prompt.rstrip()
    return next((close for mark, close in MARKS if close and end.endswith(mark)), None)


def at_once(prompt: str) -> str:
    """What a prompt has to go on with for its answer to come without thoughts."""
    close = opened_at_end(prompt)
    if close is not None:
        return f"\n{close}\n\n"  # as Qwen 3 is trained to see it
    return MARKS[-1][0] if prompt.endswith("<|start|>assistant") else ""


def marks_among(control_texts: Collection[str]) -> set[str]:
    """Those control texts of which marks are made."""
    return {text for text in control_texts if text and any(text in a + b for a, b in MARKS)}


def marks_of(source: str, texts: Collection[str]) -> list[tuple[str, str]]:
    """The marks that a model may write: its template names them, or these texts of its tokens do.

    Any other model that writes one means the text.
    """
    starts = tuple(text for text in texts if text)
    return [pair for pair in MARKS if pair[0] in source or pair[0].startswith(starts)]


class Thinking:
    """Splits what a model writes into what it thinks and what it answers, piece by piece.

    With `close` it thinks from the start, until that mark or one of several; else where it begins
    with one of `marks`. With `is_trimmed` blanks before an answer without thoughts are left out, as
    they always are after thoughts.
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
        self._held = ""
        self._has_thought = False
        self.is_closed = False  # no mark is to come any more
        self.is_over = False  # from the first text of the answer on
        self.is_whole = not is_trimmed and close is None  # whether all there was is the answer

    @property
    def is_on(self) -> bool:
        """Whether it is thinking."""
        return self._closes is not None and not self.is_closed

    def feed(self, text: str) -> tuple[str, str]:
        """What is certain now of the thoughts, and of the answer; the latter ends it."""
        if self.is_over:
            return "", text
        self._held += text
        if self._closes is None and not self.is_closed and not self._has_begun():
            return "", ""
        thought = "" if self.is_closed else self._thought()
        return thought, self._answer() if self.is_closed else ""

    def flush(self) -> tuple[str, str]:
        """What was held back, at the end of all."""
        held, self._held = self._held, ""
        if self.is_on:
            return held.rstrip(), ""
        return "", held.lstrip() if self.is_closed else held

    def _has_begun(self) -> bool:
        """Tell whether it is known how the text begins: with a mark, or with the answer."""
        begun = self._held.lstrip()
        for mark, close in self._marks:
            if begun.startswith(mark):
                self._closes, self._held, self.is_whole = (close,), begun[len(mark) :], False
                return True
        if any(mark.startswith(begun) for mark, _ in self._marks):
            return False
        self.is_closed = True
        return True

    def _thought(self) -> str:
        """Take what is thought, but for blanks and what may become the mark at its end."""
        closes, held = self._closes or (), self._held
        found = min(((held.find(close), close) for close in closes if close in held), default=None)
        if found is not None:
            place, close = found
            self.is_closed, self._held, self._is_trimmed = True, held[place + len(close) :], True
            thought = held[:place].rstrip()
        else:
            starts = (close[:size] for close in closes for size in range(1, len(close)))
            most = max((len(start) for start in starts if held.endswith(start)), default=0)
            thought = held[: len(held) - most].rstrip()
            self._held = held[len(thought) :]
        if not self._has_thought:
            thought = thought.lstrip()
        self._has_thought = self._has_thought or bool(thought)
        return thought

    def _answer(self) -> str:
        answer, self._held = self._held, ""
        if self._is_trimmed:
            answer = answer.lstrip()
        self.is_over = bool(answer) or not self._is_trimmed
        return answer
