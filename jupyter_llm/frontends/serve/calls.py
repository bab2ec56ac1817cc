"""What clients ask by OpenAI's protocol, checked, as requests of an engine.

What the engine cannot do is refused by its name: no answer is to be another one than was asked for.
Beside OpenAI's own words stand those of vLLM for what only some servers can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field

from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.constraint import Constraint, Exactly, Grammar, OneOf
from jupyter_llm.engine.options import MAX_SEED, SamplingParams
from jupyter_llm.engine.request import (
    Message,
    Priority,
    Prompt,
    RawPrompt,
    Request,
    Special,
    check_text,
)
from jupyter_llm.errors import OptionError
from jupyter_llm.structured import schemas

# What says nothing of the answer, and what says nothing where it is as usual.
_WITHOUT_MEANING = (
    *("user", "metadata", "service_tier", "safety_identifier", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_retention"),
)
_AS_USUAL: Mapping[str, object] = {
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), 0),
    **{name: [] for name in ("tools", "functions", "tool_calls", "annotations")},
    "store": False,
    **dict.fromkeys(("tool_choice", "function_call"), "none"),
    "best_of": 1,
    "modalities": ["text"],
}
_SAME = {"repetition_penalty": "repeat_penalty", "max_completion_tokens": "max_tokens"}
_STRICT: Any = {"forbid_unknown_fields": True}  # as in comm/messages.py

_MOST_PROMPTS = 2048

_request = partial(Request, priority=Priority.GUEST, is_private=True)
"""A request of a guest's, of which nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One of the answers that a call asks for.

    `echo` is told before it. With `logprobs` a `reading` finds out how likely the tokens of the
    prompt are, but for those of `first`. Of wishes for the same, all but one are `is_again`.
    """

    request: Request | None
    echo: str = ""
    logprobs: int | None = None
    first: str = ""
    reading: Request | None = None
    is_again: bool = False


class _StreamOptions(Struct, **_STRICT):
    include_usage: bool = False
    include_obfuscation: bool = False  # of pieces, which hides nothing on one machine


class _Schema(Struct):
    schema: dict[str, Any]


class _Format(Struct, **_STRICT):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: _Schema | None = None


class _Outputs(Struct, **_STRICT):
    json: dict[str, Any] | str | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None  # of Lark's kind


class _Template(Struct, **_STRICT):
    enable_thinking: bool | None = None


class Call(Struct, kw_only=True, **_STRICT):
    """What all calls may say. Without a `model` they mean the one that chats go to."""

    model: str = ""


T = TypeVar("T", bound=Call)


class AnswerCall(Call, kw_only=True, **_STRICT):
    """A call for answers."""

    stream: bool = False
    stream_options: _StreamOptions = field(default_factory=_StreamOptions)
    n: Annotated[int, Meta(ge=1, le=16)] = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] = field(default_factory=list)
    logit_bias: dict[int, float] = field(default_factory=dict)
    ignore_eos: bool = False
    response_format: _Format = field(default_factory=_Format)
    structured_outputs: _Outputs = field(default_factory=_Outputs)

    def several(
        self,
        prompt: Prompt,
        max_tokens: int | None,
        *,
        begun: str = "",
        think: bool | None = None,
        **told: Any,
    ) -> Iterator[Wish]:
        """Wish for `n` answers to a prompt; a seed counts on, so that they differ.

        It fixes no text, since all guests are answered together.
        """
        params = SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            min_p=self.min_p,
            top_k=0 if self.top_k == -1 else self.top_k,  # as vLLM has it
            repeat_penalty=self.repeat_penalty,
            seed=None if self.seed is None else self.seed % (MAX_SEED + 1),
            max_tokens=max_tokens,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop),
            logit_bias=tuple(self.logit_bias.items()),
            ignore_eos=self.ignore_eos,
            logprobs=told.get("logprobs"),
            exact=False,
            think=think,
        )
        shape = self._constraint()
        request = _request(prompt=prompt, params=params, constraint=shape, answer_prefix=begun)
        for number in range(self.n):
            one = replace(request, params=params.counted_on(number))
            yield Wish(request=one, is_again=number > 0, **told)

    def _constraint(self) -> Constraint | None:
        """What the answers must look like."""
        form, wanted = self.response_format, self.structured_outputs
        schema = wanted.json if form.json_schema is None else form.json_schema.schema
        if form.type == "json_object":
            schema = schema or {"type": "object"}
        found: list[Constraint] = []
        if schema is not None:  # `OptionError` names the field that is why not
            schemas.check(root := schemas.of_json_schema(schema)[0])
            found = [schemas.json_grammar(root)]
        found += [] if wanted.choice is None else [OneOf(tuple(wanted.choice))]
        found += [] if wanted.regex is None else [Grammar("regex", wanted.regex)]
        found += [] if wanted.grammar is None else [Grammar("lark", wanted.grammar)]
        if len(found) > 1 or (form.type == "json_schema") != (form.json_schema is not None):
            raise OptionError("An answer has one shape, and response_format names its schema.")
        return found[0] if found else None


class _Part(Struct):
    type: Literal["text"]
    text: str


class _Said(Struct, **_STRICT):
    """A message as clients send it; the `name` of who says it is nothing that a model reads."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None
    reasoning_content: str = ""
    name: str = ""


