"""A model as a server runs it: what is known of it, and small exchanges with it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.completion import Score
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.info import FimTokens, ModelInfo
from jupyter_llm.engine.options import DRAWN
from jupyter_llm.engine.provenance import ContextSettings, ModelFacts, Writer
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.remote.abilities import Abilities
from jupyter_llm.engine.remote.protocol import (
    KINDS,
    OFF,
    PLAIN,
    at,
    body_of,
    found,
    likely,
    messages_of,
    said,
    sound,
)
from jupyter_llm.engine.remote.wire import PATIENT_TRIES, TRIES
from jupyter_llm.engine.request import Priority, RawPrompt, Special
from jupyter_llm.engine.thinking import marks_of
from jupyter_llm.errors import OptionError, ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from jupyter_llm.engine.remote.wire import Wire
    from jupyter_llm.engine.request import Message, Prompt, Request

_BUSY = (0, 408, 429, 502, 503, 504)  # of which nothing can be told
_NUM_PARALLEL = 16  # rows at a time, where a server does not say how many it takes
_MOST_KNOWN = 4096  # texts with their tokens
_N_CTX = ("n_ctx", "loaded_context_length", "context_length", "max_model_len", "max_context_length")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])")  # in the names of models
_PATH = re.compile(r"^.*[/\\](?=[^/\\]*\.gguf$)")  # as llama-server calls a model unless told
# How models fill in the middle: the texts before what is above, below, and theirs.
_FIM = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001
)


class Served:
    """A model on a server. Belongs to the line's thread.

    Where the server `has_tokens`, it tells those of a text. A model that `may_think` is known to.
    Of `turns` there are as many as it takes requests at a time, others for rows.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.kind = PLAIN
        self.has_tokens = self.may_think = False
        self._tokens: dict[tuple[str, bool, bool], tuple[int, ...]] = {}

    async def open(self) -> None:
        """Ask what the server has. `ServerError` where it cannot be asked, or has no such model."""
        address, ask = self.wire.address, partial(self.wire.ask, tries=2)
        root = address.root
        entry = self._entry_of(await ask("/models"))
        self.model, owner = str(entry["id"]), entry.get("owned_by")
        self.kind = next((one for one in KINDS if one.owner == owner), PLAIN)
        if self.kind is PLAIN and found(await _maybe(ask(f"{root}/api/version")), "version"):
            self.kind = next(one for one in KINDS if one.name == "Ollama")  # somebody's own model
        details = self.kind.details and await _maybe(ask(root + self.kind.details))
        models = at(details, list, "models") or at(details, list, "data") or ()
        same = (one for one in models if isinstance(one, dict) and self.model in one.values())
        details = next(same, {}) if models else details
        self.may_think = bool(marks_of(str(found(details, "chat_template")), ()))
        num_parallel = _count(details, "total_slots") or _NUM_PARALLEL
        self.turns = asyncio.Semaphore(num_parallel), asyncio.Semaphore(num_parallel)
        build = str(found(details, "build_info") or self.kind.name)
        identity = f"{address.url} {self.model} {_count(entry, 'size')} {build}"
        self.abilities = Abilities(address.host, identity, self.answer, self.kind.can)
        self.has_tokens = bool(await _maybe(self._ids("Hello")))
        named = _SIZE.findall(self.model.lower())
        num_parameters = _count(entry, "n_params") or int(float(named[0] if named else 0) * 1e9)
        n_ctx = _count([details, entry], *_N_CTX) or self.kind.n_ctx
        told = at(found(details, "params"), dict) or {}
        pairs = [(name, told[name]) for name in DRAWN if isinstance(told.get(name), int | float)]
        pairs += [(name, OFF[name]) for name in DRAWN if name in OFF.keys() - self.kind.takes]
        self.info = ModelInfo(
            # So it is called wherever it is told of; a path there says nothing here.
            name=f"{_PATH.sub('', self.model)}@{address.host}",
            path=Path(),
            architecture="",
            quantization=str(found(entry, "ftype") or ""),
            size_bytes=_count(entry, "size"),
            license=None,
            n_ctx=n_ctx,
            n_ctx_train=_count(entry, "n_ctx_train") or n_ctx,
            n_vocab=_count(entry, "n_vocab"),
            n_threads=0,
            flash_attention=False,
            has_chat_template=True,
            build=build,
            num_parameters=num_parameters,
            sampling=Recommended.of(((n, round(v, 4)) for n, v in pairs), num_parameters),
            fim=await self._fim(),
            host=address.host,
            identity=sha256(identity.encode()).hexdigest(),
        )

    @property
    def writer(self) -> Writer:
        """What writes, as records tell it; how a server computes is not known."""
        context = ContextSettings(
            lane="fast",
            n_ctx=self.info.n_ctx,
            n_batch=0,
            kv_type="f16",
            flash_attention=False,
            n_gpu_layers=None,
            repack=None,
            full_window=True,
        )
        model = ModelFacts.of(self.info, None)
        return Writer(model=model, context=context, build=self.info.build)

    def _entry_of(self, listed: object) -> dict[str, Any]:
        """What the server says of the model that is meant."""
        host, model = self.wire.address.host, self.wire.address.model
        told = at(listed, list, "data") or ()
        models: dict[str, dict[str, Any]] = {one["id"]: one for one in told if at(one, str, "id")}
        if len(models) == 1 and not model:
            return next(iter(models.values()))
        if (entry := models.get(model) or models.get(f"{model}:latest")) is not None:
            return entry
        names = f"It has {', '.join(list(models)[:20]) or 'none'}."
        if not model:
            raise ServerError(host, one_line(f"needs a name: model=…. {names}"))
        hint = nearest(model, list(models), names)
        raise ServerError(host, one_line(f"has no model {model!r:.100}. {hint}"), status=404)

    async def _fim(self) -> FimTokens | None:
        """The control tokens with which the model fills in the middle, as far as it can be told."""
        for texts in _FIM if self.has_tokens and self.kind.is_raw else ():
            ids = [await self._ids(text, is_special=True) for text in texts]
            if all(len(one) == 1 for one in ids):
                return FimTokens(prefix=texts[0], suffix=texts[1], middle=texts[2])
        return None

    # -- answers -------------------------------------------------------------------------------

    async def body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Where a request is sent, and what; raw text as tokens where the server tells them."""
        prompt = request.prompt
        if isinstance(prompt, tuple):
            return body_of(request, self.model, self.kind, self.info.host)
        if not self.kind.is_raw:
            raise OptionError(
                f"{self.info.host} ({self.kind.name}) puts every text through a chat template, so "
                "it cannot go on with one. Ask it as a chat."
            )
        parts = prompt.parts if isinstance(prompt, RawPrompt) else (prompt,)
        is_marked = isinstance(prompt, RawPrompt) and prompt.is_marked
        whole = RawPrompt((*parts, request.answer_prefix), is_marked=is_marked)
        has_parts = self.kind.has_parts and self.has_tokens
        raw = await self.tokens(whole) if has_parts else sound(whole.text)
        return body_of(request, self.model, self.kind, self.info.host, raw)

    async def answer(self, request: Request, more: dict[str, Any]) -> dict[str, Any]:
        """A short answer, as a whole."""
        path, body = await self.body(request)
        is_bulk = request.priority >= Priority.BULK
        async with self.turns[is_bulk]:
            tries = PATIENT_TRIES if is_bulk else TRIES
            told = await self.wire.ask(path, {**body, **more}, tries=tries)
        choice = at(told, dict, "choices")
        if choice is None:
            raise ServerError(self.info.host, "sent what is no answer of OpenAI's protocol.")
        return choice

    async def scores(
        self, request: Request, texts: Sequence[str], *, is_whole: bool = False
    ) -> list[Score]:
        """How likely each text is behind a prompt: it is let write that and nothing else.

        What is told is how likely each token was before that. The end of a text counts where it
        `is_whole`, and the server tells of it.
        """
        await self.abilities.need("scoring")
        means = await self.abilities.means("choice")

        async def score(text: str) -> Score:
            params = replace(request.params, temperature=0, logprobs=1, stop=())
            params = replace(params, max_tokens=len(text.encode()) + 8)
            asked = replace(request, params=params, constraint=OneOf((text,)))
            choice = await self.answer(asked, means.spell(OneOf((sound(text),))))
            tokens, wanted = likely(choice), sound(text).strip()
            if said(choice)[0].strip() != wanted or not tokens:
                told = "wrote another text than it was to judge."
                raise ServerError(self.info.host, told, status=200)
            *before, last = tokens
            has_end = not last.text or "".join(one.text for one in before).strip() == wanted
            counted = before if has_end and before and not is_whole else tokens
            return Score(text, tuple(one.logprob for one in counted))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(score(text)) for text in texts]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def embedded(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of some texts, of whatever length."""
        body = {"model": self.model, "input": list(map(sound, texts)), "encoding_format": "float"}
        rows = at(await self.wire.ask("/embeddings", body), list, "data") or []
        vectors = [at(one, list, "embedding") or [] for one in rows]
        is_sound = all(isinstance(one, int | float) for vector in vectors for one in vector)
        if len(vectors) != len(texts) or len(set(map(len, vectors))) != 1 or not is_sound:
            raise ServerError(self.info.host, "sent no vector for each text.")
        return vectors

    # -- tokens --------------------------------------------------------------------------------

    async def template(self, messages: tuple[Message, ...], think: bool | None) -> str:  # noqa: FBT001
        """What the model reads of a chat; `OptionError` where the server does not tell."""
        if not (self.kind.has_parts and self.has_tokens):
            raise OptionError(f"{self.info.host} does not tell what the model reads of a chat.")
        more = {} if think is None else {self.kind.think: {"enable_thinking": think}}
        url = f"{self.wire.address.root}/apply-template"
        told = await self.wire.ask(url, {"messages": messages_of(messages), **more})
        return at(told, str, "prompt") or ""

    async def tokens(self, prompt: Prompt, think: bool | None = None) -> tuple[int, ...]:  # noqa: FBT001
        """The tokens of a prompt; `OptionError` where the server does not tell them."""
        if isinstance(prompt, RawPrompt) and prompt.token_ids:
            return prompt.token_ids
        if not self.has_tokens:
            raise OptionError(f"{self.info.host} does not tell the tokens of a text.")
        if isinstance(prompt, tuple):
            if self.kind.has_parts:
                return await self._ids(await self.template(prompt, think), is_special=True)
            return await self._told({"messages": messages_of(prompt)})
        ids: list[int] = []
        raw = prompt if isinstance(prompt, RawPrompt) else RawPrompt((prompt,))
        for part in raw.parts:
            if not isinstance(part, Special):
                more = {"is_special": raw.is_marked, "is_first": not ids}
                ids += await self._ids(part, **more) if part else ()
                continue
            special = await self._ids(part.text, is_special=True)
            if len(special) != 1 or (self.kind.has_parts and special == await self._ids(part.text)):
                raise OptionError(f"The model has no control token {part.text!r}.")
            ids += special
        return tuple(ids)

    async def _ids(
        self, text: str, *, is_special: bool = False, is_first: bool = False
    ) -> tuple[int, ...]:
        known = text, is_special, is_first
        if known not in self._tokens:
            if self.kind.has_parts:
                more = {"add_special": is_first, "parse_special": is_special}
                ids = await self._told({"content": sound(text), **more})
            else:  # as vLLM has it
                ids = await self._told({"prompt": sound(text), "add_special_tokens": is_first})
            if len(self._tokens) >= _MOST_KNOWN:
                self._tokens.clear()
            self._tokens[known] = ids
        return self._tokens[known]

    async def _told(self, asked: dict[str, Any]) -> tuple[int, ...]:
        url, body = f"{self.wire.address.root}/tokenize", {"model": self.model, **asked}
        ids = at(await self.wire.ask(url, body), list, "tokens")
        if ids is None or not all(type(one) is int for one in ids):
            raise ServerError(self.wire.address.host, "does not tell tokens.", status=200)
        return tuple(ids)


async def _maybe(asked: Awaitable[Any]) -> Any:
    """What is asked for; None where a server has no such thing, but not where it is busy."""
    try:
        return await asked
    except ServerError as error:
        if error.status in _BUSY:
            raise
        return None


def _count(data: object, *names: str) -> int:
    """A count that a server tells somewhere, or 0."""
    value = found(data, *names)
    return value if type(value) is int and 0 < value < 2**53 else 0
