"""Calls of OpenAI's chat and text protocols, checked and converted to requests of an engine.

An option that the engine does not support is refused by name: no answer may differ silently from
the requested one. Options outside OpenAI's protocol have llama-server's names.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert

from jupyter_llm.ask.shape import shape_of
from jupyter_llm.ask.tools import (
    CallReader,
    Tool,
    ToolCall,
    ToolUse,
    call_message,
    result_message,
)
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Exactly
from jupyter_llm.engine.options import MAX_SEED, SamplingOptions, SamplingParams, sampling_params
from jupyter_llm.engine.request import Message, RawPrompt, Request, Special, check_text
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

# Fields that this server lacks, and values with which they change no answer; None: any value.
# An unknown field with an empty value changes no answer, either.
_HARMLESS: dict[str, tuple[Any, ...] | None] = {
    **dict.fromkeys(("user", "name", "metadata", "service_tier", "safety_identifier", "store")),
    **dict.fromkeys(("prompt_cache_retention", "prediction", "reasoning_effort", "verbosity")),
    **dict.fromkeys(("context_management", "client_metadata", "reasoning")),
    "include": (["reasoning.encrypted_content"],),
    "truncation": ("disabled",),
    "best_of": (1,),
    "modalities": (["text"],),
}
_NOTHING: tuple[Any, ...] = (0, "none", "", [], {})
_SAME = {
    "max_completion_tokens": "max_tokens",
    "prompt": "content",  # for /tokenize, by lm-evaluation-harness
    "add_special_tokens": "add_special",
}
STRICT: Any = {"forbid_unknown_fields": True}  # as in comm/messages.py

_OF_LARK = "%llguidance {}\n"
_CHARACTER = r"\\U00(?:0[0-9A-F]|10)[0-9A-F]{4}"
_TEXTS = re.compile(
    rf'root ::= \(("(?:{_CHARACTER})+"(?: \| "(?:{_CHARACTER})+")*)\) (\[\\x00-\\U0010FFFF\]\*)?'
)

_MOST_PROMPTS = 2048
_MOST_JUDGED = 256  # most texts of a scored choice: 10,000 took a small model minutes

# OpenAI obfuscates pieces against observers of the connection; there are none on one machine.
_StreamOptions = dict[Literal["include_usage", "include_obfuscation"], bool]
_TemplateOptions = dict[Literal["enable_thinking"], bool]
_Texts = str | list[str | int | list[int]]  # one text or several, or their tokens


@dataclass(slots=True, kw_only=True)
class GuestAnswer:
    """One of the answers that a call requests, and in the end its `completion`.

    `echo` is sent before it, and nothing else if `is_echo_only`. The `reader`
    finds the calls of the tools with these names. A `reading` returns the
    log-probabilities of the prompt's tokens, except those of `first`; its result is `read`.
    """

    request: Request
    echo: str = ""
    is_echo_only: bool = False
    tool_names: tuple[str, ...] = ()
    reader: CallReader = field(init=False)
    first: str = ""
    reading: Request | None = None
    read: Completion | None = None
    completion: Completion = field(init=False)
    index: int = 0
    is_begun: bool = False

    def __post_init__(self) -> None:
        """Make a reader of this answer's own."""
        self.reader = CallReader(self.tool_names)


class _Schema(Struct):
    schema: dict[str, Any]


class _Format(Struct, frozen=True, **STRICT):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: _Schema | None = None


class GuestCall(Struct, kw_only=True, **STRICT):
    """The fields that all calls have.

    A call without a `model` uses the model of its role: `embed` for vectors, `chat` for all others.
    """

    model: str = ""
    prompt_cache_key: str = ""


T = TypeVar("T", bound=GuestCall)


