"""Requests while the engine works on them. They belong to the engine thread."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import (
    Choice,
    Chunk,
    Completion,
    Progress,
    ProgressState,
    Score,
    Usage,
    answer_record,
)
from jupyter_llm.engine.constraint import OneOf, free_part
from jupyter_llm.engine.local.text.detokenizer import Detokenizer
from jupyter_llm.engine.repetition import loop_start
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import StreamFeed
from jupyter_llm.engine.tokens import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from jupyter_llm.engine.local.lane import Lane
    from jupyter_llm.engine.local.native.sampler import LogprobScorer, Pooler
    from jupyter_llm.engine.local.sched.scheduler import Mask, Sequence
    from jupyter_llm.engine.local.sched.slots import Slot
    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.engine.provenance import Provenance, Writer
    from jupyter_llm.engine.request import Request
    from jupyter_llm.engine.thinking import Thinking
    from jupyter_llm.errors import JupyterLLMError

# A reader that wakes up for every token takes the time of the next one where cores are few.
_CHUNK_S = 0.02
_GUEST_CHUNK_S = 0.06  # each goes through a socket, too, on a thread that this one waits for
_LOOK_EVERY = 16  # tokens: whether the text has begun to repeat itself


@dataclass(slots=True, eq=False)
class Generation:
    """A request on its way to a completion; `writer` tells what writes, once that is known."""

    request: Request
    model: str
    seed: int | None
    feed: StreamFeed = field(default_factory=StreamFeed)
    lane: Lane | None = None
    writer: Callable[[], Writer] | None = None
    file_key: str | None = None  # of the model file
    sequence: Sequence | None = None
    records: list[TokenLogprob] | None = None  # of each token, if they were asked for
    scorer: LogprobScorer | None = None  # of texts, where the answer is one of them
    texts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # with their tokens
    choice: Choice | None = None
    is_exact: bool = False
    most_cached: int = sys.maxsize  # that are reported
    num_tokens: int = 0
    detokenizer: Detokenizer = field(init=False)
    text: list[str] = field(default_factory=list)
    submitted_s: float = field(default_factory=time.perf_counter)
    first_s: float | None = None
    last_s: float = 0.0
    is_looping: bool = False
    is_led: bool = False  # still writes what comes before an answer with a shape
    num_closed: int = 0  # tokens of that, where the model itself ended it
    mask: Mask | None = None  # of the answer
    num_thought: int = 0  # tokens of thoughts
    first_record: int = 0  # the token that the first of the records is of
    answer_start: int = 0  # the first token of the answer
    has_ended: bool = False  # by a token of the model's
    is_torn: bool = False  # whether the answer begins inside it, or not at all
    _unsent: list[str] = field(default_factory=list)
    _num_sent: int = 0  # of the thoughts
    _sent_s: float = 0.0

    def __post_init__(self) -> None:
        self.detokenizer = Detokenizer(self.request.params.stop)

    def begin(self, stop: tuple[str, ...], thinking: Thinking | None) -> None:
        """Let more texts end it, and say how it may think; to be called before the first token."""
        self.detokenizer = Detokenizer((*self.request.params.stop, *stop), thinking)

    def take(
        self, token_id: int, bytes_of: Callable[[int], bytes], mark_bytes: Mapping[int, bytes]
    ) -> None:
        """Take in a drawn token; `mark_bytes` are those of control tokens before an answer."""
        self.num_tokens += 1
        thinking, data = self.detokenizer.thinking, bytes_of(token_id)
        if thinking is None or thinking.is_over:
            self._put(self.detokenizer.feed(data))
        else:
            mark = b"" if thinking.is_closed else mark_bytes.get(token_id, b"")
            self._put(self.detokenizer.feed(data or mark))
            self._note_thought(thinking, data)
        is_guest = self.request.priority is Priority.GUEST
        if self.last_s - self._sent_s >= (_GUEST_CHUNK_S if is_guest else _CHUNK_S):
            self._send()
        params = self.request.params
        if self.num_tokens % _LOOK_EVERY == 0 and not (params.may_repeat or params.ignore_eos):
            self.is_looping = loop_start(self._free_text) is not None

    def touch(self) -> None:
        """Note the time of a token, the end token included."""
        self.last_s = time.perf_counter()
        self.first_s = self.first_s or self.last_s

    def end(self, reason: FinishReason) -> Completion:
        """Hand out what is left and the result, and return the latter."""
        self._put(self.detokenizer.flush())
        self._send()
        completion = self.completion(reason)
        self.feed.finish(completion)
        return completion

    def choose(self, bytes_of: Callable[[int], bytes]) -> None:
        """Answer with the likeliest of the texts, once they are judged.

        What else was likely beside the tokens of one of several is told by the choice.
        """
        assert self.scorer is not None
        assert self.sequence is not None
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
        num_before = self.sequence.num_before
        self.sequence.token_ids = [*self.sequence.token_ids[:num_before], *token_ids]
        self.num_tokens += len(token_ids)
        self._put(best.text)

    def start_answer(self, num_before: int) -> None:
        """Let the answer begin after so many tokens."""
        self.detokenizer.flush()
        answer = Detokenizer(self.detokenizer.stop)
        answer.thoughts, self.detokenizer = self.detokenizer.thoughts, answer
        self.is_led = self.is_torn = self.is_looping = False
        self.num_tokens = self.num_thought = self.answer_start = self.first_record = num_before

    def fail(self, error: JupyterLLMError) -> None:
        """End with an error."""
        self._send()
        self.feed.fail(error)

    def completion(self, reason: FinishReason) -> Completion:
        """What there is; safe from any thread, since lists only grow."""
        sequence = self.sequence
        token_ids = tuple(sequence.completion_ids[: self.num_tokens]) if sequence else ()
        text, usage = "".join(self.text), self._usage(len(token_ids))
        reasoning, start = "".join(self.detokenizer.thoughts), self.answer_start
        is_torn = self.detokenizer.is_stopped or self.is_torn
        return Completion(
            text=text,
            finish_reason=reason,
            usage=usage,
            model=self.model,
            seed=self.seed,
            token_ids=None if is_torn else token_ids[start:],
            exact=self.is_exact,
            logprobs=self._logprobs,
            provenance=self._provenance(text, reasoning, usage, reason),
            tokens_of=self.file_key,
            reasoning=reasoning,
            choice=self.choice,
            ending=self._ending,
        )

    def progress(self) -> Progress:
        """How far this is; safe from any thread."""
        sequence = self.sequence
        if sequence is None:
            return Progress(state=self._state(None))
        slot, num_prompt = sequence.slot, sequence.num_prompt
        num_resident = len(slot.token_ids) if slot is not None else 0
        num_read = num_prompt if self.first_s is not None else min(num_resident, num_prompt)
        if self.scorer is not None:  # texts are read after the prompt, perhaps thousands
            num_prompt += self.scorer.num_tokens
            num_read += self.scorer.num_tokens * sequence.num_done // len(sequence.paths)
        return Progress(
            state=self._state(slot),
            num_prompt=num_prompt,
            num_read=num_read,
            num_written=self.num_tokens,
        )

    @property
    def _logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Those of the answer's tokens."""
        if self.records is None:
            return None
        first = self.first_record
        return tuple(self.records[self.answer_start - first : self.num_tokens - first])

    @property
    def _free_text(self) -> str:
        thinking = self.detokenizer.thinking
        if thinking is not None and (self.is_led or not thinking.is_over):
            return "".join(self.detokenizer.thoughts)
        return free_part(self.request.constraint, "".join(self.text))

    def _state(self, slot: Slot | None) -> ProgressState:
        if self.feed.future.done():
            return "finished"
        if self.first_s is not None:
            return "writing"
        return "waiting" if slot is None else "reading"

    def _provenance(
        self, text: str, reasoning: str, usage: Usage, reason: FinishReason
    ) -> Provenance | None:
        sequence = self.sequence
        if sequence is None or self.writer is None:
            return None
        return answer_record(
            self.writer(),
            self.request.params,
            seed=self.seed,
            exact=self.is_exact,
            prompt_ids=sequence.token_ids[: sequence.num_prompt],
            text=text,
            reasoning=reasoning,
            usage=usage,
            finish_reason=reason,
            constraint=self.request.constraint,
        )

    @property
    def _ending(self) -> TokenLogprob | None:
        records = self.records or []
        is_known = self.has_ended and len(records) > self.num_tokens
        return records[self.num_tokens] if is_known else None

    def _usage(self, num_tokens: int) -> Usage:
        sequence = self.sequence
        now_s = time.perf_counter()
        admitted_s = (sequence.admitted_s if sequence else None) or now_s
        first_s = self.first_s or now_s
        return Usage(
            prompt_tokens=sequence.num_prompt if sequence else 0,
            cached_tokens=min(sequence.num_cached, self.most_cached) if sequence else 0,
            completion_tokens=num_tokens,
            reasoning_tokens=self.num_thought,
            queue_s=admitted_s - self.submitted_s,
            prefill_s=max(0.0, first_s - admitted_s),
            decode_s=max(0.0, self.last_s - first_s),
        )

    def _put(self, text: str) -> None:
        if text and not self.is_led:
            self.text.append(text)
            self._unsent.append(text)

    def _note_thought(self, thinking: Thinking, data: bytes) -> None:
        """Note how many tokens it has thought, and where its answer begins."""
        if thinking.is_on or self.is_led:
            self.num_thought = self.num_tokens
        if self.is_led and thinking.is_closed:
            self.num_closed = self.num_closed or self.num_tokens
        if thinking.is_whole:
            return
        self.answer_start = self.num_tokens - thinking.is_over
        self.is_torn = not thinking.is_over or "".join(self._unsent).encode() != data

    def _send(self) -> None:
        thoughts = self.detokenizer.thoughts[self._num_sent :]
        if self._unsent or thoughts:
            self.feed.put(Chunk("".join(self._unsent), "".join(thoughts)))
            self._unsent.clear()
            self._num_sent += len(thoughts)
            self._sent_s = self.last_s


@dataclass(slots=True, eq=False)
class ReadTogether:
    """Texts that are read together, and the future of their vectors."""

    future: Future[list[np.ndarray]] = field(default_factory=Future)
    poolers: dict[Sequence, Pooler] = field(default_factory=dict)
    lane: Lane | None = None
    num_finished: int = 0

    def finish_one(self) -> None:
        """Note that one text was read; the last one ends the whole."""
        self.num_finished += 1
        if self.num_finished == len(self.poolers) and not self.future.done():
            self.future.set_result([pooler.pooled for pooler in self.poolers.values()])

    def fail(self, error: JupyterLLMError) -> None:
        """End with an error."""
        if not self.future.done():
            self.future.set_exception(error)
