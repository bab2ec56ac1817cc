"""What is written to a server, and how its answers read: OpenAI's protocol, and what each adds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, TypeVar

from jupyter_llm.engine.constraint import BeginsWith, Constraint, Exactly, Grammar, OneOf
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.tokens import TokenLogprob
from jupyter_llm.errors import OptionError

T = TypeVar("T")

OFF = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "ignore_eos": False}
"""What options are where they do nothing, so that a server may as well not have them."""

_BANNED = -100  # the least that OpenAI's protocol has for a token
_LEAST = -9999.0  # which OpenAI's protocol has for the logarithm of nothing
_SIGNS = r".^$*+?{}[]\|()/"  # of regular expressions
_QUOTED = re.compile(r'\s*("(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')  # without half an escape
_ALL = {name: name for name in OFF}


@dataclass(frozen=True, slots=True)
class ServerKind:
    """A kind of server, with what it has beside OpenAI's protocol.

    `owner` is who its models belong to by its own word. `takes` are the options of ours that it
    knows, by its names; `think` is the field that turns thinking on and off, if it has one.
    `details` is a path that says more of a model, `n_ctx` its context window where it says nothing.
    One that `is_raw` goes on with a text as it stands; one that `has_parts` tells control tokens
    from texts that look like them. What all of a kind `can` is not tried first.
    """

    name: str
    owner: str = ""
    takes: Mapping[str, str] = field(default_factory=dict)
    think: str = ""
    details: str = ""
    n_ctx: int = 8192
    is_raw: bool = True
    has_parts: bool = False
    can: Mapping[str, str] = field(default_factory=dict)


_TEMPLATE = "chat_template_kwargs"
_VLLM = {**_ALL, "repeat_penalty": "repetition_penalty"}
_STUDIO = {name: name for name in ("top_k", "repeat_penalty")}
KINDS = (
    ServerKind("llama-server", "llamacpp", _ALL, _TEMPLATE, "/props", has_parts=True),
    ServerKind(
        *("jupyter_llm", "jupyter_llm", _VLLM, _TEMPLATE, "/props"),
        has_parts=True,
        can={"continuing": "message"},
    ),
    ServerKind("vLLM", "vllm", _VLLM, _TEMPLATE),
    # It reads 4096 tokens unless told, and puts each text through a template.
    ServerKind("Ollama", "library", {}, "reasoning_effort", "/api/ps", 4096, is_raw=False),
    ServerKind("LM Studio", "organization_owner", _STUDIO, details="/api/v0/models"),
)
PLAIN = ServerKind("OpenAI's protocol")
"""Of a server that is none of these nothing more is known."""


@dataclass(frozen=True, slots=True)
class Means:
    """One way to have an answer be of a shape: what goes along with a request.

    One that `is_quoted` answers with the text as JSON has it.
    """

    name: str
    spell: Callable[[Any], dict[str, Any]]
    is_quoted: bool = False

    def text_of(self, answer: str, *, is_cut: bool = False) -> str:
        """The text that an answer stands for, as far as it is written; `ValueError` if none is."""
        if not self.is_quoted:
            return answer
        if is_cut:
            begun = _QUOTED.match(answer)
            answer = f'{begun[1]}"' if begun else '""'
        text = json.loads(answer)
        if not isinstance(text, str):
            raise ValueError(text)  # noqa: TRY004  as what is no JSON at all
        return sound(text)


def _schema(schema: object) -> dict[str, Any]:
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _outputs(**shape: object) -> dict[str, Any]:
    return {"structured_outputs": shape}


def _one_of(texts: Sequence[str]) -> str:
    """Some texts in the notation of llama.cpp's grammars, each character by its number."""
    spelled = ("".join(rf"\U{ord(character):08X}" for character in text) for text in texts)
    return "(" + " | ".join(f'"{text}"' for text in spelled) + ")"


def _beginning(texts: Sequence[str]) -> str:
    """Texts that begin with one of these, as a regular expression."""
    spelled = ("".join(f"\\{c}" if c in _SIGNS else c for c in text) for text in texts)
    return f"({'|'.join(spelled)})(.|\\n)*"


MEANS: dict[str, tuple[Means, ...]] = {
    "json": (Means("response_format", lambda one: _schema(json.loads(one.text))),),
    "regex": (
        Means("structured_outputs", lambda one: _outputs(regex=one.text)),
        Means("pattern", lambda one: _schema(_text_of(pattern=f"^({one.text})$")), is_quoted=True),
    ),
    "lark": (
        Means("structured_outputs", lambda one: _outputs(grammar=one.text)),
        Means("llguidance", lambda one: {"grammar": f"%llguidance {{}}\n{one.text}"}),
    ),
    "choice": (
        Means("structured_outputs", lambda one: _outputs(choice=list(one.texts))),
        Means("gbnf", lambda one: {"grammar": f"root ::= {_one_of(one.texts)}"}),
        Means("enum", lambda one: _schema(_text_of(enum=list(one.texts))), is_quoted=True),
    ),
    "beginning": (
        Means("structured_outputs", lambda one: _outputs(regex=_beginning(one.texts))),
        Means(
            "gbnf", lambda one: {"grammar": f"root ::= {_one_of(one.texts)} [\\x00-\\U0010FFFF]*"}
        ),
    ),
    "tokens": (),
}
"""The ways to have an answer be of each shape, those that change least first."""