class AnswerCall(GuestCall, kw_only=True, **STRICT):
    """A call for answers."""

    stream: bool = False
    stream_options: _StreamOptions = {}
    n: Annotated[int, Meta(ge=1, le=16)] = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] = []
    logit_bias: dict[int, float] = {}
    ignore_eos: bool = False
    response_format: _Format = _Format()
    grammar: str | None = None

    def _several(self, answer: GuestAnswer) -> Iterator[GuestAnswer]:
        """Yield `n` answers to a prompt; the seed is increased, so that they differ."""
        for number in range(self.n):
            params = answer.request.params.counted_on(number)
            yield replace(answer, request=replace(answer.request, params=params))

    def _asking(self, max_tokens: int | None, **more: Any) -> Callable[..., Request]:
        """Return a function that makes a request of a prompt.

        No text is promised to be the same, since all guests are answered together.
        """
        names = SamplingOptions.__annotations__.keys() & AnswerCall.__struct_fields__
        options = {name: getattr(self, name) for name in names} | more
        options["seed"] = self.seed and self.seed % (MAX_SEED + 1)
        params = sampling_params({**options, "max_tokens": max_tokens, "exact": False})
        return partial(Request, params=params, constraint=self._constraint())

    def _constraint(self) -> Constraint | None:
        form = self.response_format
        schema = {"type": "object"} if form.type == "json_object" else None
        schema = schema if form.json_schema is None else form.json_schema.schema
        has_both = schema is not None and self.grammar is not None
        if has_both or (form.type == "json_schema") != (form.json_schema is not None):
            raise OptionError("Give one shape for an answer, and its schema in response_format.")
        if self.grammar is not None:
            return _read_grammar(self.grammar)
        return shape_of(schema, is_json=True).constraint if schema is not None else None


def _read_grammar(text: str) -> Constraint | None:
    """Read a Lark grammar, or a choice between texts as a llama.cpp grammar."""
    if text.startswith(_OF_LARK):
        return shape_of(grammar=text.removeprefix(_OF_LARK)).constraint
    if (match := _TEXTS.fullmatch(text)) is None:
        raise OptionError(f"A grammar has Lark's syntax, and its first line is {_OF_LARK.strip()}.")
    quoted = (re.findall(r"[0-9A-F]{8}", one) for one in match[1].split(" | "))
    texts = tuple("".join(chr(int(number, 16)) for number in one) for one in quoted)
    if match[2]:
        return BeginsWith(texts)
    if len(texts) <= _MOST_JUDGED:
        return shape_of(choices=texts).constraint
    return shape_of(regex="|".join(map(re.escape, texts))).constraint  # drawn, not scored


class _ContentPart(Struct):
    type: Literal["text"]
    text: str


class _Function(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Struct, **STRICT):
    type: Literal["function"]
    function: _Function

    def read(self) -> Tool:
        about = self.function
        return Tool(
            name=about.name,
            description=about.description or "",
            parameters=about.parameters or {},
            is_strict=bool(about.strict),
        )


class _Called(Struct):
    name: str
    arguments: str = ""


class _ToolCall(Struct):
    id: str
    function: _Called
    type: Literal["function"] = "function"


class _ChatMessage(Struct, **STRICT):
    """A message as clients send it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_ContentPart] = ""
    reasoning_content: str = ""
    tool_calls: list[_ToolCall] = []
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """Return the text of the parts."""
        parts = [self.content] if isinstance(self.content, str) else [p.text for p in self.content]
        return "".join(parts)

    def read(self) -> Message:
        """Return the message for the engine; results of tools are read together."""
        role: Any = "system" if self.role == "developer" else self.role
        calls = [
            ToolCall(one.function.name, one.function.arguments, one.id) for one in self.tool_calls
        ]
        message = call_message(self.text, calls) if calls else Message(role, self.text)
        return replace(message, reasoning=self.reasoning_content)


def _read_messages(messages: list[_ChatMessage]) -> tuple[Message, ...]:
    """Return the messages for the engine; results that follow each other become one message."""
    read: list[Message] = []
    open_ids: set[str] = set()
    for is_result, group in groupby(messages, lambda one: one.role == "tool"):
        if not is_result:
            each = [*group]
            read += [one.read() for one in each]
            open_ids = {call.id for call in each[-1].tool_calls}
            continue
        results = [*group]
        for one in results:
            if one.tool_call_id not in open_ids:
                raise OptionError(f"No call before has the tool_call_id {one.tool_call_id!r:.80}.")
        read.append(result_message(one.text for one in results))
    return tuple(read)


class ChatCall(AnswerCall, kw_only=True, **STRICT):
    """A chat to answer."""

    messages: Annotated[list[_ChatMessage], Meta(min_length=1)]
    tools: list[_Tool] = []
    tool_choice: Literal["none", "auto", "required"] | _Tool = "auto"
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    chat_template_kwargs: _TemplateOptions = {}
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    def answers(self, _engine: Engine) -> list[GuestAnswer]:
        """Return the requested answers."""
        prompt, begun = _read_messages(self.messages), ""
        if self.continue_final_message:
            *before, last = prompt
            if self.add_generation_prompt or last.role != "assistant":
                needs = "an answer as the last message and no add_generation_prompt"
                raise OptionError(f"continue_final_message needs {needs}.")
            prompt, begun = tuple(before), last.content
        use = self._tool_use
        prompt = use.described(prompt) if use is not None else prompt
        logprobs = self.top_logprobs if self.logprobs or self.top_logprobs else None
        think = self.chat_template_kwargs.get("enable_thinking")
        ask = self._asking(self.max_tokens, logprobs=logprobs, think=think)
        request = ask(prompt=prompt, answer_prefix=begun)
        names = tuple(tool.name for tool in use.tools) if use is not None else ()
        return [*self._several(GuestAnswer(request=request, tool_names=names))]

    @property
    def _tool_use(self) -> ToolUse | None:
        """The tools that the answer may call."""
        choice = self.tool_choice
        if choice == "none" or (choice == "auto" and not self.tools):
            return None
        return ToolUse(
            tools=[one.read() for one in self.tools],
            must_call=choice == "required",
            only=choice.function.name if isinstance(choice, _Tool) else "",
            is_single=not self.parallel_tool_calls,
        )

    def _constraint(self) -> Constraint | None:
        shape, use = super()._constraint(), self._tool_use
        return shape if use is None else use.constraint(shape)


class ChatForm(GuestCall, kw_only=True, **STRICT):
    """A chat in another protocol's form, which is converted to OpenAI's."""

    stream: bool = False

    @property
    def chat(self) -> ChatCall:
        """The same chat in OpenAI's form."""
        names = ("model", "stream", "prompt_cache_key")
        same = {name: getattr(self, name) for name in names}
        return _converted({**same, **self._fields()}, ChatCall)

    def _fields(self) -> dict[str, Any]:
        """Return the fields of the chat."""
        raise NotImplementedError


