"""One request on its way to a server and back. Belongs to the line's thread."""

from __future__ import annotations

import asyncio
import logging
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
from jupyter_llm.engine.remote.protocol import Means, at, likely, said, shape_of, sound
from jupyter_llm.engine.remote.wire import PATIENT_TRIES, TRIES, Fault
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Priority, raw_text
from jupyter_llm.engine.stream import StreamFeed
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.errors import EmptyPromptError, JupyterLLMError, OptionError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.engine.remote.served import Served
    from jupyter_llm.engine.request import Request
    from jupyter_llm.engine.tokens import TokenLogprob

logger = logging.getLogger(__name__)

_LOOK_EVERY = 16  # pieces: whether the text has begun to repeat itself
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class Writing:
    """A request while a server writes its answer; `on_change` is called when it has begun.

    What nobody sees before it is whole, a row in bulk or what is read from JSON, may be begun again
    however far it was.
    """

    def __init__(self, request: Request, served: Served, on_change: Callable[[], None]) -> None:
        self.request = request
        self.feed = StreamFeed()
        self.has_begun = False
        self._served = served
        self._on_change = on_change
        self._is_bulk = request.priority >= Priority.BULK
        self._submitted_s = time.perf_counter()
        self._sent_s = self._submitted_s
        self._is_shown = False
        self._start()

    def _start(self) -> None:
        """Forget what a try has brought that came to nothing."""
        request = self.request
        is_chat = isinstance(request.prompt, tuple)
        is_free = is_chat and request.constraint is None and not request.answer_prefix
        self._thinking = Thinking() if is_free else None
        self._means: Means | None = None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._likely: list[TokenLogprob] = []
        self._choice: Choice | None = None
        self._usage_told: dict[str, Any] = {}
        self._num_pieces = self._num_thoughts = 0
        self._first_s = self._last_s = 0.0
        self._reason: FinishReason | None = None

    @property
    def _is_held(self) -> bool:
        return self._is_bulk or (self._means is not None and self._means.is_quoted)

    async def run(self) -> None:
        """Let it be written."""
        tries, prompt = PATIENT_TRIES if self._is_bulk else TRIES, self.request.prompt
        try:
            if not isinstance(prompt, tuple) and not raw_text(prompt):
                raise EmptyPromptError  # noqa: TRY301  all reasons end the same way
            await self._served.wire.trying(self._try, tries, lambda: self._is_shown)
            self.feed.finish(self.completion(self._reason or "stop"))
        except asyncio.CancelledError:
            self.feed.finish(self.completion("cancelled"))
        except JupyterLLMError as error:
            self.feed.fail(error)
        except Exception as bug:
            logger.exception("A request to a server failed")
            said = f"answered what could not be taken in: {bug}."
            self.feed.fail(ServerError(self._served.info.host, said, status=200))

    async def _try(self) -> None:
        self._start()
        served, request, abilities = self._served, self.request, self._served.abilities
        if request.answer_prefix and isinstance(request.prompt, tuple):
            await abilities.need("continuing")
        if isinstance(request.constraint, OneOf):
            texts, is_whole = request.constraint.texts, request.constraint.is_whole
            # Of one that begins another it would have to be told how likely its end is.
            is_apart = not (is_whole and any(b.startswith(a) for a, b in pairwise(sorted(texts))))
            if len(texts) == 1 or (is_apart and await abilities.can("scoring")):
                await self._choose(texts, is_whole=is_whole)
                return
            params = replace(request.params, stop=(), max_tokens=max(map(len, texts)) + 8)
            request = replace(request, params=params)  # all of the text is wanted
        more: dict[str, Any] = dict(_STREAMED)
        if request.constraint is not None:
            self._means = await abilities.means(shape_of(request.constraint))
            more |= self._means.spell(request.constraint)
        path, body = await served.body(request)
        try:
            events = served.wire.events(path, {**body, **more})
            async with served.turns[self._is_bulk], aclosing(events):
                self._sent_s = time.perf_counter()
                async for event in events:
                    self._take(event)
                    if self._is_enough():
                        break
        except Fault:
            if self._reason is None:  # else what was lost said nothing more
                raise
        if self._reason is None:
            raise served.wire.lost("ended the answer before it was whole.")
        self._settle()

    async def _choose(self, texts: tuple[str, ...], *, is_whole: bool) -> None:
        """Answer with the likeliest of some texts."""
        self._sent_s = time.perf_counter()
        scores = await self._served.scores(self.request, texts, is_whole=is_whole)
        self._choice = choice = Choice(tuple(scores))
        best = max(choice.scores, key=lambda score: score.logprob)
        self._num_pieces, self._reason = len(best.logprobs), "stop"
        self._put(best.text, "")
        self._settle()

    def _take(self, event: object) -> None:
        """Take in a message; what is none of the protocol says nothing."""
        self._usage_told = at(event, dict, "usage") or self._usage_told
        choice = at(event, dict, "choices")
        text, thought = map(sound, said(choice))
        self._likely += likely(choice)
        if text or thought:
            self._num_pieces += 1
            self._num_thoughts += bool(thought)
            self._last_s = time.perf_counter()
            self._first_s = self._first_s or self._last_s
        if self._thinking is not None and text:
            more, text = self._thinking.feed(text)
            thought += more
            self._num_thoughts += bool(more and not text)
        self._put(text, thought)
        if (reason := at(choice, str, "finish_reason")) in ("stop", "length"):
            self._reason = "stop" if reason == "stop" else "length"
        elif reason:  # content_filter, abort and the like
            host = self._served.info.host
            raise ServerError(host, f"ended the answer early: {reason!r:.60}.", status=200)

    def _put(self, text: str, thought: str) -> None:
        if not (text or thought):
            return
        self._texts.append(text)
        self._thoughts.append(thought)
        if not self._is_held:
            self._is_shown = True
            self.feed.put(Chunk(text, thought))
        if not self.has_begun:
            self.has_begun = True
            self._on_change()

    def _is_enough(self) -> bool:
        """Whether more is not wanted: the text repeats itself, or the server does not end it."""
        params = self.request.params
        if params.max_tokens is not None and self._num_pieces > params.max_tokens:
            self._reason = "length"
            return True
        if self._num_pieces % _LOOK_EVERY or params.may_repeat or params.ignore_eos:
            return False
        text = "".join(self._texts) or "".join(self._thoughts)
        if loop_start(free_part(self.request.constraint, text)) is None:
            return False
        self._reason = "repetition"
        return True

    def _settle(self) -> None:
        """Put out what was held back, once all is there; refuse what is not as it was asked for."""
        params, host, means = self.request.params, self._served.info.host, self._means
        if self._thinking is not None and not self._thinking.is_over:
            thought, text = self._thinking.flush()
            self._put(text, thought)
        is_untold = params.logprobs is not None and not self._likely and self._choice is None
        if is_untold and any(self._texts):
            raise OptionError(f"{host} tells no log-probabilities, so logprobs cannot be had.")
        if params.think is False and any(self._thoughts):
            raise OptionError(f"{host} lets this model think, though it was told not to.")
        self._served.may_think = self._served.may_think or any(self._thoughts)
        text, constraint = "".join(self._texts), self.request.constraint
        with suppress(ValueError):
            if means is not None:
                text = means.text_of(text, is_cut=self._reason != "stop")
            if not isinstance(constraint, OneOf) or text in constraint.texts:
                if self._is_held:
                    self._texts = [text]
                    self.feed.put(Chunk(text, "".join(self._thoughts)))
                return
        raise self._served.wire.lost("did not keep to the shape of the answer.", status=200)

    def completion(self, reason: FinishReason) -> Completion:
        """What there is; safe from any thread, since lists only grow."""
        info, request = self._served.info, self.request
        text, reasoning = "".join(self._texts), "".join(self._thoughts)
        usage, seed = self.usage, request.params.seed if request.params.temperature else None
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
        """What it has cost so far."""
        told = partial(at, self._usage_told, int)
        now_s = time.perf_counter()
        return Usage(
            prompt_tokens=told("prompt_tokens") or 0,
            cached_tokens=told("prompt_tokens_details", "cached_tokens") or 0,
            completion_tokens=told("completion_tokens") or self._num_pieces,
            reasoning_tokens=told("completion_tokens_details", "reasoning_tokens")
            or self._num_thoughts,
            queue_s=self._sent_s - self._submitted_s,
            prefill_s=(self._first_s or now_s) - self._sent_s,
            decode_s=self._last_s - self._first_s,
        )