def _text_of(**more: object) -> dict[str, Any]:
    return {"type": "string", **more}


def shape_of(constraint: Constraint) -> str:
    """What a server has to be able to do for an answer to be of a shape."""
    if isinstance(constraint, Grammar):
        return constraint.kind
    return {OneOf: "choice", BeginsWith: "beginning", Exactly: "tokens"}[type(constraint)]


def sound(text: str) -> str:
    """A text as Unicode has it, without halves of characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def messages_of(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages of a chat as they are sent."""
    return [{"role": one.role, "content": sound(one.content)} for one in messages]


def body_of(
    request: Request, model: str, kind: ServerKind, host: str, prompt: str | Sequence[int] = ""
) -> tuple[str, dict[str, Any]]:
    """The path and what is sent there for a request; raw text goes as `prompt`.

    Raises `OptionError` for what the server does not have.
    """
    params, is_chat = request.params, isinstance(request.prompt, tuple)
    body: dict[str, Any] = {
        "model": model,
        "temperature": params.temperature,
        "top_p": params.top_p,
    }
    for name, off in OFF.items():
        value = getattr(params, name)
        if name in kind.takes:
            body[kind.takes[name]] = value
        elif value != off:
            raise OptionError(f"{host} takes no {name}; leave it out, or use another model.")
    if params.exact:
        raise OptionError(f"{host} promises no same text: exact=True needs a model of this kernel.")
    if params.reason or request.reasoning:
        raise OptionError(f"{host} writes no reasons before a shape: reason needs a local model.")
    optional = {
        "max_tokens": params.max_tokens and int(params.max_tokens),
        "seed": params.seed if params.temperature else None,
        "stop": [sound(text) for text in params.stop] or None,
        "logit_bias": {str(i): max(bias, _BANNED) for i, bias in params.logit_bias} or None,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if params.logprobs is not None:
        told = {"logprobs": True, "top_logprobs": params.logprobs}
        body |= told if is_chat else {"logprobs": max(1, params.logprobs)}
    if not isinstance(request.prompt, tuple):
        return "/completions", {**body, "prompt": prompt}
    messages = messages_of(request.prompt)
    if request.answer_prefix:
        messages.append({"role": "assistant", "content": sound(request.answer_prefix)})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if params.think is not None and not kind.think:
        raise OptionError(f"{host} cannot be told whether to think; leave think out.")
    if request.think is not None and kind.think == "reasoning_effort":
        body |= {} if request.think else {"reasoning_effort": "none"}
    elif request.think is not None and kind.think:
        body[kind.think] = {"enable_thinking": request.think}
    return "/chat/completions", {**body, "messages": messages}


def at(data: Any, kind: type[T], *path: str) -> T | None:
    """What stands at a path in an answer, if it is of that kind; of a list its first counts."""
    for name in path:
        data = data[0] if isinstance(data, list) and data else data
        data = data.get(name) if isinstance(data, dict) else None
    data = data[0] if isinstance(data, list) and data and kind is not list else data
    return data if isinstance(data, kind) else None


def found(data: object, *names: str) -> Any:
    """What stands under the first of some names, wherever in an answer; None without it."""
    below = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    here = [data[name] for name in names if name in data] if isinstance(data, dict) else []
    inner = (found(one, *names) for one in below)
    return next((one for one in chain(here, inner) if one is not None), None)


def said(choice: object) -> tuple[str, str]:
    """What a piece of an answer, or all of it, adds to the text and to what is thought before."""
    who = "delta" if at(choice, dict, "delta") is not None else "message"
    text = at(choice, str, who, "content") or at(choice, str, "text") or ""
    thought = at(choice, str, who, "reasoning_content") or at(choice, str, who, "reasoning")
    return text, thought or ""


def likely(choice: object) -> list[TokenLogprob]:
    """The tokens of a piece with their log-probabilities, as chats tell them or raw texts."""
    tokens = at(choice, list, "logprobs", "content")
    if tokens is None:
        names = ("tokens", "token_logprobs", "top_logprobs")
        texts, logprobs, tops = (at(choice, list, "logprobs", name) or [] for name in names)
        tokens = [
            {"token": text, "logprob": logprob, "top_logprobs": _listed(top)}
            for text, logprob, top in zip_longest(texts, logprobs, tops)
        ]
    pairs = [[_pair(top) for top in at(one, list, "top_logprobs") or ()] for one in tokens]
    ordered = [tuple(sorted(some, key=lambda pair: -pair[1])) for some in pairs]
    numbers = [-1 if (number := at(one, int, "id")) is None else number for one in tokens]
    return [
        TokenLogprob(n, *_pair(one), top)
        for n, one, top in zip(numbers, tokens, ordered, strict=True)
    ]


def _listed(top: object) -> list[dict[str, object]]:
    pairs = top.items() if isinstance(top, dict) else ()
    return [{"token": text, "logprob": logprob} for text, logprob in pairs]


def _pair(one: object) -> tuple[str, float]:
    logprob = at(one, float, "logprob") or float(at(one, int, "logprob") or 0)
    return sound(at(one, str, "token") or ""), max(logprob, _LEAST)
