"""Requests to a model: messages or raw text, and options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, TypeVar

from jupyter_llm.engine.constraint import Constraint, Grammar, OneOf, checked_ids
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import EmptyPromptError, OptionError

T = TypeVar("T")
Role = Literal["system", "user", "assistant"]


class Priority(IntEnum):
    """The order of steps: smaller numbers first; sched/turns.py has the exceptions.

    Guests are other programs that use the model through `/serve`.
    """

    GHOST = 0
    CHAT = 1
    GUEST = 2
    BULK = 3
    BACKGROUND = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat.

    `token_ids` are the tokens that the model itself wrote for `content`. With them, a follow-up
    prompt repeats the resident tokens exactly; tokenizing the text again may give others. They
    belong to one model file, `tokens_of`; any other model reads the text.

    `parts` make up `content` and are tokenized one by one, as plain text. So a message with more
    parts begins with the same tokens.

    `reasoning` are the thoughts before `content`; they are read again only if the chat template
    includes them.
    """

    role: Role
    content: str
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)
    parts: tuple[str, ...] = field(default=(), repr=False)
    tokens_of: str | None = field(default=None, repr=False)
    reasoning: str = field(default="", repr=False)

    @classmethod
    def of_parts(cls, role: Role, parts: Sequence[str]) -> Message:
        """Return a message of parts that are tokenized one by one."""
        return cls(role, "".join(parts), parts=tuple(parts))

    def instructed(self, instruction: str) -> Message:
        """Return the message with an instruction for its answer at the beginning, if there is one.

        There it is a common prefix of messages about different things.
        """
        if not instruction:
            return self
        return self.of_parts(self.role, [f"{instruction}\n\n", *(self.parts or (self.content,))])


@dataclass(frozen=True, slots=True)
class Special:
    """A control token by its text, such as `<|fim_prefix|>`."""

    text: str

    def __post_init__(self) -> None:
        """Raise `OptionError` if this cannot be a token's text."""
        text: Any = self.text
        if not isinstance(text, str) or not text:
            raise OptionError(f"Special takes the text of a control token, not {text!r}.")


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """Raw text to continue, in parts that are tokenized one by one.

    A part is plain text, which never becomes a control token, or a `Special`. A prompt with more
    parts begins with the same tokens. If it `is_marked`, names of control tokens in texts become
    these tokens, as other servers read a program's prompt. It may consist of `token_ids` alone, of
    the model that is asked.
    """

    parts: tuple[str | Special, ...]
    token_ids: tuple[int, ...] = ()
    is_marked: bool = False

    def __post_init__(self) -> None:
        """Raise `OptionError` for parts of another type."""
        parts: Any = self.parts
        is_list = isinstance(parts, tuple | list)
        if not is_list or not all(isinstance(part, str | Special) for part in parts):
            raise OptionError(f"RawPrompt takes a list of texts and Specials, not {parts!r}.")
        object.__setattr__(self, "parts", tuple(parts))

    @classmethod
    def of_tokens(cls, token_ids: Sequence[int]) -> RawPrompt:
        """Return a prompt of token ids."""
        return cls((), checked_ids(token_ids))

    @property
    def text(self) -> str:
        """Return the parts as one text."""
        if self.token_ids:
            raise OptionError("Tokens by their numbers have no text where their model is not.")
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


Prompt = str | RawPrompt | tuple[Message, ...]
"""Raw text to continue, whole or in parts, or the messages of a chat to answer."""


def raw_text(prompt: str | RawPrompt) -> str:
    """Return a raw prompt as one text."""
    return prompt if isinstance(prompt, str) else prompt.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt, and how to answer it.

    Requests with the same `conversation` follow one another: a later one may reuse the resident
    tokens of an earlier one in place. Others share a common prefix and keep the rest apart. A
    pinned prompt is evicted last. A private one is never written to the disk. With a `sender`,
    `cached_tokens` only counts tokens of the same sender: the number must not reveal others'
    prompts.

    The answer begins with `answer_prefix`, plain text that the model reads as its own. It counts as
    prompt tokens; neither the completion nor stop texts include it, nor does `prefill`. A
    `constraint` applies after it. `reasoning` is text that was written before, see `reason` and
    `think`; a model that thinks reads it between its marks.
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
        """Whether to prompt the model to think; None leaves that to its template.

        A prefix, or the beginning of a constrained answer, would be read as thoughts. Thoughts
        before a shape are not part of the answer.
        """
        if not self.answer_prefix and self.constraint is None:
            return self.params.think
        has_shape = isinstance(self.constraint, Grammar | OneOf) and not self.answer_prefix
        wanted = self.params.reason > 0 or bool(self.params.think)
        return bool(self.reasoning) or (has_shape and wanted)


def check_text(prompt: object, *, is_raw: bool = False) -> str:
    """Return a prompt if it is a text that is not empty; blanks alone count only in raw text.

    Raises `OptionError` if it is no text, `EmptyPromptError` if it is empty.
    """
    if not isinstance(prompt, str):
        raise OptionError(f"A prompt is a text, not a {type(prompt).__name__}. Use str(…).")
    if not (prompt if is_raw else prompt.strip()):
        raise EmptyPromptError
    return prompt


def several(texts: Iterable[T]) -> list[T]:
    """Return texts as a list; `OptionError` for a single text."""
    if isinstance(texts, str | RawPrompt):
        raise OptionError("Several texts are wanted, not one. Put it into a list: [text].")
    return list(texts)


def check_texts(texts: Iterable[str]) -> list[str]:
    """Return several texts that are not empty."""
    return [check_text(text, is_raw=True) for text in several(texts)]


def chat_prompt(
    prompt: str | RawPrompt,
    system: str | None = None,
    *,
    raw: bool = False,
    before: tuple[Message, ...] = (),
) -> Prompt:
    """Return the messages of one question after the turns `before`.

    A raw prompt is returned alone.
    """
    if isinstance(prompt, RawPrompt):
        check_text(prompt.text, is_raw=True)
        return prompt
    check_text(prompt, is_raw=raw)
    if raw:
        return prompt
    messages = (*before, Message("user", prompt))
    return (Message("system", system), *messages) if system else messages
