"""From messages to text and tokens: the chat template that the model file carries.

The template comes from a file somebody downloaded, so it runs in jinja2's sandbox.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jupyter_llm.engine.base import Message
from jupyter_llm.errors import ChatTemplateError


class Tokenize(Protocol):
    """A model's tokenizer. Special: `<|im_end|>` and the like count as one token each."""

    def __call__(self, text: str, *, is_special: bool) -> Sequence[int]:
        """Return the tokens of a text."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    is_special: bool = True
    token_ids: tuple[int, ...] | None = None


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


class ChatTemplate:
    """A model's jinja2 chat template, ready to format messages.

    `bos` and `eos` are the texts of the model's begin and end tokens, which templates refer to.
    `control_texts` are the texts of its control tokens: a user's message that contains one is
    read as plain text, so that nobody ends a turn from inside a message.
    """

    def __init__(
        self, source: str, *, model: str, bos: str, eos: str, control_texts: Sequence[str] = ()
    ) -> None:
        # Chat templates are written for these two options (Hugging Face's chat_template_utils).
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, bos_token=bos, eos_token=eos)
        self._model = model
        self._control_texts = tuple(text for text in control_texts if text)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ChatTemplateError(model, f"its chat template is broken ({error}).") from error

    def format(self, messages: Sequence[Message]) -> str:
        """Return the text the model reads, up to where its answer begins."""
        return self._render(messages, [message.content for message in messages])

    def tokenize(self, messages: Sequence[Message], tokenize: Tokenize) -> tuple[int, ...]:
        """Return the tokens the model reads, up to where its answer begins.

        Template and ordinary messages are tokenized as one text. Two kinds of message stand apart:
        those the model wrote, which keep their own tokens, and those with the text of a control
        token in them, which are tokenized as plain text.
        """
        token_ids: list[int] = []
        for piece in self._pieces(messages):
            token_ids += piece.token_ids or tokenize(piece.text, is_special=piece.is_special)
        return tuple(token_ids)

    def _pieces(self, messages: Sequence[Message]) -> list[_Piece]:
        contents = [message.content for message in messages]
        nonce = secrets.token_hex(8)  # no message can hold it
        apart: dict[str, Message] = {}
        for index, message in enumerate(messages):
            if message.content and (message.token_ids or self._has_control_text(message.content)):
                contents[index] = mark = f"\ue000{nonce}{index}\ue001"
                apart[mark] = message
        if not apart:
            return [_Piece(self._render(messages, contents))]
        marked = self._render(messages, contents)
        if not self._shows_unchanged(marked, apart, self.format(messages)):
            return [_Piece(self._render(messages, [self._disarm(m.content) for m in messages]))]
        pieces: list[_Piece] = []
        for mark, message in apart.items():
            before, _, marked = marked.partition(mark)
            pieces += [_Piece(before)] if before else []
            pieces.append(_Piece(message.content, is_special=False, token_ids=message.token_ids))
        return [*pieces, _Piece(marked)] if marked else pieces

    @staticmethod
    def _shows_unchanged(marked: str, apart: dict[str, Message], whole: str) -> bool:
        """Tell whether the template shows each marked message once and at most trims it.

        A template may rewrite a message, e.g. leave out its thinking; its own tokens would then
        say something else than the text.
        """
        as_is = trimmed = marked
        for mark, message in apart.items():
            as_is = as_is.replace(mark, message.content)
            trimmed = trimmed.replace(mark, message.content.strip())
        return whole in (as_is, trimmed) and all(marked.count(mark) == 1 for mark in apart)

    def _has_control_text(self, content: str) -> bool:
        return any(text in content for text in self._control_texts)

    def _disarm(self, content: str) -> str:
        """Split the texts of control tokens with a zero-width space, so that they are only text."""
        for text in self._control_texts:
            content = content.replace(text, f"{text[0]}\u200b{text[1:]}")
        return content

    def _render(self, messages: Sequence[Message], contents: Sequence[str]) -> str:
        roles = [
            {"role": message.role, "content": content}
            for message, content in zip(messages, contents, strict=True)
        ]
        try:
            return self._template.render(messages=roles, add_generation_prompt=True)
        except Exception as error:
            # A template is a program from a file: whatever it raises is the file's fault.
            raise ChatTemplateError(self._model, f"its chat template says: {error}.") from error
