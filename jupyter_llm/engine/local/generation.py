"""Requests while the engine works on them. They belong to the engine thread."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import (
    Choice,
    Completion,
    Progress,
    ProgressState,
    Score,
    Usage,
    answer_record,
)
from jupyter_llm.engine.constraint import OneOf, free_part
from jupyter_llm.engine.local.sched.judging import Judging
from jupyter_llm.engine.local.text.detokenizer import Detokenizer
from jupyter_llm.engine.local.text.written import Written
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import StreamFeed
from jupyter_llm.engine.tokens import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.native.sampler import LogprobScorer
    from jupyter_llm.engine.local.sched.drawing import Mask
    from jupyter_llm.engine.local.sched.sequence import Sequence
    from jupyter_llm.engine.local.sched.slots import Slot
    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.engine.provenance import Provenance, Writer
    from jupyter_llm.engine.request import Request
    from jupyter_llm.errors import JupyterLLMError

# A reader that wakes up for every token takes the time of the next one where cores are few.
_CHUNK_S = 0.02
_GUEST_CHUNK_S = 0.06  # each chunk goes through a socket, too, on a thread that this one waits for
_LOOP_CHECK_EVERY = 16  # tokens


@dataclass(slots=True)
class Times:
    """When a request was submitted, got its first and its last token, and was last sent."""

    submitted_s: float = field(default_factory=time.perf_counter)
    first_s: float | None = None
    last_s: float = 0.0
    sent_s: float = 0.0

    def touch(self) -> None:
        """Note that a token came now, perhaps the end token."""
        self.last_s = time.perf_counter()
        self.first_s = self.first_s or self.last_s


@dataclass(slots=True, eq=False)
class Run:
    """A generation in a lane.

    `writer` returns the facts of the model and the lane for the record; `file_key` names the model
    file. At most `most_cached` cached tokens are reported.
    """

    sequence: Sequence
    lane: Lane
    is_exact: bool
    writer: Callable[[], Writer]
    file_key: str
    most_cached: int = sys.maxsize


@dataclass(slots=True, eq=False)
class Generation:
    """A request on its way to a completion.

    `mask` restricts the answer. If the answer is one of some `texts`, given with their tokens,
    `scorer` judges them. `records` has the log-probability of each token if they were asked for.
    """

    request: Request
    model: str
    seed: int | None
    feed: StreamFeed = field(default_factory=StreamFeed)
    times: Times = field(default_factory=Times)
    written: Written = field(init=False)
    run: Run | None = None
    mask: Mask | None = None
    records: list[TokenLogprob] | None = None
    scorer: LogprobScorer | None = None
    texts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    choice: Choice | None = None
    is_looping: bool = False
    has_ended: bool = False  # by a token of the model's

    def __post_init__(self) -> None:
        self.written = Written(Detokenizer(self.request.params.stop))

    def take(
        self, token_id: int, bytes_of: Callable[[int], bytes], mark_bytes: Mapping[int, bytes]
    ) -> None:
        """Add a drawn token; see `Written.take`."""
        self.written.take(token_id, bytes_of, mark_bytes)
        is_guest = self.request.priority is Priority.GUEST
        if self.times.last_s - self.times.sent_s >= (_GUEST_CHUNK_S if is_guest else _CHUNK_S):
            self._send()
        params = self.request.params
        may_repeat = params.may_repeat or params.ignore_eos
        if self.written.num_tokens % _LOOP_CHECK_EVERY == 0 and not may_repeat:
            self.is_looping = loop_start(self._free_text) is not None

    def end(self, reason: FinishReason) -> Completion:
        """Send the rest of the text and the result; return the result."""
        self.written.flush()
        self._send()
        completion = self.completion(reason)
        self.feed.finish(completion)
        return completion

    def fail(self, error: JupyterLLMError) -> None:
        """End with an error."""
        self._send()
        self.feed.fail(error)

    def start_answer(self, num_before: int) -> None:
        """Let the answer begin after `num_before` tokens of free text."""
        self.is_looping = False
        self.written.start_answer(num_before)

    def choose(self, bytes_of: Callable[[int], bytes]) -> None:
        """Answer with the likeliest of the texts, once they are judged.

        If there are several texts, `choice` holds the probabilities of all.
        """
        assert self.scorer is not None
        assert self.run is not None
        scores = tuple(Score(t, self.scorer.logprobs(ids)) for t, ids in self.texts.items())
        best = max(scores, key=lambda score: score.logprob)  # the first of equals
        self.choice = Choice(scores) if isinstance(self.request.constraint, OneOf) else None
        token_ids = self.texts[best.text]
        if self.request.params.logprobs is not None:

            def text_of(token_id: int) -> str:
                return bytes_of(token_id).decode("utf-8", "replace")

            tops = (
                tuple((text_of(token_id), logprob) for token_id, logprob in top)
                for top in self.scorer.likeliest(token_ids)
            )
            of_text = map(TokenLogprob, token_ids, map(text_of, token_ids), best.logprobs, tops)
            self.records = [*(self.records or ()), *of_text]
        sequence = self.run.sequence
        assert isinstance(sequence.work, Judging)
        sequence.token_ids = [*sequence.token_ids[: sequence.work.num_before], *token_ids]
        self.written.num_tokens += len(token_ids)
        self.written.put(best.text)

    def completion(self, reason: FinishReason) -> Completion:
        """Return the answer so far; safe from any thread, since lists only grow."""
        run, written = self.run, self.written
        token_ids = tuple(run.sequence.completion_ids[: written.num_tokens]) if run else ()
        text, reasoning, usage = written.text, written.reasoning, self._usage(len(token_ids))
        is_torn = written.detokenizer.is_stopped or written.is_torn
        return Completion(
            text=text,
            finish_reason=reason,
            usage=usage,
            model=self.model,
            seed=self.seed,
            token_ids=None if is_torn else token_ids[written.answer_start :],
            exact=run is not None and run.is_exact,
            logprobs=self._logprobs,
            provenance=self._provenance(text, reasoning, usage, reason),
            tokens_of=run.file_key if run else None,
            reasoning=reasoning,
            choice=self.choice,
            ending=self._ending,
        )

    def progress(self) -> Progress:
        """Return how much was read and written; safe from any thread."""
        if self.run is None:
            return Progress(state=self._state(None))
        sequence = self.run.sequence
        slot, work, num_prompt = sequence.slot, sequence.work, sequence.num_prompt
        num_resident = len(slot.token_ids) if slot is not None else 0
        num_read = num_prompt if self.times.first_s is not None else min(num_resident, num_prompt)
        if self.scorer is not None and isinstance(work, Judging):  # perhaps thousands of texts
            num_prompt += self.scorer.num_tokens
            num_read += self.scorer.num_tokens * work.num_done // len(work.paths)
        return Progress(
            state=self._state(slot),
            num_prompt=num_prompt,
            num_read=num_read,
            num_written=self.written.num_tokens,
        )

    @property
    def _logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """The log-probabilities of the answer's tokens."""
        if self.records is None:
            return None
        written = self.written
        start, end = written.answer_start, written.num_tokens
        return tuple(self.records[start - written.first_record : end - written.first_record])

    @property
    def _free_text(self) -> str:
        """The text that no constraint forces: it may be a loop."""
        if self.written.is_thinking:
            return self.written.reasoning
        return free_part(self.request.constraint, self.written.text)

    def _state(self, slot: Slot | None) -> ProgressState:
        if self.feed.future.done():
            return "finished"
        if self.times.first_s is not None:
            return "writing"
        return "waiting" if slot is None else "reading"

    def _provenance(
        self, text: str, reasoning: str, usage: Usage, reason: FinishReason
    ) -> Provenance | None:
        if self.run is None:
            return None
        sequence = self.run.sequence
        return answer_record(
            self.run.writer(),
            self.request.params,
            seed=self.seed,
            exact=self.run.is_exact,
            prompt_ids=sequence.token_ids[: sequence.num_prompt],
            text=text,
            reasoning=reasoning,
            usage=usage,
            finish_reason=reason,
            constraint=self.request.constraint,
        )

    @property
    def _ending(self) -> TokenLogprob | None:
        """The end token, if its log-probability was kept."""
        records, number = self.records or [], self.written.num_tokens
        return records[number] if self.has_ended and len(records) > number else None

    def _usage(self, num_tokens: int) -> Usage:
        run, times, now_s = self.run, self.times, time.perf_counter()
        admitted_s = (run.sequence.admitted_s if run else None) or now_s
        first_s = times.first_s or now_s
        return Usage(
            prompt_tokens=run.sequence.num_prompt if run else 0,
            cached_tokens=min(run.sequence.num_cached, run.most_cached) if run else 0,
            completion_tokens=num_tokens,
            reasoning_tokens=self.written.num_thought,
            queue_s=admitted_s - times.submitted_s,
            prefill_s=max(0.0, first_s - admitted_s),
            decode_s=max(0.0, times.last_s - first_s),
        )

    def _send(self) -> None:
        if (chunk := self.written.next_chunk()) is not None:
            self.feed.put(chunk)
            self.times.sent_s = self.times.last_s
