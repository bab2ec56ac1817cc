"""From prompts to the tokens that a model reads, where a user's text never steers the model."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from jupyter_llm.engine.local.sched.slots import common_prefix
from jupyter_llm.engine.local.text import plain_template
from jupyter_llm.engine.request import Message, Prompt, RawPrompt, raw_text
from jupyter_llm.engine.thinking import (
    MARKS,
    Thinking,
    at_once,
    marks_among,
    marks_of,
    opened_at_end,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from jupyter_llm.engine.local.native.llama import Weights
    from jupyter_llm.engine.local.text.chat_template import ChatTemplate

logger = logging.getLogger(__name__)

_LONGEST_MARK = 16  # tokens, with a line's end
_MAX_KNOWN = 2048  # parts: the cells of some long notebooks
# Between free text and an answer with a shape. Without the word a model that has just written its
# reasons takes what comes for a part of them (0.5B coder, the tone of 6 texts: 2 right, with it 6).
LEAD_OVER = "\n\nAnswer:\n"


class Tokenizer:
    """Makes a model's tokens of prompts. Belongs to the engine thread.

    Parts of prompts are tokenized once, as long as they are not too many. `file_keys` are the names
    of the model file by which the tokens of a message are known to be this model's.
    """

    def __init__(
        self, weights: Weights, *, model: str, file_keys: Callable[[], Collection[str | None]]
    ) -> None:
        self._weights = weights
        self._model = model
        self._file_keys = file_keys
        self._known = lru_cache(_MAX_KNOWN)(self._plain)

    @cached_property
    def template(self) -> ChatTemplate:
        """The model's chat template, made on first need."""
        from jupyter_llm.engine.local.text.chat_template import ChatTemplate

        source = self._weights.chat_template
        if source is None:
            logger.warning(
                "%s has no chat template (a base model), so it is asked in a dialogue of plain "
                "words and may answer oddly. `%%llm /complete TEXT` and `llm.complete(…)` go on "
                "with a text.",
                self._model,
            )
        return ChatTemplate(
            plain_template.SOURCE if source is None else source,
            model=self._model,
            bos=self._weights.bos,
            eos=self._weights.eos,
            control_texts=tuple(self._weights.control_ids),
        )

    @property
    def trouble(self) -> str:
        """Why another template than the file's is used, as far as it is known yet."""
        template: ChatTemplate | None = self.__dict__.get("template")
        return template.trouble if template is not None else ""

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """The text that the model reads for a prompt; for `think` see `SamplingParams`."""
        if isinstance(prompt, RawPrompt) and prompt.token_ids:
            pieces = map(self.named, self._weights.known(prompt.token_ids))
            return b"".join(pieces).decode("utf-8", "replace")
        if not isinstance(prompt, tuple):
            return raw_text(prompt)
        text = self.template.format(prompt, think=think)
        return text + at_once(text) if think is False else text

    def tokenize(
        self, prompt: Prompt, *, think: bool | None = None, most: float = math.inf
    ) -> tuple[int, ...]:
        """The tokens that the model reads for a prompt; for `think` see `SamplingParams`.

        Of more than `most`, some may be left out.
        """
        if isinstance(prompt, tuple):
            read = tuple(map(self._read, prompt))
            piece = partial(self._piece, most=most)
            token_ids = self.template.tokenize(read, piece, think=think)
            if think is False:  # the template may have them think in any case
                token_ids += tuple(piece(at_once(self._end(token_ids)), is_special=True))
            # Only the template of a file itself writes the begin token.
            return self._begun(token_ids) if self.template.is_generic else token_ids
        if isinstance(prompt, str):
            return self._begun(self._weights.tokenize(prompt, is_special=False, most=most))
        return self._begun(self._parts(prompt, most))

    def stops(self, prompt: Prompt) -> tuple[str, ...]:
        """The texts that end an answer beside those that were asked for.

        It is to be the prompt that was tokenized last.
        """
        if not isinstance(prompt, tuple) or not self.template.is_plain:
            return ()
        # A model that was trained to chat may write a line of a log that looks like a turn.
        return plain_template.STOPS[: None if self._weights.chat_template is None else 2]

    def thinking(self, prompt: Prompt, token_ids: Sequence[int]) -> Thinking | None:
        """Return the detector of thoughts in the answer to a chat; None for raw text."""
        if not isinstance(prompt, tuple):
            return None
        close = opened_at_end(self._end(token_ids))
        return Thinking(close, marks=self._marks, is_trimmed=self.template.is_plain)

    def around_thoughts(
        self, prompt: Prompt, token_ids: Sequence[int]
    ) -> tuple[list[int], list[int], list[str]]:
        """Return the tokens before and after free text, and the texts that end it."""
        mark = close = ""
        if isinstance(prompt, tuple) and self.can_think:
            of_model = next((pair for pair in self._marks if pair[1]), ("", ""))
            opened = opened_at_end(self._end(token_ids))
            mark, close = of_model if opened is None else ("", opened)
        tokenize = partial(self._weights.tokenize, is_special=bool(close), goes_on=True)
        closing = tokenize(f"\n{close}\n\n" if close else LEAD_OVER)
        return tokenize(mark), closing, [close] if close else [*self.stops(prompt), LEAD_OVER]

    @property
    def can_think(self) -> bool:
        """Whether the chat template knows of thoughts, if it is used."""
        source = self._weights.chat_template or ""
        knows = "enable_thinking" in source or bool(marks_of(source, ()))
        return knows and not self.template.is_plain

    @cached_property
    def _marks(self) -> list[tuple[str, str]]:
        """The marks between which this model may think; a base model has none."""
        source = self._weights.chat_template
        if source is None:
            return []
        tokenize = partial(self._weights.tokenize, is_special=True)
        texts = {mark for mark, _ in MARKS if len(tokenize(mark)) == 1}
        return marks_of(source, texts | marks_among(self._weights.control_ids))

    @cached_property
    def mark_bytes(self) -> dict[int, bytes]:
        """The texts of those control tokens that begin and end thoughts."""
        ids = self._weights.control_ids
        return {ids[text]: text.encode() for text in marks_among(ids)}

    def _end(self, token_ids: Sequence[int]) -> str:
        """The end of a prompt, where it may open thoughts."""
        end = token_ids[-_LONGEST_MARK:]
        pieces = (self._weights.bytes_of(i) or self.mark_bytes.get(i, b"") for i in end)
        return b"".join(pieces).decode("utf-8", "replace")

    def tokenize_open(self, prompt: Prompt, *, think: bool | None = None) -> tuple[int, ...]:
        """Return the tokens of a raw text, or the start of a chat that every next message keeps.

        That start is the common prefix of two different continuations.
        """
        if not isinstance(prompt, tuple) or not prompt:
            return self.tokenize(prompt)
        texts = (_continued(prompt, end) for end in ("a", "Z"))
        one, other = (self.tokenize(text, think=think) for text in texts)
        return one[: common_prefix(one, other)]

    def plain(self, text: str, *, goes_on: bool = False) -> tuple[int, ...]:
        """Return the tokens of a text, in which control texts mean nothing.

        A text that `goes_on` after a plain text gets no space before it, whatever the vocabulary.
        """
        return self._known(text, goes_on and self._weights.puts_space_first)

    def following(
        self, token_ids: Sequence[int], texts: Iterable[str]
    ) -> dict[str, tuple[int, ...]]:
        """The tokens of plain texts as they come after some tokens, by the texts."""
        goes_on = token_ids[-1] not in self._controls
        return {text: self.plain(text, goes_on=goes_on) for text in texts}

    def _plain(self, text: str, goes_on: bool) -> tuple[int, ...]:  # noqa: FBT001
        return tuple(self._weights.tokenize(text, is_special=False, goes_on=goes_on))

    def _piece(self, text: str, *, is_special: bool, most: float) -> Sequence[int]:
        tokenize = partial(self._weights.tokenize, is_special=True, most=most)
        return tokenize(text) if is_special else self.plain(text)

    def _parts(self, prompt: RawPrompt, most: float) -> list[int]:
        token_ids = [*self._weights.known(prompt.token_ids)]
        goes_on = False
        for part in prompt.parts:
            if isinstance(part, str) and prompt.is_marked:
                tokenize = partial(self._weights.tokenize, is_special=True, most=most)
                token_ids += tokenize(part, goes_on=goes_on)
                goes_on = goes_on or bool(part)
            elif isinstance(part, str):
                token_ids += self.plain(part, goes_on=goes_on)
                goes_on = goes_on or bool(part)
            else:
                token_ids.append(self._weights.control_id(part.text))
                goes_on = False
        return token_ids

    def named(self, token_id: int) -> bytes:
        """A token's share of the text, or the name of a control token."""
        return self._weights.bytes_of(token_id) or self._controls.get(token_id, b"")

    @cached_property
    def _controls(self) -> dict[int, bytes]:
        """The texts of control tokens."""
        return {token: text.encode() for text, token in self._weights.control_ids.items()}

    def _begun(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        """A raw text's tokens after the begin token, if the model wants one and it is not there."""
        begin_ids = self._weights.begin_ids if token_ids else ()
        is_begun = tuple(token_ids[: len(begin_ids)]) == begin_ids
        return tuple(token_ids) if is_begun else (*begin_ids, *token_ids)

    def _read(self, message: Message) -> Message:
        """A message as this model reads it: tokens that are not its own mean something else."""
        ids = message.token_ids
        if not ids:
            return message
        is_own = bool(message.tokens_of) and message.tokens_of in self._file_keys()
        if is_own and min(ids) >= 0 and max(ids) < self._weights.n_vocab:
            return message
        return replace(message, token_ids=None)


def _continued(prompt: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """A chat whose last message goes on with a text, or with a message after an answer."""
    last = prompt[-1]
    if last.role != "user":
        return (*prompt, Message("user", text))
    if last.parts:
        return (*prompt[:-1], Message.of_parts("user", (*last.parts, text)))
    return (*prompt[:-1], Message("user", last.content + text))