def _messages(said: Sequence[_Said]) -> tuple[Message, ...]:
    """A chat as the engine reads it."""
    read = []
    for one in said:
        if one.content is None and one.role != "assistant":
            raise OptionError(f"The message of the {one.role} has no content.")
        content = one.content or ""
        parts = [content] if isinstance(content, str) else [part.text for part in content]
        role = "system" if one.role == "developer" else one.role
        read.append(Message(role, "".join(parts), reasoning=one.reasoning_content))
    return tuple(read)


class ChatCall(AnswerCall, kw_only=True, **_STRICT):
    """A chat to answer."""

    messages: Annotated[list[_Said], Meta(min_length=1)]
    logprobs: bool = False
    top_logprobs: int = 0
    chat_template_kwargs: _Template = field(default_factory=_Template)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    kind: ClassVar[str] = "chat"

    def wishes(self, _engine: Engine) -> list[Wish]:
        """What is asked for."""
        if self.top_logprobs and not self.logprobs:
            raise OptionError("top_logprobs go along with logprobs=true.")
        prompt, begun = _messages(self.messages), ""
        if self.continue_final_message:
            if self.add_generation_prompt or prompt[-1].role != "assistant":
                told = "continue_final_message goes with an answer at the end, and without "
                raise OptionError(f"{told}add_generation_prompt.")
            *before, last = prompt
            prompt, begun = tuple(before), last.content
        logprobs = self.top_logprobs if self.logprobs else None
        think = self.chat_template_kwargs.enable_thinking
        return [*self.several(prompt, self.max_tokens, begun=begun, think=think, logprobs=logprobs)]


class TextCall(AnswerCall, kw_only=True, **_STRICT):
    """Texts to go on with, or tokens; with a `suffix` it is the gap between that is filled."""

    prompt: str | list[str | int | list[int]]
    suffix: str = ""
    echo: bool = False
    logprobs: int | None = None
    max_tokens: int | None = 16  # as OpenAI has it
    kind: ClassVar[str] = "text"

    def wishes(self, engine: Engine) -> list[Wish]:
        """What is asked for."""
        given: Any = self.prompt
        is_one = isinstance(given, str) or all(isinstance(one, int) for one in given)
        prompts = [given] if is_one else given
        if len(prompts) * self.n > _MOST_PROMPTS:
            raise OptionError(f"A call is for {_MOST_PROMPTS} answers at most.")
        return [wish for prompt in prompts for wish in self._wishes(prompt, engine)]

    def _wishes(self, prompt: str | int | list[int], engine: Engine) -> Iterator[Wish]:
        if isinstance(prompt, str):
            whole = RawPrompt((check_text(prompt, is_raw=True),), is_marked=True)
        else:
            whole = RawPrompt.of_tokens(prompt if isinstance(prompt, list) else [prompt])
        told: dict[str, Any] = {"logprobs": self.logprobs}
        is_read = self.echo and self.max_tokens == 0  # and nothing is written
        if self.echo:
            told["echo"] = engine.format(whole)
            if self.logprobs is not None or is_read:
                told |= _reading(whole, engine, self.logprobs or 0)
        fim = engine.info.fim
        if self.suffix and fim is None:
            raise OptionError("This model fills no gaps in what it is given, so leave suffix out.")
        if self.suffix and fim is not None:
            prefix, suffix, middle = map(Special, (fim.prefix, fim.suffix, fim.middle))
            whole = replace(whole, parts=(prefix, *whole.parts, suffix, self.suffix, middle))
        for wish in self.several(whole, 1 if is_read else self.max_tokens, **told):
            yield replace(wish, request=None) if is_read else wish