def joined(content: Any) -> str:
    """Return the text of a message in another protocol, given as text or as parts with a text."""
    return content if isinstance(content, str) else "\n".join(one.text for one in content or ())


class TextCall(AnswerCall, kw_only=True, **STRICT):
    """Texts or tokens to continue."""

    prompt: _Texts
    suffix: str = ""
    echo: bool = False
    logprobs: int | None = None
    max_tokens: int | None = 16  # OpenAI's default

    def answers(self, engine: Engine) -> list[GuestAnswer]:
        """Return the requested answers."""
        prompts = _several_texts(self.prompt)
        if len(prompts) * self.n > _MOST_PROMPTS:
            raise OptionError(f"A call asks for at most {_MOST_PROMPTS} answers.")
        is_echo_only = self.echo and self.max_tokens == 0
        ask = self._asking(1 if is_echo_only else self.max_tokens, logprobs=self.logprobs)
        answers: list[GuestAnswer] = []
        for prompt in prompts:
            raw_prompt = self._raw_prompt(prompt, engine)
            fields: dict[str, Any] = {"is_echo_only": is_echo_only}
            fields |= {"echo": engine.format(raw_prompt)} if self.echo else {}
            if self.echo and self.logprobs is not None:
                fields |= _reading(raw_prompt, engine, self.logprobs)
            answers += self._several(GuestAnswer(request=ask(prompt=raw_prompt), **fields))
        return answers

    def _raw_prompt(self, prompt: str | list[int], engine: Engine) -> RawPrompt:
        """Return a prompt to continue, up to the suffix if there is one."""
        if not self.suffix:
            if not isinstance(prompt, str):
                return RawPrompt.of_tokens(prompt)
            return RawPrompt((check_text(prompt, is_raw=True),), is_marked=True)
        fim = engine.info.fim
        if fim is None:
            name = engine.info.name
            raise OptionError(f"suffix needs a code model that fills in the middle; {name} cannot.")
        if self.echo or not isinstance(prompt, str):
            raise OptionError("suffix takes the prompt as text, and no echo.")
        parts = Special(fim.prefix), prompt, Special(fim.suffix), self.suffix, Special(fim.middle)
        return RawPrompt(tuple(part for part in parts if part))


