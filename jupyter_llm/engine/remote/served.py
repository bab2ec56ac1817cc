"""A server's model: its facts and abilities, and short exchanges with it."""

from __future__ import annotations

import asyncio
import math
import re
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.completion import Score
from jupyter_llm.engine.constraint import BeginsWith, Grammar, OneOf
from jupyter_llm.engine.info import FimTokens, ModelInfo
from jupyter_llm.engine.options import DRAWN, SamplingParams
from jupyter_llm.engine.provenance import ContextSettings, ModelFacts, Writer
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.remote.protocol import (
    LLAMA,
    MEANS,
    OFF,
    Means,
    at,
    count,
    first_value,
    likely,
    sound,
    words_of,
)
from jupyter_llm.engine.remote.wire import TRIES, Wire
from jupyter_llm.engine.request import Message, Priority, Request, raw_text
from jupyter_llm.engine.thinking import marks_of
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError, OptionError, ServerError

_UNDECIDED = (0, 401, 408, 429, 502, 503, 504)  # after such a status the ability is unknown
_NUM_PARALLEL = 16  # rows at a time, if the server reports no number
_MOST_PARALLEL = 1024  # connections
_BANNED = -100  # OpenAI's least value
_N_CTX = ("n_ctx", "context_length", "max_model_len")
_USUAL_N_CTX = 8192  # if the server reports no window
_MOST_READ = 1000  # texts of choices to cache
_MOST_MODELS, _LONGEST_NAME = 5000, 300  # models read, and characters
_SIZE = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])")  # in models' names
_PATH = re.compile(r"^.*[/\\](?=[^/\\]*\.gguf$)")  # llama-server's default name of a model
# Tokens for filling in the middle: before the prefix, the suffix and the middle.
_FIM = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001
)

_REMEMBERED = Remembered("server abilities")
_RARE = "jupyter-7301"  # no model writes it by chance
_LEAST = -3.0  # a higher log-probability was measured after the grammar's effect
GREEDY = SamplingParams(temperature=0, top_p=1, top_k=0, min_p=0, repeat_penalty=1, max_tokens=100)
"""The sampling of short answers that are the same each time, as far as possible."""

_HELLO = Request(prompt=(Message("user", "Say hello."),), params=GREEDY)
_OBJECT = (
    '{"type": "object", "properties": {"name": {"type": "string", "enum": ["jupyter-7301"]}}, '
    '"required": ["name"], "additionalProperties": false}'
)
_PROBES = {
    "json": replace(_HELLO, constraint=Grammar("json", _OBJECT)),
    "regex": replace(_HELLO, constraint=Grammar("regex", _RARE)),
    "lark": replace(_HELLO, constraint=Grammar("lark", f'start: "{_RARE}"')),
    "choice": replace(_HELLO, constraint=OneOf((_RARE,))),
    "scoring": replace(_HELLO, constraint=OneOf((_RARE,)), params=replace(GREEDY, logprobs=1)),
    "beginning": replace(_HELLO, constraint=BeginsWith((_RARE,))),
    "continuing": Request(
        prompt=(Message("user", "Count from 1 to 20. Write the numbers and nothing else."),),
        params=GREEDY,
        answer_prefix=f"{_RARE}: 1, 2, 3, 4, 5, 6,",
    ),
}
_WORDS = {
    "json": "keep to a JSON Schema",
    "regex": "keep to a regular expression",
    "lark": "keep to a Lark grammar",
    "choice": "choose one of some texts",
    "beginning": "begin with one of some texts",
    "tokens": "read tokens by their numbers",
    "continuing": "continue an answer that is begun",
    "scoring": "report how likely a given text is",
}


