"""From messages to text and tokens: the chat template that the model file carries.

The template comes from a file somebody downloaded, so it runs in jinja2's sandbox.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeVar

from jinja2 import TemplateError
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jupyter_llm.engine.request import Message
from jupyter_llm.errors import ChatTemplateError

T = TypeVar("T")


class Tokenize(Protocol):
    """A model's tokenizer. Special: `<|im_end|>` and the like count as one token each."""

    def __call__(self, text: str, *, is_special: bool) -> Sequence[int]:
        """The tokens of a text."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    is_special: bool = True
    token_ids: tuple[int, ...] | None = None
    parts: tuple[str, ...] = ()

    def tokenize(self, tokenize: Tokenize) -> Sequence[int]:
        if self.token_ids:
            return self.token_ids
        texts = self.parts or (self.text,)
        return [i for text in texts for i in tokenize(text, is_special=self.is_special)]


def _message_piece(message: Message, shown: str) -> _Piece:
    """The piece of a message that is shown as it is or without the blanks around it."""
    parts = message.parts
    if parts and shown != message.content:
        parts = (parts[0].lstrip(), *parts[1:])
        parts = (*parts[:-1], parts[-1].rstrip())
        if "".join(parts) != shown:  # a whole part was blank
            parts = ()
    return _Piece(shown, is_special=False, token_ids=message.token_ids, parts=parts)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Marks:
    """Stand-ins for some messages' contents, to find where a template puts them."""

    def __init__(self, messages: Sequence[Message], is_marked: Callable[[Message], bool]) -> None:
        nonce = secrets.token_hex(8)  # no message can hold it
        self._messages = messages
        self._pattern = re.compile(f"\ue000{nonce}:(\\d+)\ue001")
        self._numbers = [n for n, message in enumerate(messages) if is_marked(message)]
        self._contents = [
            f"\ue000{nonce}:{n}\ue001" if n in self._numbers else message.content
            for n, message in enumerate(messages)
        ]

    def render(self, render: Callable[[Sequence[Message], Sequence[str]], str]) -> str:
        """What the template makes of the stand-ins."""
        return render(self._messages, self._contents)

    def split(self, marked: str, whole: str) -> list[_Piece] | None:
        """Cut the rendered text into template and messages.

        None if the template does more to a message than to trim it (it may leave out its
        thinking, say): its own tokens would then say something else than the text.
        """
        parts = self._pattern.split(marked)  # template, number, template, number, …
        numbers = [int(number) for number in parts[1::2]]
        if sorted(numbers) != self._numbers:
            return None
        contents = [self._messages[number].content for number in numbers]
        for shown in (contents, [content.strip() for content in contents]):
            if whole == "".join(_interleave(parts[::2], shown)):
                break
        else:
            return None
        pieces = [
            _message_piece(self._messages[number], text)
            for number, text in zip(numbers, shown, strict=True)
        ]
        template = [_Piece(text) for text in parts[::2]]
        return [piece for piece in _interleave(template, pieces) if piece.text]


def _interleave(outer: Sequence[T], inner: Sequence[T]) -> list[T]:
    """The items of both in turn, the outer ones at both ends."""
    pairs = zip(outer, inner, strict=False)  # there is one more outside
    return [*(item for pair in pairs for item in pair), outer[-1]]


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
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(
            raise_exception=_refuse, strftime_now=_strftime_now, bos_token=bos, eos_token=eos
        )
        self._model = model
        self._control_texts = tuple(text for text in control_texts if text)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ChatTemplateError(model, f"its chat template is broken ({error}).") from error

    def format(self, messages: Sequence[Message]) -> str:
        """The text the model reads, up to where its answer begins."""
        return self._render(messages, [message.content for message in messages])

    def tokenize(self, messages: Sequence[Message], tokenize: Tokenize) -> tuple[int, ...]:
        """The tokens the model reads, up to where its answer begins.

        Template and ordinary messages are tokenized as one text. Three kinds of message stand
        apart: those the model wrote, which keep their own tokens, those that are made of parts,
        and those with the text of a control token in them; the latter two are tokenized as plain
        text.
        """
        token_ids: list[int] = []
        for piece in self._pieces(messages):
            token_ids += piece.tokenize(tokenize)
        return tuple(token_ids)

    def _pieces(self, messages: Sequence[Message]) -> list[_Piece]:
        whole = self.format(messages)
        everything = _Marks(messages, lambda message: bool(message.content))
        # Control texts that the template did not write came out of the messages, perhaps only when
        # it put them together or took something out of them.
        num_control = self._num_control(everything.render(self._render))
        for marks in (_Marks(messages, self._stands_apart), everything):
            pieces = marks.split(marks.render(self._render), whole)
            if pieces is not None and num_control == sum(
                self._num_control(piece.text) for piece in pieces if piece.is_special
            ):
                return pieces
        if num_control == self._num_control(whole):
            return [_Piece(whole)]
        disarmed = [self._disarm(message.content) for message in messages]
        return [_Piece(self._render(messages, disarmed))]

    def _stands_apart(self, message: Message) -> bool:
        is_tokenized_apart = message.token_ids or message.parts
        return bool(is_tokenized_apart or self._num_control(message.content))

    def _num_control(self, text: str) -> int:
        return sum(text.count(control_text) for control_text in self._control_texts)

    def _disarm(self, content: str) -> str:
        """Break up all that could become the text of a control token, with zero-width spaces."""
        for start in {text[0] for text in self._control_texts}:
            is_whole = start in self._control_texts  # a single letter cannot be broken up
            content = content.replace(start, "" if is_whole else f"{start}\u200b")
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
