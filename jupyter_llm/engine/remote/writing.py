"""One request on its way to a server and back. Belongs to the line's thread."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.packing import packed
from jupyter_llm.engine.completion import (
    Choice,
    Chunk,
    Completion,
    Progress,
    ProgressState,
    Usage,
    answer_record,
)
from jupyter_llm.engine.constraint import OneOf, free_part
from jupyter_llm.engine.remote.protocol import Means, at, count, likely, said, shape_of
from jupyter_llm.engine.remote.wire import TRIES
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import StreamFeed
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.errors import JupyterLLMError, OptionError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.engine.remote.served import Served
    from jupyter_llm.engine.request import Request
    from jupyter_llm.engine.tokens import TokenLogprob

_LOOK_EVERY = 16  # pieces: whether the text has begun to repeat itself
_SPARE = 16  # pieces beside those of tokens: who speaks, what was held back, the end
_TOKEN_SIZE = 64  # characters that a token has at most, on the average of an answer


class Writing:
    """A request while a server writes its answer; `on_change` is called when it has begun.

    What nobody sees before it is whole, a row in bulk or what is read from JSON, may be begun again
    however far it was.
    """

    def __init__(self, request: Request, served: Served, on_change: Callable[[], None]) -> None:
        self.request = request
        self.feed = StreamFeed()
        self._served = served
        self._on_change = on_change
        self._is_bulk = request.priority >= Priority.BULK
        self._submitted_s = time.perf_counter()
        self._means: Means | None = None
        self._choice: Choice | None = None
        self._start()

    def _start(self) -> None:
        """Forget what a try has brought that came to nothing."""
        request = self.request
        is_chat = isinstance(request.prompt, tuple)
        is_free = is_chat and request.constraint is None and not request.answer_prefix
        self._thinking = Thinking() if is_free else None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._likely: list[TokenLogprob] = []
        self._usage_told: dict[str, Any] = {}
        self._most = self._num_events = self._size = 0
        self._first_s = self._last_s = 0.0
        self._reason: FinishReason | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is something of the answer."""
        return bool(self._texts)

    @property
    def _is_held(self) -> bool:
        return self._is_bulk or (self._means is not None and self._means.is_quoted)

    async def run(self) -> None:
        """Let it be written."""
        try:
            await self._write()
            self.feed.finish(self.completion(self._reason or "stop"))
        except asyncio.CancelledError:
            self.feed.finish(self.completion("cancelled"))
        except JupyterLLMError as error:
            self.feed.fail(error)
        except Exception as bug:  # noqa: BLE001  of whatever kind: a server may send anything
            self.feed.fail(self._served.wire.unreadable(bug))

    async def _write(self) -> None:
        served, request = self._served, self.request
        if request.answer_prefix and isinstance(request.prompt, tuple):
            await served.need("continuing")
        if isinstance(request.constraint, OneOf):
            texts, is_whole = request.constraint.texts, request.constraint.is_whole
            # Of one that begins another it would have to be told how likely its end is.
            is_apart = not (is_whole and any(b.startswith(a) for a, b in pairwise(sorted(texts))))
            if len(texts) == 1 or (is_apart and await served.can("scoring")):
                self._choice = Choice(tuple(await served.scores(request, texts)))
                self._put(max(self._choice.scores, key=lambda score: score.logprob).text, "")
                self._settle()
                return
            size = 4 * max(map(len, texts)) + 8  # all is wanted, and each byte may be a token
            request = replace(request, params=replace(request.params, stop=(), max_tokens=size))
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        if request.constraint is not None:
            self._means = await served.means(shape_of(request.constraint))
            more |= self._means.spell(request.constraint)
        path, body = served.body(request)
        attempt = partial(self._stream, path, {**body, **more})
        await served.wire.trying(attempt, TRIES[self._is_bulk], lambda: bool(self.feed.texts))

    async def _stream(self, path: str, body: dict[str, Any]) -> None:
        self._start()
        self._most = body.get("max_tokens") or self._served.info.n_ctx
        wire = self._served.wire
        try:
            async with self._served.turns[self._is_bulk], aclosing(wire.events(path, body)) as got:
                async for event in got:
                    self._take(event)
                    if self._is_enough():
                        break
        except ServerError:
            if self._reason is None:  # else what was lost said nothing more
                raise
        if self._reason is None:
            raise wire.lost("ended the answer before it was whole.")
        self._settle()

    def _take(self, event: object) -> None:
        """Take in a message; what is none of the protocol says nothing."""
        self._usage_told = at(event, dict, "usage") or self._usage_told
        choice = at(event, dict, "choices")
        text, thought = said(choice)
        self._num_events += 1
        self._likely += likely(choice)[: self._most + _SPARE - len(self._likely)]
        if self._thinking is not None and text:
            more, text = self._thinking.feed(text)
            thought += more
        room = _TOKEN_SIZE * (self._most + _SPARE) - self._size
        thought = thought[:room]
        text = text[: room - len(thought)]
        self._size += len(text) + len(thought)
        self._put(text, thought)
        if (reason := at(choice, str, "finish_reason")) in ("stop", "length"):
            self._reason = "stop" if reason == "stop" else "length"
        elif reason:  # content_filter, abort and the like
            host = self._served.info.host
            raise ServerError(host, f"ended the answer early: {reason!r:.60}.", status=200)

    def _put(self, text: str, thought: str) -> None:
        if not (text or thought):
            return
        self._last_s = time.perf_counter()
        self._first_s = self._first_s or self._last_s
        self._texts.append(text)
        self._thoughts.append(thought)
        if not self._is_held:
            self.feed.put(Chunk(text, thought))
        if len(self._texts) == 1:
            self._on_change()

    def _is_enough(self) -> bool:
        """Whether more is not wanted: it has all tokens asked for, or repeats itself."""
        params, most = self.request.params, self._most + _SPARE
        num_tokens = max(len(self._texts), self._size // _TOKEN_SIZE, self._num_events // 4)
        if num_tokens >= most:
            self._reason = "length"  # whatever it says: the text may be cut
            return True
        if len(self._texts) % _LOOK_EVERY or params.may_repeat or params.ignore_eos:
            return False
        text = "".join(self._texts) or "".join(self._thoughts)
        if is_looping := loop_start(free_part(self.request.constraint, text)) is not None:
            self._reason = "repetition"
        return is_looping

    def _settle(self) -> None:
        """Put out what was held back, once all is there; refuse what is not as it was asked for."""
        params, host, means = self.request.params, self._served.info.host, self._means
        if self._thinking is not None:
            thought, text = self._thinking.flush()
            self._put(text, thought)
        text, constraint = "".join(self._texts), self.request.constraint
        if params.logprobs is not None and text and not self._likely and self._choice is None:
            raise OptionError(f"{host} tells no log-probabilities, so logprobs cannot be had.")
        if params.think is False and any(self._thoughts):
            raise OptionError(f"{host} lets this model think, though it was told not to.")
        self._served.may_think |= any(self._thoughts)
        with suppress(ValueError):
            if means is not None:
                text = means.text_of(text, is_cut=self._reason != "stop")
            if not isinstance(constraint, OneOf) or text in constraint.texts:
                if self._is_held:
                    self._texts = [text, *[""] * (len(self._texts) - 1)]  # for they are counted
                    self.feed.put(Chunk(text, "".join(self._thoughts)))
                return
        raise self._served.wire.lost("did not keep to the shape of the answer.", status=200)

    def completion(self, reason: FinishReason) -> Completion:
        """What there is; safe from any thread, since lists only grow."""
        info, request, usage = self._served.info, self.request, self.usage
        text, reasoning = "".join(self._texts), "".join(self._thoughts)
        seed = request.params.seed if request.params.temperature else None
        return Completion(
            text=text,
            finish_reason=reason,
            usage=usage,
            model=info.name,
            seed=seed,
            logprobs=tuple(self._likely) if request.params.logprobs is not None else None,
            reasoning=reasoning,
            choice=self._choice,
            provenance=answer_record(
                self._served.writer,
                request.params,
                seed=seed,
                exact=False,
                # Its tokens are the server's own; the prompt is known again by its text.
                prompt_ids=tuple(packed([request.prompt, request.answer_prefix])),
                text=text,
                reasoning=reasoning,
                usage=usage,
                finish_reason=reason,
                constraint=request.constraint,
            ),
        )

    def progress(self) -> Progress:
        """How far this is; safe from any thread."""
        state: ProgressState = "writing" if self.has_begun else "waiting"
        usage = self.usage
        num_prompt = usage.prompt_tokens or 1  # which is told at the end
        return Progress(
            state="finished" if self.feed.future.done() else state,
            num_prompt=num_prompt,
            num_read=num_prompt if self.has_begun else 0,
            num_written=usage.completion_tokens,
        )

    @property
    def usage(self) -> Usage:
        """What it has cost so far; how long it waited at the server is not known."""
        told = partial(count, self._usage_told)
        return Usage(
            prompt_tokens=told("prompt_tokens"),
            cached_tokens=told("cached_tokens"),
            completion_tokens=told("completion_tokens") or len(self._texts),
            reasoning_tokens=told("reasoning_tokens") or sum(map(bool, self._thoughts)),
            prefill_s=(self._first_s or time.perf_counter()) - self._submitted_s,
            decode_s=self._last_s - self._first_s,
        )