class VectorCall(GuestCall, kw_only=True, **STRICT):
    """A call for the vectors of texts."""

    input: _Texts
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"

    def texts(self, engine: Engine) -> list[str]:
        """Return the texts to embed; those given as tokens are joined again."""
        given = _several_texts(self.input)
        if len(given) > _MOST_PROMPTS:
            raise OptionError(f"A call asks for at most {_MOST_PROMPTS} vectors.")
        return [t if isinstance(t, str) else engine.format(RawPrompt.of_tokens(t)) for t in given]

    def encoded(self, row: np.ndarray) -> str | list[float]:
        """Return a vector as numbers or base64, shortened to `dimensions` with length one."""
        if self.dimensions is not None:
            if self.dimensions > len(row):
                raise OptionError(f"The model's vectors have {len(row)} dimensions.")
            row = row[: self.dimensions]
            row = row / ((row @ row) ** 0.5 or 1)
        if self.encoding_format == "float":
            return [float(number) for number in row]
        return base64.b64encode(row.astype("<f4").tobytes()).decode()


class TokensCall(GuestCall, kw_only=True, **STRICT):
    """A call for the tokens of a text, or the text of tokens."""

    tokens: list[int] | None = None
    content: str = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False

    def result(self, engine: Engine) -> dict[str, Any]:
        """Return the text, or the tokens as numbers or with their texts."""
        if self.tokens is not None:
            prompt = RawPrompt.of_tokens(self.tokens) if self.tokens else ""
            return {"prompt": engine.format(prompt)}
        text = RawPrompt((self.content,), is_marked=self.parse_special)
        ids, num_before = _tokenized(text, engine)
        ids = ids if self.add_special else ids[num_before:]
        if not self.with_pieces:
            return {"tokens": ids}
        pieces = [engine.format(RawPrompt.of_tokens([one])) for one in ids]
        return {"tokens": [{"id": i, "piece": p} for i, p in zip(ids, pieces, strict=True)]}


def _several_texts(given: Any) -> list[Any]:
    """Return one text, or the tokens of one, as a list."""
    is_one = isinstance(given, str) or all(isinstance(one, int) for one in given)
    return [given] if is_one else given


def read_call(kind: type[T], body: bytes) -> T:
    """Parse a call's body; `OptionError` has the fault."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise OptionError("The call cannot be answered: its body is not JSON.") from None
    return _converted(given, kind)


def _converted(given: Any, kind: type[T]) -> T:
    """Return the call that an object has."""
    if isinstance(given, dict):
        given = _effective(given, kind)
        if isinstance(messages := given.get("messages"), list):
            given["messages"] = [
                _effective(m, _ChatMessage) if isinstance(m, dict) else m for m in messages
            ]
    try:
        return convert(given, kind, str_keys=True)  # tokens are numbers
    except (ValidationError, RecursionError) as error:
        reason = error if isinstance(error, ValidationError) else "its body is nested too deeply"
        raise OptionError(f"The call cannot be answered: {reason}.") from None


def _effective(given: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    """Return the fields of an object that have an effect, by their usual names."""
    field_names = kind.__struct_fields__
    named = ((n if n in field_names else _SAME.get(n, n), value) for n, value in given.items())
    return {
        name: value
        for name, value in named
        if value is not None and (name in field_names or not _is_harmless(name, value))
    }


def _is_harmless(name: str, value: object) -> bool:
    values = _HARMLESS.get(name, ())
    return values is None or value in (*_NOTHING, *values)


def _tokenized(prompt: RawPrompt, engine: Engine) -> tuple[tuple[int, ...], int]:
    """Return the tokens of a prompt, and the number of those before its own."""
    tokens, own = engine.tokenize(prompt), prompt.token_ids
    if not own:  # the tokens after an arbitrary one are its own
        own = engine.tokenize(replace(prompt, token_ids=(0,)))
        own = own[own.index(0) + 1 :]
    return tokens, len(tokens) - len(own)


def _reading(prompt: RawPrompt, engine: Engine, logprobs: int) -> dict[str, Any]:
    """Return the request that reads a prompt for the log-probabilities of its tokens.

    The first token has none if the model has no token for the beginning of a text.
    """
    token_ids, num_before = _tokenized(prompt, engine)
    size = max(1, num_before)
    start, rest = RawPrompt.of_tokens(token_ids[:size]), token_ids[size:]
    params = SamplingParams(temperature=0, logprobs=logprobs, exact=False)
    fields: dict[str, Any] = {"first": "" if num_before else engine.format(start)}
    if rest:
        fields["reading"] = Request(prompt=start, params=params, constraint=Exactly(rest))
    return fields
