"""One request to a server and its answer. Belongs to the wire's thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

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
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.remote.protocol import Means, at, count, likely, shape_of, words_of
from jupyter_llm.engine.remote.served import Served
from jupyter_llm.engine.remote.wire import TRIES
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Priority, Request
from jupyter_llm.engine.stream import StreamFeed
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.engine.tokens import TokenLogprob
from jupyter_llm.errors import JupyterLLMError, OptionError, ServerError

_LOOK_EVERY = 16  # pieces between checks for repetition
_SPARE = 16  # pieces beside those of tokens: the role, buffered text, the end
_TOKEN_SIZE = 64  # most characters a token, averaged over an answer


class Writing:
    """A request while a server writes its answer; `on_change` is called when the answer begins.

    An answer that nobody sees before its end, such as a row or a JSON string, may be restarted at
    any point.
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
        """Discard the result of a failed try."""
        request = self.request
        is_chat = isinstance(request.prompt, tuple)
        is_free = is_chat and request.constraint is None and not request.answer_prefix
        self._thinking = Thinking() if is_free else None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._likely: list[TokenLogprob] = []
        self._usage_reported: dict[str, Any] = {}
        self._most = self._num_events = self._size = 0
        self._first_s = self._last_s = 0.0
        self._reason: FinishReason | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a part of the answer."""
        return bool(self._texts)

    @property
    def _is_buffered(self) -> bool:
        return self._is_bulk or (self._means is not None and self._means.is_quoted)

    async def run(self) -> None:
        """Request the answer, and end the stream with it."""
        try:
            await self._write()
            self.feed.finish(self.completion(self._reason or "stop"))
        except asyncio.CancelledError:
            self.feed.finish(self.completion("cancelled"))
        except JupyterLLMError as error:
            self.feed.fail(error)
        except Exception as bug:  # noqa: BLE001 a server may send anything
            self.feed.fail(self._served.wire.unreadable(bug))

    async def _write(self) -> None:
        served, request = self._served, self.request
        if request.answer_prefix and isinstance(request.prompt, tuple):
            await served.need("continuing")
        if isinstance(request.constraint, OneOf):
            texts, is_whole = request.constraint.texts, request.constraint.is_whole
            # If a text is the beginning of another, the likelihood of its end would be needed.
            is_apart = not (is_whole and any(b.startswith(a) for a, b in pairwise(sorted(texts))))
            if len(texts) == 1 or (is_apart and await served.can("scoring")):
                self._choice = Choice(tuple(await served.scores(request, texts)))
                self._put(max(self._choice.scores, key=lambda score: score.logprob).text, "")
                self._settle()
                return
            size = 4 * max(map(len, texts)) + 8  # the whole text, and each byte may be a token
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
            if self._reason is None:  # otherwise the answer was complete
                raise
        if self._reason is None:
            raise wire.lost("ended the answer before it was whole.")
        self._settle()

    def _take(self, event: object) -> None:
        """Read an event; an event outside the protocol adds nothing."""
        self._usage_reported = at(event, dict, "usage") or self._usage_reported
        choice = at(event, dict, "choices")
        text, thought = words_of(choice)
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
        elif reason:  # for example content_filter, abort
            host = self._served.info.host
            raise ServerError(host, f"ended the answer early: {reason!r:.60}.", status=200)

    def _put(self, text: str, thought: str) -> None:
        if not (text or thought):
            return
        self._last_s = time.perf_counter()
        self._first_s = self._first_s or self._last_s
        self._texts.append(text)
        self._thoughts.append(thought)
        if not self._is_buffered:
            self.feed.put(Chunk(text, thought))
        if len(self._texts) == 1:
            self._on_change()

    def _is_enough(self) -> bool:
        """Whether to stop reading: the answer has all tokens, or repeats itself."""
        params, most = self.request.params, self._most + _SPARE
        num_tokens = max(len(self._texts), self._size // _TOKEN_SIZE, self._num_events // 4)
        if num_tokens >= most:
            self._reason = "length"  # the text may be cut, whatever the server reports
            return True
        if len(self._texts) % _LOOK_EVERY or params.may_repeat or params.ignore_eos:
            return False
        text = "".join(self._texts) or "".join(self._thoughts)
        if is_looping := loop_start(free_part(self.request.constraint, text)) is not None:
            self._reason = "repetition"
        return is_looping

    def _settle(self) -> None:
        """Emit buffered text at the end; raise an error if the answer is not as requested."""
        params, host, means = self.request.params, self._served.info.host, self._means
        if self._thinking is not None:
            thought, text = self._thinking.flush()
            self._put(text, thought)
        text, constraint = "".join(self._texts), self.request.constraint
        if params.logprobs is not None and text and not self._likely and self._choice is None:
            raise OptionError(f"{host} reports no log-probabilities; leave logprobs= out.")
        if params.think is False and any(self._thoughts):
            raise OptionError(f"{host} lets this model think, although think is False.")
        self._served.may_think |= any(self._thoughts)
        with suppress(ValueError):
            if means is not None:
                text = means.text_of(text, is_cut=self._reason != "stop")
            if not isinstance(constraint, OneOf) or text in constraint.texts:
                if self._is_buffered:
                    self._texts = [text, *[""] * (len(self._texts) - 1)]  # they are counted
                    self.feed.put(Chunk(text, "".join(self._thoughts)))
                return
        raise self._served.wire.lost("did not keep to the shape of the answer.", status=200)

    def completion(self, reason: FinishReason) -> Completion:
        """Return the present result; any thread may call this, since the lists only grow."""
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
                # Only the server knows the tokens; the prompt is identified by its text.
                prompt_ids=tuple(packed([request.prompt, request.answer_prefix])),
                text=text,
                reasoning=reasoning,
                usage=usage,
                finish_reason=reason,
                constraint=request.constraint,
            ),
        )

    def progress(self) -> Progress:
        """Return the progress; from any thread."""
        state: ProgressState = "writing" if self.has_begun else "waiting"
        usage = self.usage
        num_prompt = usage.prompt_tokens or 1  # reported at the end
        return Progress(
            state="finished" if self.feed.future.done() else state,
            num_prompt=num_prompt,
            num_read=num_prompt if self.has_begun else 0,
            num_written=usage.completion_tokens,
        )

    @property
    def usage(self) -> Usage:
        """Return the cost so far; the server's waiting time is unknown."""
        reported = partial(count, self._usage_reported)
        return Usage(
            prompt_tokens=reported("prompt_tokens"),
            cached_tokens=reported("cached_tokens"),
            completion_tokens=reported("completion_tokens") or len(self._texts),
            reasoning_tokens=reported("reasoning_tokens") or sum(map(bool, self._thoughts)),
            prefill_s=(self._first_s or time.perf_counter()) - self._submitted_s,
            decode_s=self._last_s - self._first_s,
        )
