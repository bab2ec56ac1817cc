"""What a server can: found out by a small request when it is first needed, and written down."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Grammar, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote.protocol import MEANS, Means, likely, said
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import ContextOverflowError, OptionError, ServerError

_REMEMBERED = Remembered("server abilities")
_REFUSED = (400, 404, 405, 413, 422, 501)
_RARE = "jupyter-7301"  # nobody writes it freely
_LEAST = -3.0  # what such a text is likelier than was counted behind what forced it
GREEDY = SamplingParams(temperature=0, top_p=1, top_k=0, min_p=0, repeat_penalty=1, max_tokens=100)
"""How a short answer is drawn that is the same every time, as far as that goes."""

_HELLO = Request(prompt=(Message("user", "Say hello."),), params=GREEDY)
_COUNT = Message("user", "Count from 1 to 20. Write the numbers and nothing else.")
_OBJECT = {
    "type": "object",
    "properties": {"name": {"type": "string", "enum": [_RARE]}},
    "required": ["name"],
    "additionalProperties": False,
}
_SHAPES: dict[str, Constraint] = {
    "json": Grammar("json", json.dumps(_OBJECT)),
    "regex": Grammar("regex", _RARE),
    "lark": Grammar("lark", f'start: "{_RARE}"'),
    "choice": OneOf((_RARE,)),
    "beginning": BeginsWith((_RARE,)),
}
WORDS = {
    "json": "keep to a JSON Schema",
    "regex": "keep to a regular expression",
    "lark": "keep to a Lark grammar",
    "choice": "choose one of some texts",
    "beginning": "begin with one of some texts",
    "tokens": "read tokens by their numbers",
    "continuing": "go on with an answer that is begun",
    "scoring": "tell how likely a given text is",
}
"""All that a server may be able to do, or not."""


class Abilities:
    """What one server can do with one model.

    `answer` sends a request with what goes along with it. What a server cannot is asked again by
    the next engine, since it may be another version then. Belongs to the line's thread.
    """

    def __init__(
        self,
        host: str,
        key: str,
        answer: Callable[[Request, dict[str, Any]], Awaitable[object]],
        known: Mapping[str, str],
    ) -> None:
        self._host, self._key, self._answer = host, key, answer
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.known: dict[str, str] = dict(known)
        """By ability how it is done, or "" where it cannot be."""
        with suppress(ValueError):
            kept = json.loads(_REMEMBERED.get(key) or "{}")
            self.known |= {name: kept[name] for name in WORDS if name in kept}

    async def means(self, shape: str) -> Means:
        """How an answer comes to be of a shape; `OptionError` if it cannot."""
        await self.need(shape)
        return next(one for one in MEANS[shape] if one.name == self.known[shape])

    async def need(self, ability: str) -> None:
        """Refuse what the server cannot do with an `OptionError`."""
        if not await self.can(ability):
            raise OptionError(
                f"{self._host} cannot {WORDS[ability]}, or not with this model. "
                "Use a model of this kernel for it, or another server: `%llm /use NAME`."
            )

    async def can(self, ability: str) -> bool:
        """Whether the server can do something."""
        async with self._locks[ability]:
            if ability not in self.known:
                self.known[ability] = await self._find(ability)
                can = {name: way for name, way in self.known.items() if way}
                _REMEMBERED.put(self._key, json.dumps(can))
        return bool(self.known[ability])

    async def _find(self, ability: str) -> str:
        if ability == "scoring" and not await self.can("choice"):
            return ""
        for way, request, more in self._tries(ability):
            with suppress(OptionError, ContextOverflowError):
                try:
                    choice = await self._answer(request, more)
                except ServerError as error:
                    if error.status not in _REFUSED:
                        raise
                else:
                    if _shows(choice, ability):
                        return way
        return ""

    def _tries(self, ability: str) -> Iterator[tuple[str, Request, dict[str, Any]]]:
        """Yield each way there may be, with a request that tells whether it is one."""
        if ability == "continuing":
            yield (
                "message",
                replace(_HELLO, prompt=(_COUNT,), answer_prefix=f"{_RARE}: 1, 2, 3, 4, 5, 6,"),
                {},
            )
            return
        shape = "choice" if ability == "scoring" else ability
        params = replace(GREEDY, logprobs=1 if ability == "scoring" else None)
        for means in MEANS[shape]:
            if ability != "scoring" or (means.name == self.known[shape] and not means.is_quoted):
                yield means.name, replace(_HELLO, params=params), means.spell(_SHAPES[shape])


def _shows(choice: object, ability: str) -> bool:
    """Whether an answer is as nobody would give it who cannot do what was asked."""
    text = said(choice)[0].strip()
    if ability == "continuing":
        return text.startswith(("7", _RARE))  # some tell what was begun, too, unless they stream
    is_free = sum(one.logprob for one in likely(choice)) < _LEAST
    return _RARE in text and (is_free or ability != "scoring")