class Served:
    """A model on a server. Belongs to the wire's thread.

    `may_think`: the model is known to think. `turns` limit the simultaneous requests, with separate
    ones for rows. A missing ability is tested again by the next engine, since the server may be
    updated.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._read: dict[str, list[Any]] = {}  # tokens of texts

    async def open(self) -> None:
        """Ask the server for its facts.

        `ServerError` if it cannot be asked or has no such model.
        """
        address, ask = self.wire.address, self.wire.query
        entry = self._entry_of(await ask("/models"))
        self.model, owner = entry["id"], _short(at(entry, str, "owned_by"))
        details = [await _maybe(ask(f"{address.root}/props")), entry]
        self.is_llama = owner in LLAMA
        template: str = at(first_value(details, "chat_template"), str) or ""
        self.may_think = bool(marks_of(template, ()))
        num_parallel = min(count(details, "total_slots") or _NUM_PARALLEL, _MOST_PARALLEL)
        self.turns = asyncio.Semaphore(num_parallel), asyncio.Semaphore(num_parallel)
        build = _short(at(first_value(details, "build_info"), str)) or owner
        identity = f"{address.url} {self.model} {count(entry, 'size')} {build}"
        billions = min(map(float, _SIZE.findall(self.model.lower())[:1]), default=0.0)
        num_parameters = count(entry, "n_params") or int(min(billions, 1e6) * 1e9)
        drawn = at(first_value(details, "params"), dict) or {}
        pairs = {n: round(drawn[n], 4) for n in DRAWN if isinstance(drawn.get(n), int | float)}
        pairs |= {name: OFF[name] for name in DRAWN if name in OFF and not self.is_llama}
        self.info = ModelInfo(
            # The name for display; a path on the server is useless here.
            name=f"{_short(_PATH.sub('', self.model))}@{address.host}",
            size_bytes=count(entry, "size"),
            n_ctx=count(details, *_N_CTX) or _USUAL_N_CTX,
            build=build,
            num_parameters=num_parameters,
            sampling=Recommended.of(pairs.items(), num_parameters),
            fim=await self._fim(),
            host=address.host,
            identity=sha256(identity.encode()).hexdigest(),
        )
        model, context = ModelFacts.of(self.info, None), ContextSettings(n_ctx=self.info.n_ctx)
        self.writer = Writer(model=model, context=context, build=build)
        """The writer in records."""
        self.ways_by_ability = {"continuing": "message"} if owner == "jupyter_llm" else {}
        """The way for each ability, "" if there is none."""

    def _entry_of(self, listed: object) -> dict[str, Any]:
        """Return the server's entry of the requested model."""
        host, model = self.wire.address.host, self.wire.address.model
        entries = at(listed, list, "data") or ()
        named = [one for one in entries if isinstance(one, dict) and isinstance(one.get("id"), str)]
        models = {
            name: one for one in named[:_MOST_MODELS] if len(name := one["id"]) <= _LONGEST_NAME
        }
        only = next(iter(models), "") if len(models) == 1 and not model else model
        if entry := models.get(only) or models.get(f"{model}:latest"):
            return entry
        wanted = f"has no model {model!r:.100}" if model else "needs a name: model=…"
        shown = ", ".join(map(_short, list(models)[:20]))
        hint = nearest(model, list(map(_short, models)), f"It has {shown or 'none'}.")
        raise ServerError(host, one_line(f"{wanted}. {hint}"), status=404)

    async def _fim(self) -> FimTokens | None:
        """Return the control tokens for filling in the middle, None if they are unknown."""
        for texts in _FIM if self.is_llama else ():
            reply = await _maybe(self._tokenize("".join(texts)))
            if len(at(reply, list, "tokens") or ()) == len(texts):
                return FimTokens(prefix=texts[0], suffix=texts[1], middle=texts[2])
        return None

    async def _tokenize(self, text: str, **more: bool) -> Any:
        url = f"{self.wire.address.root}/tokenize"
        return await self.wire.query(url, {"model": self.model, "content": text, **more})

    # -- abilities -----------------------------------------------------------------------------

    async def means(self, shape: str) -> Means:
        """Return the way to enforce a shape; `OptionError` if there is none."""
        await self.need(shape)
        return next(one for one in MEANS[shape] if one.name == self.ways_by_ability[shape])

    async def need(self, ability: str) -> None:
        """Raise `OptionError` if the server lacks an ability."""
        if not await self.can(ability):
            raise OptionError(
                f"{self.info.host} cannot {_WORDS[ability]}, or not with this model. "
                "Use a model of this kernel for it, or another server: `%llm /use NAME`."
            )

    async def can(self, ability: str) -> bool:
        """Whether the server has an ability."""
        async with self._locks[ability]:
            if ability not in self.ways_by_ability:
                key = f"{self.info.identity} {ability}"
                way = _REMEMBERED.get(key) or ""  # an older version may have stored another way
                ways = [means.name for means in MEANS.get(ability, ())]
                if way not in ways and (way := await self._find(ability)):
                    _REMEMBERED.put(key, way)
                self.ways_by_ability[ability] = way
        return bool(self.ways_by_ability[ability])

    async def _find(self, ability: str) -> str:
        """Return the first way that works, "" if none does."""
        for means in MEANS.get(ability, ()):
            request = _PROBES[ability]
            with suppress(OptionError, ContextOverflowError):
                choice = await _maybe(self.answer(request, means.spell(request.constraint)))
                if _shows(choice, ability):
                    return means.name
        return ""

    # -- answers -------------------------------------------------------------------------------

    def body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Return a request's path and body; `OptionError` for an unsupported option."""
        params, prompt, host = request.params, request.prompt, self.info.host
        if isinstance(request.constraint, Grammar | OneOf):  # these end, or llama.cpp fails
            params = replace(params, ignore_eos=False)
        if params.exact:
            raise OptionError(f"{host} promises no same text: exact=True needs a local model.")
        if params.reason or request.reasoning:
            raise OptionError(f"{host} writes no reasons before a shape: reason needs a local one.")
        body: dict[str, Any] = {
            "model": self.model,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "max_tokens": params.max_tokens and int(params.max_tokens),
            "seed": params.seed if params.temperature else None,
            "stop": [sound(text) for text in params.stop] or None,
            "logit_bias": {str(i): max(bias, _BANNED) for i, bias in params.logit_bias} or None,
        }
        for name, off in OFF.items():
            value = getattr(params, name)
            if self.is_llama:
                body[name] = value
            elif value != off:
                raise OptionError(f"{host} takes no {name}; leave it out, or use another model.")
        body = {name: value for name, value in body.items() if value is not None}
        if not isinstance(prompt, tuple):
            if params.logprobs is not None:
                body["logprobs"] = max(1, params.logprobs)
            if not (text := raw_text(prompt)):
                raise EmptyPromptError
            return "/completions", {**body, "prompt": sound(text + request.answer_prefix)}
        if params.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": params.logprobs}
        body["messages"] = [{"role": one.role, "content": sound(one.content)} for one in prompt]
        if request.answer_prefix:
            begun = {"role": "assistant", "content": sound(request.answer_prefix)}
            body["messages"].append(begun)
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if self.is_llama and request.think is not None:
            body["chat_template_kwargs"] = {"enable_thinking": request.think}
        elif params.think:  # unwanted thoughts are reported later
            raise OptionError(f"{host} cannot switch thoughts on; leave think= out.")
        return "/chat/completions", body

    async def answer(self, request: Request, more: dict[str, Any]) -> dict[str, Any]:
        """Return a short answer as a whole, {} if it does not follow the protocol."""
        path, body = self.body(request)
        is_bulk = request.priority >= Priority.BULK
        async with self.turns[is_bulk]:
            reply = await self.wire.ask(path, {**body, **more}, tries=TRIES[is_bulk])
        return at(reply, dict, "choices") or {}

    async def scores(self, request: Request, texts: Sequence[str]) -> list[Score]:
        """Return the likelihood of each text after a prompt, by forcing the server to write it.

        The reported log-probabilities ignore the force. The end of a text counts if the request is
        for whole texts and the server reports it. A server chooses the likeliest tokens that spell
        the text, which may differ from those in which the model reads it.
        """
        is_whole = isinstance(request.constraint, OneOf) and request.constraint.is_whole
        means = await self.means("scoring")

        async def score(text: str) -> Score:
            params = replace(request.params, temperature=0, logprobs=1, stop=())
            params = replace(params, max_tokens=len(text.encode()) + 8)
            asked = replace(request, params=params, constraint=OneOf((text,)))
            choice = await self.answer(asked, means.spell(OneOf((sound(text),))))
            tokens, wanted = likely(choice), sound(text).strip()
            if words_of(choice)[0].strip() != wanted or not tokens:
                reason = "wrote a different text from the one to be scored."
                raise ServerError(self.info.host, reason, status=200)
            *before, last = tokens
            has_end = not last.text or "".join(one.text for one in before).strip() == wanted
            counted = before if has_end and before and not is_whole else tokens
            spelled = [one.text for one in tokens if one.text]
            is_same = await self._is_spelling(wanted, spelled)
            return Score(text, tuple(one.logprob for one in counted), not is_same)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(score(text)) for text in texts]
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
        else:
            return [task.result() for task in tasks]
        raise error  # here: with the group as its context, IPython shows no output

    async def _is_spelling(self, text: str, spelled: Sequence[str]) -> bool:
        """Whether the model reads a text in these tokens, as far as the server reports it."""
        if text not in self._read:
            reply = None
            with suppress(ServerError):
                reply = await self._tokenize(text, with_pieces=True)
            if len(self._read) >= _MOST_READ:
                self._read.clear()
            read = at(reply, list, "tokens") or []
            if reply is not None:  # otherwise the server is asked again
                self._read[text] = read
        else:
            read = self._read[text]
        pieces = [at(one, str, "piece") for one in read]  # llama-server reports them
        has_pieces = bool(pieces) and None not in pieces
        return pieces == list(spelled) if has_pieces else len(read) == len(spelled)

    async def embedded(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of some texts, not normalized."""
        body = {"model": self.model, "input": list(map(sound, texts)), "encoding_format": "float"}
        rows = at(await self.wire.ask("/embeddings", body), list, "data") or []
        vectors = [at(one, list, "embedding") or [] for one in rows]
        numbers = (one for vector in vectors for one in vector)
        is_sound = all(isinstance(one, int | float) and math.isfinite(one) for one in numbers)
        if len(vectors) != len(texts) or len(set(map(len, vectors))) != 1 or not is_sound:
            raise ServerError(self.info.host, "sent no vector for each text.")
        return vectors


async def _maybe(asked: Awaitable[Any]) -> Any:
    """Return the awaited reply; None if the server rejects such a request."""
    try:
        return await asked
    except ServerError as error:
        if error.status in _UNDECIDED:
            raise
        return None


def _short(text: str | None) -> str:
    """Return a server's name for something, fit for display and storage."""
    return one_line(one_line(text or "")[:100])


def _shows(choice: object, ability: str) -> bool:
    """Whether an answer proves an ability: no server without it would give this answer."""
    text = words_of(choice)[0].strip()
    if ability == "continuing":
        return text.startswith(("7", _RARE))  # some servers repeat the prefix
    is_free = sum(one.logprob for one in likely(choice)) < _LEAST
    return _RARE in text and (is_free or ability != "scoring")
