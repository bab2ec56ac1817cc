"""What is asked of a model: messages or raw text, and how to answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, TypeVar

from jupyter_llm.engine.constraint import Constraint, Grammar, OneOf, checked_ids
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.errors import EmptyPromptError, OptionError

T = TypeVar("T")
Role = Literal["system", "user", "assistant"]


class Priority(IntEnum):
    """Whose step is next: the smaller number. A class is not felt by those above it.

    Guests are other programs that the model is served to.
    """

    GHOST = 0
    CHAT = 1
    GUEST = 2
    BULK = 3
    BACKGROUND = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat.

    `token_ids` are the tokens the model itself wrote for `content`. With them a follow-up prompt
    repeats the resident tokens exactly; without, the text is tokenized again, which need not give
    the same tokens back. They hold for one model file alone, which `tokens_of` names: to any other
    model the message is its text.

    `parts` make up `content` and are tokenized one by one, as plain text: a message that goes on
    with more parts begins with the same tokens, whatever stands where they meet.

    `reasoning` is what the model thought before it wrote `content`. It is read again only where the
    chat template asks for it.
    """

    role: Role
    content: str
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)
    parts: tuple[str, ...] = field(default=(), repr=False)
    tokens_of: str | None = field(default=None, repr=False)
    reasoning: str = field(default="", repr=False)

    @classmethod
    def of_parts(cls, role: Role, parts: Sequence[str]) -> Message:
        """Make a message of parts that are tokenized one by one."""
        return cls(role, "".join(parts), parts=tuple(parts))

    def instructed(self, instruction: str) -> Message:
        """The message with what its answer is to look like before it, if that is told.

        There it is common to messages that differ in what they are about.
        """
        if not instruction:
            return self
        return self.of_parts(self.role, [f"{instruction}\n\n", *(self.parts or (self.content,))])


@dataclass(frozen=True, slots=True)
class Special:
    """A control token by its text, such as `<|fim_prefix|>`."""

    text: str

    def __post_init__(self) -> None:
        """Refuse what no token's text can be."""
        text: Any = self.text
        if not isinstance(text, str) or not text:
            raise OptionError(f"Special takes the text of a control token, not {text!r}.")


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """Raw text to continue, in parts that are tokenized one by one.

    A part is plain text, of which no control token ever comes, or a `Special`. A prompt that goes
    on with more parts begins with the same tokens.

    In one that `is_marked` the names of control tokens in texts are these tokens, as other servers
    read what a program has put together. It may be given by its `token_ids` alone, as the model
    that is asked has them.
    """

    parts: tuple[str | Special, ...]
    token_ids: tuple[int, ...] = ()
    is_marked: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that are neither."""
        parts: Any = self.parts
        is_list = isinstance(parts, tuple | list)
        if not is_list or not all(isinstance(part, str | Special) for part in parts):
            raise OptionError(f"RawPrompt takes a list of texts and Specials, not {parts!r}.")
        object.__setattr__(self, "parts", tuple(parts))

    @classmethod
    def of_tokens(cls, token_ids: Sequence[int]) -> RawPrompt:
        """Make a prompt of tokens by their numbers."""
        return cls((), checked_ids(token_ids))

    @property
    def text(self) -> str:
        """The parts as one text."""
        if self.token_ids:
            raise OptionError("Tokens by their numbers have no text where their model is not.")
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


Prompt = str | RawPrompt | tuple[Message, ...]
"""Raw text to continue, whole or in parts, or the messages of a chat to answer."""


def raw_text(prompt: str | RawPrompt) -> str:
    """A raw prompt as one text."""
    return prompt if isinstance(prompt, str) else prompt.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and how to answer it.

    Requests with the same `conversation` follow one another: the later one may reuse the resident
    tokens of the earlier one in place. Others share what they have in common and keep the rest
    apart. A pinned prompt stays resident when others have to go. Of a private one nothing is
    written to the disk. With a `sender`, `cached_tokens` counts only what it sent or got before:
    the number must not reveal what others asked.

    The answer begins with `answer_prefix`. It is plain text that the model reads as if it had
    written it: it counts as prompt tokens, and neither the completion nor a stop text sees it.
    `prefill` leaves it out. A `constraint` holds for what comes after it. What was written freely
    before it, as `reason` and `think` say, is the `reasoning`: a model that thinks reads it between
    its marks.
    """

    prompt: Prompt
    params: SamplingParams = field(default_factory=SamplingParams)
    reasoning: str = ""
    answer_prefix: str = ""
    constraint: Constraint | None = None
    conversation: str | None = None
    priority: Priority = Priority.CHAT
    is_pinned: bool = False
    is_private: bool = False
    sender: str = ""

    @property
    def think(self) -> bool | None:
        """Whether the model is to read a prompt to think, or None where its template says.

        What an answer begins with would be thought, and not answered; thoughts before a shape are
        none of the answer.
        """
        if not self.answer_prefix and self.constraint is None:
            return self.params.think
        has_shape = isinstance(self.constraint, Grammar | OneOf) and not self.answer_prefix
        wanted = self.params.reason > 0 or bool(self.params.think)
        return bool(self.reasoning) or (has_shape and wanted)


def check_text(prompt: object, *, is_raw: bool = False) -> str:
    """Check that a prompt is a text with something in it; blanks count in raw text only.

    Raises `OptionError` if it is no text, `EmptyPromptError` if there is nothing in it.
    """
    if not isinstance(prompt, str):
        raise OptionError(f"A prompt is a text, not a {type(prompt).__name__}. Use str(…).")
    if not (prompt if is_raw else prompt.strip()):
        raise EmptyPromptError
    return prompt


def several(texts: Iterable[T]) -> list[T]:
    """Some texts; one alone is not several."""
    if isinstance(texts, str | RawPrompt):
        raise OptionError("Several texts are wanted, not one. Put it into a list: [text].")
    return list(texts)


def check_texts(texts: Iterable[str]) -> list[str]:
    """Return several texts that have something in them."""
    return [check_text(text, is_raw=True) for text in several(texts)]


def chat_prompt(
    prompt: str | RawPrompt,
    system: str | None = None,
    *,
    raw: bool = False,
    before: tuple[Message, ...] = (),
) -> Prompt:
    """The messages of one question, with turns `before` it; what is raw goes as it is, alone."""
    if isinstance(prompt, RawPrompt):
        check_text(prompt.text, is_raw=True)
        return prompt
    check_text(prompt, is_raw=raw)
    if raw:
        return prompt
    messages = (*before, Message("user", prompt))
    return (Message("system", system), *messages) if system else messages


def request_of(
    prompt: str | RawPrompt,
    system: str | None = None,
    *,
    raw: bool = False,
    is_pinned: bool = False,
    sampling: Mapping[str, Any],
) -> Request:
    """One question with its options, both as people write them and checked."""
    params = sampling_params(sampling)
    return Request(prompt=chat_prompt(prompt, system, raw=raw), params=params, is_pinned=is_pinned)