class VectorCall(Call, kw_only=True, **_STRICT):
    """Texts to make vectors of."""

    input: str | Annotated[list[str], Meta(min_length=1, max_length=_MOST_PROMPTS)]
    encoding_format: Literal["float", "base64"] = "float"

    def texts(self) -> list[str]:
        """The texts."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        return [check_text(text, is_raw=True) for text in texts]


class TokenizeCall(Call, kw_only=True, **_STRICT):
    """A text or a chat of which the tokens are wanted, as vLLM and llama-server have it."""

    prompt: str | None = None  # vLLM's
    content: str = ""  # llama-server's
    messages: list[_Said] = field(default_factory=list)
    add_special_tokens: bool = True
    add_special: bool = False
    parse_special: bool = True

    def told(self, engine: Engine) -> dict[str, Any]:
        """The tokens, and how many that are."""
        text, is_begun = self.content, self.add_special
        if self.prompt is not None:
            text, is_begun = self.prompt, self.add_special_tokens
        ids, num_before = _tokenized(RawPrompt((text,), is_marked=self.parse_special), engine)
        ids = engine.tokenize(_messages(self.messages)) if self.messages else ids
        ids = ids if is_begun or self.messages else ids[num_before:]
        return {"tokens": ids, "count": len(ids), "max_model_len": engine.info.n_ctx}


class TemplateCall(Call, kw_only=True, **_STRICT):
    """A chat of which it is wanted what the model reads, as llama-server has it."""

    messages: Annotated[list[_Said], Meta(min_length=1)]
    chat_template_kwargs: _Template = field(default_factory=_Template)

    def told(self, engine: Engine) -> dict[str, Any]:
        """The text."""
        think = self.chat_template_kwargs.enable_thinking
        return {"prompt": engine.format(_messages(self.messages), think=think)}


class DetokenizeCall(Call, kw_only=True, **_STRICT):
    """Tokens of which the text is wanted, as vLLM has it."""

    tokens: list[int]

    def told(self, engine: Engine) -> dict[str, Any]:
        """The text."""
        prompt = RawPrompt.of_tokens(self.tokens) if self.tokens else ""
        return {"prompt": engine.format(prompt)}


TellingCall = TokenizeCall | TemplateCall | DetokenizeCall


def read_call(kind: type[T], body: bytes) -> T:
    """What a body of JSON asks for; `OptionError` says what is wrong with it."""
    try:
        given = json.loads(body)
        if isinstance(given, dict):
            given = _meant(given)
            if isinstance(messages := given.get("messages"), list):
                given["messages"] = [_meant(m) if isinstance(m, dict) else m for m in messages]
        return convert(given, kind, str_keys=True)  # tokens are numbers
    except (ValidationError, ValueError, RecursionError) as error:
        told = error if isinstance(error, ValidationError) else "its body is no JSON"
        raise OptionError(f"The call is not one that can be answered here: {told}.") from None


def _meant(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said in an object that asks for something other than the usual."""
    return {
        _SAME.get(name, name): value
        for name, value in given.items()
        if value is not None
        and name not in _WITHOUT_MEANING
        and not (name in _AS_USUAL and value == _AS_USUAL[name])
    }


def _tokenized(prompt: RawPrompt, engine: Engine) -> tuple[tuple[int, ...], int]:
    """The tokens that the model reads for a prompt, and how many of them come before its own."""
    found = engine.tokenize(prompt)
    if prompt.token_ids:
        return found, len(found) - len(prompt.token_ids)
    ids, plain = engine.tokenize("a"), engine.tokenize_texts(["a"])[0]
    if not (begin := ids[: len(ids) - len(plain)]) or found[: len(begin)] != begin:
        return found, 0
    is_own = prompt.text.startswith(engine.format(RawPrompt.of_tokens(begin)))
    return found, 0 if is_own else len(begin)


def _reading(prompt: RawPrompt, engine: Engine, logprobs: int) -> dict[str, Any]:
    """What reads a prompt for how likely each of its own tokens is.

    Nothing is known of the first, where the model has no token that begins a text.
    """
    token_ids, num_before = _tokenized(prompt, engine)
    size = max(1, num_before)
    start, rest = RawPrompt.of_tokens(token_ids[:size]), token_ids[size:]
    params = SamplingParams(temperature=0, logprobs=logprobs, exact=False)
    return {
        "first": "" if num_before else engine.format(start),
        "reading": _request(prompt=start, params=params, constraint=Exactly(rest))
        if rest
        else None,
    }
