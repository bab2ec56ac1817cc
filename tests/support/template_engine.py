"""A scripted engine that reads chats as a real one does: through a template, token by token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from support.scripted import ScriptedEngine

from jupyter_llm import LLM
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.local.text.chat_template import ChatTemplate
from jupyter_llm.engine.request import Message, Prompt, RawPrompt, raw_text

CONTROL_TEXTS = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)


class TemplateEngine(ScriptedEngine):
    """Tokens are pairs of characters, so that they change when a text before them does."""

    def __init__(self, replies: Sequence[str] = (), *, n_ctx: int = 8192) -> None:
        super().__init__(replies)
        self.info = replace(self.info, n_ctx=n_ctx)
        self._template = ChatTemplate(
            TEMPLATE, model="toy", bos="", eos="<|im_end|>", control_texts=CONTROL_TEXTS
        )
        self._ids: dict[str, int] = {}

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:  # noqa: ARG002
        return self._template.format(prompt) if isinstance(prompt, tuple) else raw_text(prompt)

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        if isinstance(prompt, tuple):
            return self._template.tokenize(prompt, self._pairs)
        parts = prompt.parts if isinstance(prompt, RawPrompt) else (prompt,)
        return tuple(
            pair
            for part in parts
            for pair in (
                self._pairs(part, is_special=False)
                if isinstance(part, str)
                else self._pairs(part.text, is_special=True)
            )
        )

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(self._pairs(text, is_special=False)) for text in texts]

    def up_to_the_last_prompt(self, messages: tuple[Message, ...], prompt: str) -> tuple[int, ...]:
        """Return the tokens that anything with the same beginning has."""
        *before, last = messages
        one, other = (
            self.tokenize((*before, _with_another_prompt(last, prompt, text)))
            for text in ("a", "Z")
        )
        return one[: common(one, other)]

    def _pairs(self, text: str, *, is_special: bool) -> list[int]:
        pattern = "|".join(map(re.escape, CONTROL_TEXTS))
        texts = re.split(f"({pattern})", text) if is_special else [text]
        pairs = [
            pair
            for part in texts
            for pair in ([part] if part in CONTROL_TEXTS and is_special else _twos(part))
        ]
        return [self._ids.setdefault(pair, len(self._ids)) for pair in pairs]


class ScriptedCurrent(CurrentEngine):
    """A current engine that is always the same one."""

    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__()
        self.scripted = engine

    def get(self, *_args: object, **_options: object) -> ScriptedEngine:
        return self.scripted

    @property
    def resident(self) -> ScriptedEngine:
        return self.scripted

    def resident_for(self, _model: object = None) -> ScriptedEngine:
        return self.scripted


class ScriptedLLM(LLM):
    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__(ScriptedCurrent(engine))
        self.scripted = engine


def common(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _with_another_prompt(message: Message, prompt: str, other: str) -> Message:
    assert message.content.endswith(prompt)
    if message.parts:
        return Message.of_parts("user", (*message.parts[:-1], other))
    return Message("user", other)


def _twos(text: str) -> list[str]:
    return [text[n : n + 2] for n in range(0, len(text), 2)]
