"""Makes a sequence of a request: its tokens, its lane, and its work."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.engine.constraint import BeginsWith, Exactly, Grammar, OneOf
from jupyter_llm.engine.local.generation import Run
from jupyter_llm.engine.local.masks.beginning import BeginningMask
from jupyter_llm.engine.local.native.sampler import LogprobScorer, MaskedSampler, RecordingSampler
from jupyter_llm.engine.local.sched.drawing import Drawing
from jupyter_llm.engine.local.sched.judging import Judging
from jupyter_llm.engine.local.sched.sequence import Prefill, Sequence
from jupyter_llm.engine.local.text.detokenizer import Detokenizer
from jupyter_llm.engine.local.text.written import Written
from jupyter_llm.engine.request import Priority, RawPrompt
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.errors import ContextOverflowError, EmptyPromptError

if TYPE_CHECKING:
    from jupyter_llm.engine.local.generation import Generation
    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.resident import ResidentModel
    from jupyter_llm.engine.local.sched.drawing import Mask, Sampler
    from jupyter_llm.engine.local.sched.sequence import Work
    from jupyter_llm.engine.request import Request

_NUM_ASKED = 256  # tokens that may follow a prompt that is read ahead, before the answer


class Preparing:
    """Makes sequences of requests and queues them, on the engine thread.

    If an answer has both a shape and thoughts, its sequence draws free text first, pauses, and goes
    on with the work of the answer: so the thoughts stay in its slot. As two requests the second one
    would have to find the thoughts again, but a row's own tokens are forgotten when it ends.
    """

    def __init__(self, model: ResidentModel) -> None:
        self._model = model
        self._n_ctx = model.info.n_ctx

    def begin(self, generation: Generation) -> None:
        """Queue a sequence for a request, or raise why its prompt cannot be read."""
        request, tokenizer = generation.request, self._model.tokenizer
        tokenize = partial(self._model.weights.tokenize, is_special=False)
        think, is_free_first = request.think, self._is_free_first(request)
        token_ids = self._prompt_ids(request)
        # With `reason` the thoughts have room of their own, beside the answer's.
        has_room = is_free_first and request.params.reason > 0
        request = generation.request = self.with_room(request, think=think and not has_room)
        # The beginning of an answer would be thought, and not answered.
        is_begun = bool(request.answer_prefix) or request.constraint is not None
        thinking = None if is_begun else tokenizer.thinking(request.prompt, token_ids)
        stops, num_closing = tokenizer.stops(request.prompt), 0
        if is_free_first or request.reasoning:
            opening, closing, closes = tokenizer.around_thoughts(request.prompt, token_ids)
            token_ids += opening
            if is_free_first:
                thinking, num_closing = Thinking(closes), len(closing)
            else:
                token_ids += [*tokenize(request.reasoning), *closing]
        detokenizer = Detokenizer((*request.params.stop, *stops), thinking)
        generation.written = Written(detokenizer, is_free_first)
        token_ids += tokenize(request.answer_prefix, goes_on=bool(request.reasoning))
        if len(token_ids) >= self._n_ctx:
            raise ContextOverflowError(len(token_ids), self._n_ctx)
        lane, is_exact = self._model.lanes.lane_for(request, token_ids)
        if isinstance(request.constraint, BeginsWith):
            generation.mask = BeginningMask(request.constraint, self._model.weights.vocabulary)
        if is_free_first:
            work = self._free_text(generation, lane, token_ids, num_closing)
        else:
            work = self._work(generation, lane, token_ids)
        sequence = self._queue(request, lane, token_ids, work)
        writer = partial(self._model.writer, lane)
        generation.run = Run(sequence, lane, is_exact, writer, self._model.file_key)

    def go_on(self, generation: Generation) -> None:
        """Give a paused sequence the work of the answer, after its free text."""
        request, run, written = generation.request, generation.run, generation.written
        assert run is not None
        sequence, params = run.sequence, request.params
        read = sequence.token_ids[: sequence.num_prompt]
        _, closing, _ = self._model.tokenizer.around_thoughts(request.prompt, read)
        if written.num_closed:
            closing = self._model.weights.tokenize("\n\n", is_special=False, goes_on=True)
        num_free = written.num_closed or written.num_tokens
        token_ids = [*read, *sequence.completion_ids[:num_free], *closing]
        generation.start_answer(len(token_ids) - sequence.num_prompt)
        most = sequence.work.max_tokens
        if params.reason and params.max_tokens:  # however few tokens came before
            most = min(most, written.num_tokens + params.max_tokens)
        work = self._work(generation, run.lane, token_ids, max_tokens=most)
        run.lane.scheduler.go_on(sequence, token_ids, work)

    def read_ahead(self, request: Request, token_ids: list[int]) -> None:
        """Queue a prompt to be read in the background, in each lane that may answer it."""
        if not token_ids:
            return
        for lane in self._model.lanes.lanes_to_read_in(request):
            if len(token_ids) >= lane.n_ctx:
                continue
            num_more = _NUM_ASKED + (request.params.max_tokens or lane.n_ctx)
            background = replace(request, priority=Priority.BACKGROUND)
            self._queue(background, lane, list(token_ids), Prefill(), num_more=num_more)

    def with_room(self, request: Request, *, think: bool | None) -> Request:
        """Return the request with room for thoughts if the model may think."""
        may_think = think is not False and isinstance(request.prompt, tuple)
        if not may_think or not self._model.tokenizer.can_think:
            return request
        return replace(request, params=request.params.with_room_to_think())

    def _is_free_first(self, request: Request) -> bool:
        """Whether free text comes before an answer with a shape."""
        has_shape = isinstance(request.constraint, Grammar | OneOf) and not request.answer_prefix
        can_think = isinstance(request.prompt, tuple) and self._model.tokenizer.can_think
        thinks = bool(request.params.think) and can_think
        return has_shape and (request.params.reason > 0 or thinks)

    def _prompt_ids(self, request: Request) -> list[int]:
        """Tokenize a prompt; a prompt that is too long is counted up to twice the window."""
        most = 2 * self._n_ctx
        is_long = isinstance(request.prompt, tuple) and len(request.prompt) > most
        token_ids: list[int] = []
        if not is_long:
            think = request.think
            token_ids += self._model.tokenizer.tokenize(request.prompt, think=think, most=most)
        if is_long or len(token_ids) > most:
            raise ContextOverflowError(most, self._n_ctx, is_least=True)
        if not token_ids:
            raise EmptyPromptError
        return token_ids

    def _work(
        self, generation: Generation, lane: Lane, token_ids: list[int], max_tokens: int = 0
    ) -> Work:
        """Return the work of an answer after these tokens: given texts are judged, others drawn."""
        if isinstance(generation.request.constraint, OneOf | Exactly):
            scorer = generation.scorer = self._scorer(generation, lane, token_ids)
            return Judging(scorer, scorer.paths, max_tokens or scorer.num_tokens)
        mask, params = generation.mask, generation.request.params
        sampler = self._sampler(generation, lane, token_ids, mask)
        if params.logprobs is not None:
            bytes_of = self._model.weights.bytes_of
            sampler = RecordingSampler(sampler, lane.context, params.logprobs, bytes_of)
            generation.records = sampler.records
        max_tokens = max_tokens or params.max_tokens or lane.n_ctx
        return self._drawing(generation, lane, token_ids, sampler, max_tokens, mask=mask)

    def _free_text(
        self, generation: Generation, lane: Lane, token_ids: list[int], num_closing: int
    ) -> Work:
        """Return the work of the free text before an answer with a shape.

        A quarter of the room is left to the answer. If thoughts count as tokens of the answer, a
        quarter of `max_tokens` is.
        """
        request, params = generation.request, generation.request.params
        texts = request.constraint.texts if isinstance(request.constraint, OneOf) else ()
        sizes = map(len, self._model.tokenizer.following(token_ids, texts).values())
        num_more = max(sizes, default=0) + num_closing
        room = lane.n_ctx - len(token_ids) - num_more - 1
        if room < 1:
            raise ContextOverflowError(len(token_ids) + num_more, lane.n_ctx)
        room = room * 3 // 4
        num_free = params.reason or (params.max_tokens or room) * 3 // 4 - num_closing
        num_free = max(1, min(num_free, room))
        max_tokens = params.max_tokens or lane.n_ctx
        if texts:  # they are read and not drawn
            max_tokens = num_free + num_more
        elif params.reason:
            max_tokens += num_free + num_closing
        sampler = self._sampler(generation, lane, token_ids, None)
        return self._drawing(generation, lane, token_ids, sampler, max_tokens, pause_after=num_free)

    def _drawing(
        self,
        generation: Generation,
        lane: Lane,
        token_ids: list[int],
        sampler: Sampler,
        max_tokens: int,
        *,
        mask: Mask | None = None,
        pause_after: int = 0,
    ) -> Drawing:
        params, priority = generation.request.params, generation.request.priority
        # Wrong guesses must be forgotten, and only a sequence that draws alone has time for them.
        may_draft = params.lookup and priority < Priority.BULK and self._model.can_trim
        return Drawing(
            sampler,
            max_tokens,
            drafter=lane.drafter(token_ids) if may_draft else None,
            mask=mask,
            ignore_eos=params.ignore_eos,
            needs_logits=params.logprobs is not None,
            pause_after=pause_after,
        )

    @staticmethod
    def _sampler(
        generation: Generation, lane: Lane, token_ids: list[int], mask: Mask | None
    ) -> Sampler:
        params = generation.request.params
        sampler = lane.context.sampler(params, generation.seed or 0, token_ids)
        return sampler if mask is None else MaskedSampler(sampler, lane.context, mask)

    def _scorer(self, generation: Generation, lane: Lane, token_ids: list[int]) -> LogprobScorer:
        """Return the scorer of the given texts of an answer after these tokens."""
        request, tokenizer = generation.request, self._model.tokenizer
        if isinstance(request.constraint, Exactly):
            ids, num_top = request.constraint.token_ids, request.params.logprobs or 0
            generation.texts = {tokenizer.format(RawPrompt.of_tokens(ids)): ids}
            return LogprobScorer(lane.context, [ids], num_top=num_top)
        assert isinstance(request.constraint, OneOf)
        ends = set(self._model.weights.end_ids)
        stops = tokenizer.stops(request.prompt)
        if stops:
            ends.update(self._model.weights.vocabulary.fitting([s.encode() for s in stops]))
        # A blank that a model puts before its answer is no part of the answer.
        num_thought = generation.written.num_thought
        is_first = not (request.answer_prefix or request.reasoning or num_thought)
        has_blank = stops and is_first and request.constraint.is_whole
        texts = {f" {text}" if has_blank else text: text for text in request.constraint.texts}
        found = tokenizer.following(token_ids, texts)
        generation.texts = {texts[text]: ids for text, ids in found.items()}
        ends = ends if request.constraint.is_whole else set()
        return LogprobScorer(lane.context, found.values(), ends)

    @staticmethod
    def _queue(
        request: Request,
        lane: Lane,
        token_ids: list[int],
        work: Work,
        *,
        num_more: int = 0,
    ) -> Sequence:
        """Queue the tokens of a request; `num_more`, or the work's `max_tokens`, may follow."""
        try:
            num_more = num_more or work.max_tokens
            lane.prepare(token_ids, request.conversation, request.priority, num_more=num_more)
            sequence = Sequence(
                token_ids,
                work,
                request.conversation,
                request.priority,
                is_pinned=request.is_pinned,
                is_private=request.is_private,
            )
            lane.scheduler.submit(sequence)
        except BaseException:
            work.close()
            raise
        return sequence
