"""Writes code for cells: drafts of a model become cells and are tried; the best is used."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.many import drawn, varied
from jupyter_llm.chat.script import sources_that_ran
from jupyter_llm.common.bars import TICK_S, Step
from jupyter_llm.common.markdown import code_block
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.shell import num_begun
from jupyter_llm.tasks.begun import BegunStream
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, new_cells
from jupyter_llm.tasks.contract import without_names
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.steps import StepStream
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterator

    from jupyter_llm.chat.branches import Sending
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.question import ChatQuestion
    from jupyter_llm.chat.script import Script
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.tasks.tries import Tries

NUM_DRAFTS = 4
MAX_S = 60.0  # in which all drafts are written and tried, or three times the time of the first
_TRY_S = 2.0  # that a draft which is there may be tried in any case
_LEAST_DIFFERENT = 3  # good drafts without a value in common that are a doubt
_LEAST_TOKENS = 200  # that another draft may have, however short the first is
_END = "\n```"


def write_in_chat(
    chat: Chat,
    question: ChatQuestion,
    *,
    namespace: Container[str] = (),
    tries: Tries | None = None,
    show: Callable[[Stream], Completion] = lambda stream: stream.result(),
    show_progress: ShowProgress | None = None,
    by_steps: bool = False,
) -> tuple[CodeAnswer, Sending]:
    """Send a request for code to a chat, and wait for code that parses.

    The best of a few drafts becomes the turn; `write_code` explains `show` and `show_progress`,
    which also gets the progress of loading, and `by_steps`. The code may use the names of
    `namespace`; `tries` runs it first. Return the answer and what the prompt was made of. If the
    answer `is_interrupted`, the caller raises `PromptInterrupted` once the code has landed.
    """
    ran = sources_that_ran(chat.timeline.snapshot().cells)
    judge = Judge(names=namespace, tries=tries, ran=ran, asked=question.prompt)
    begin = f"{signature}\n" if (signature := judge.contract.signature) else ""
    if by_steps:  # told the names first, a small model guesses their values
        question, begin = replace(question, prompt=without_names(question.prompt)), ""
    with chat.sending(question.for_code(), show_progress) as sending:
        script = sending.script
        try:
            answer = write_code(
                sending.engine,
                sending.request,
                judge,
                begin=begin,
                script=script,
                show=show,
                show_progress=show_progress,
                by_steps=by_steps,
            )
        except PromptInterrupted as interrupt:
            draft, shown = interrupt.draft, interrupt.completion
            if isinstance(draft, CodeAnswer) and draft.completion.text and shown is not None:
                chat.take_in(sending, shown, draft)
            raise
        cells = new_cells(answer.cells, namespace)
        answer = replace(answer, cells=cells, num_begun=num_begun())
        shown = replace(answer.completion, text=answer.text, token_ids=None)
        chat.take_in(sending, shown, answer)
    return answer, sending


def write_code(
    engine: Engine,
    request: Request,
    judge: Judge | None = None,
    *,
    begin: str = "",
    script: Script | None = None,
    num_drafts: int = NUM_DRAFTS,
    show: Callable[[Stream], Completion] = lambda stream: stream.result(),
    show_progress: ShowProgress | None = None,
    by_steps: bool = False,
) -> CodeAnswer:
    """Let a model write code for a cell.

    The answer begins with a fence of Python and ends with the fence; with a `script` it continues
    that program. `begin`: the start of the code, which the cells include; a draft that adds nothing
    has no cells. The `judge` tries the first draft. If the draft has no result, the program writes
    one more cell. More drafts are written until one is good and, with a `script`, a second good one
    has its value; the best is used. One draft after a program answers the chat, and the last one
    reads the fault of the one before. Code that does not parse is repaired. With a seed the drafts
    count on from it. If they are written `by_steps`, each is a `StepStream`.

    `show` reads the stream of the first draft to its end, and `show_progress` gets the progress of
    the others. All of them take at most three times the time of the first, or `MAX_S` seconds if
    that is more, unless another run writes the same drafts.

    Raises
    ------
    PromptInterrupted
        The user interrupted before a draft was good; it holds the best one so far.
    """
    params = request.params.filled(engine.info.sampling.for_code)
    request = replace(
        request,
        params=replace(params, stop=(*params.stop, _END)),
        answer_prefix=ANSWER_PREFIX + begin,
    )
    as_chat = request
    if script is not None:
        request = script.first(request, begin)
    judge = judge or Judge()
    drafts = _Drafts(engine, request, as_chat, judge, show_progress, by_steps=by_steps)
    return drafts.best(drafts.first(show), script, num_drafts)


class _Drafts:
    """The drafts of an engine for one request: tried and compared."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        as_chat: Request,
        judge: Judge,
        show_progress: ShowProgress | None,
        *,
        by_steps: bool,
    ) -> None:
        self._engine, self._request, self._judge = engine, request, judge
        self._tries = judge.tries if by_steps else None
        self._first = request
        self._steps: StepStream | None = None  # that wrote the last draft
        self._as_chat = as_chat
        self._show_progress = show_progress
        self._answers: list[CodeAnswer] = []
        self._began_s = time.monotonic()

    def first(self, show: Callable[[Stream], Completion]) -> Completion:
        """Write the first draft; after an interrupt the error holds what was written."""
        steps = self._by_steps(self._request)
        stream = steps or ask(self._engine, self._request, "draft")
        try:
            with stream:
                begun = self._as_chat.answer_prefix
                show(BegunStream(stream, begun, waits=True, finish=code_block))
                return stream.result()
        except PromptInterrupted as interrupt:
            if interrupt.completion is not None:
                written = stream.future.result()  # without the fence
                draft = CodeAnswer(completion=written, cells=(), request=self._request)
                interrupt.draft = self._with_parts(draft)
            raise
        finally:
            if steps is not None:
                self._first = steps.request

    def best(self, first: Completion, script: Script | None, num_drafts: int) -> CodeAnswer:
        """Try the first draft and, if it is not good, others; return the best."""
        took_s, judge, answers = time.monotonic() - self._began_s, self._judge, self._answers
        try:
            answer = judge.read(first, self._first, step="Trying the code")
            answers.append(self._with_parts(answer))
            is_over = first.finish_reason == "cancelled"
            may_go_on = not is_over and self._tries is None  # its cells would have to run again
            if may_go_on and script is not None and judge.lacks(answers[0]):
                written = self._first.answer_prefix + first.text.rstrip()
                following = script.following(self._request, written)
                both = [*answers, *self._read([replace(following, conversation=None)])]
                answers[:] = [max(both, key=judge.merit)]
            if not is_over and not self._is_settled(script):
                params = self._request.params
                # With a seed or at temperature 0 another run writes the same drafts.
                is_fixed = params.seed is not None or params.temperature == 0
                end_s = None if is_fixed else self._began_s + max(MAX_S, 3 * took_s)
                others = self._others(first, num_drafts)
                for answer in chain.from_iterable(self._read(some, end_s) for some in others):
                    answers.append(answer)
                    if self._is_settled(script):
                        break
        except KeyboardInterrupt:
            if not self._values:
                raise self._interrupted(first) from None
            return replace(self._chosen(), is_interrupted=True)
        return self._chosen()

    def _is_settled(self, script: Script | None) -> bool:
        """Whether a draft is good and, with a `script`, agrees with another or has no value."""
        values = self._values
        is_sure = script is None or "" in values or len({*values}) < len(values)
        return bool(values) and is_sure

    @property
    def _values(self) -> list[str]:
        """Return the values of the good drafts."""
        return [self._judge.value_of(one) for one in self._answers if self._judge.is_good(one)]

    def _chosen(self) -> CodeAnswer:
        """Return the best draft; of equals the one whose value most drafts have, or the first."""
        answers, judge = self._answers, self._judge
        counts = Counter(filter(None, self._values))
        agreeing = [counts[judge.value_of(one)] for one in answers]
        pairs = zip(answers, agreeing, strict=True)
        best, num = max(pairs, key=lambda pair: (*judge.merit(pair[0]), pair[1]))
        if num == 1 and len(counts) >= _LEAST_DIFFERENT:
            best = replace(best, num_different=len(counts))
        num_tokens = sum(one.completion.usage.completion_tokens for one in answers)
        return replace(best, num_drafts=len(answers), num_agreeing=num, num_tokens=num_tokens)

    def _read(self, requests: list[Request], end_s: float | None = None) -> Iterator[CodeAnswer]:
        """Yield other drafts as they are complete; those that fail are left out."""
        progress, count = self._show_progress, len(self._answers) + 1
        several = (
            self._drawn_by_steps(requests, count, end_s)
            if self._tries is not None
            else drawn(self._engine, requests, show_progress=progress, first=count, end_s=end_s)
        )
        with suppress(JupyterLLMError), closing(several) as found:
            for number, (again, completion) in enumerate(found, count):
                left_s = TIMEOUT_S if end_s is None else max(end_s - time.monotonic(), _TRY_S)
                step = f"Trying draft {number}"
                timeout_s = min(left_s, TIMEOUT_S)
                answer = self._judge.read(completion, again, timeout_s=timeout_s, step=step)
                yield self._with_parts(answer)

    def _by_steps(self, request: Request, end_s: float | None = None) -> StepStream | None:
        """Return the stream of a draft that is written by steps, unless drafts are not."""
        if self._tries is not None:
            contract = self._judge.contract
            self._steps = StepStream(self._engine, request, self._tries, contract, end_s)
        return self._steps

    def _with_parts(self, answer: CodeAnswer) -> CodeAnswer:
        """Return the last draft with the parts and mends of its steps."""
        if (steps := self._steps) is None:
            return answer
        mends = (*steps.mends, *answer.mends)
        return replace(answer, mends=mends, parts=tuple(steps.parts), stopped=steps.stopped)

    def _drawn_by_steps(
        self, requests: list[Request], first: int, end_s: float | None
    ) -> Generator[tuple[Request, Completion]]:
        """Yield drafts one by one, as `drawn` does; each is a program of its own."""
        for number, request in enumerate(requests, first):
            is_late = end_s is not None and time.monotonic() > end_s
            if is_late or (steps := self._by_steps(request, end_s)) is None:
                return
            with steps:
                for _ in steps.chunks(TICK_S):
                    if self._show_progress is not None:
                        self._show_progress(Step(f"Draft {number}"))
                yield steps.request, steps.result()

    def _others(self, first: Completion, total: int) -> Iterator[list[Request]]:
        """Yield requests for more drafts, which are written together.

        After a program, one draft answers the chat prompt, since the two prompts fail on different
        requests: the next draft, or the second next if the last draft is good. It is written alone,
        since its long prompt would delay others. The last request names the last draft's fault.
        """
        others = _others(self._request, first, total)
        chat = replace(self._as_chat, conversation=None)
        is_good = self._judge.is_good(self._answers[-1])
        if others and self._as_chat is not self._request:
            params = replace(chat.params, max_tokens=others[0].params.max_tokens)
            others.insert(is_good, replace(chat, params=params))
            del others[total - 1 :]
            for one in others[: 1 + is_good]:
                yield [one]
            del others[: 1 + is_good]
        answer = self._answers[-1]
        if others and isinstance(chat.prompt, tuple) and (why := self._judge.complaint(answer)):
            turns = Message("assistant", code_block(answer.source)), Message("user", why)
            others[-1] = replace(chat, prompt=(*chat.prompt, *turns), params=others[-1].params)
        yield others

    def _interrupted(self, first: Completion) -> PromptInterrupted:
        """Return the error of an interrupt, with the best draft so far."""
        draft = self._with_parts(CodeAnswer(completion=first, cells=(), request=self._request))
        draft = self._chosen() if self._answers else draft
        shown = replace(draft.completion, text=code_block(draft.completion.text), token_ids=None)
        interrupted = PromptInterrupted(shown, best=shown.text)
        interrupted.draft = draft
        return interrupted


def _others(request: Request, first: Completion, total: int) -> list[Request]:
    """Return requests for more drafts of the same prompt, about as short as the first."""
    params = request.params
    if params.max_tokens is not None:
        most = max(2 * first.usage.completion_tokens, _LEAST_TOKENS)
        params = replace(params, max_tokens=min(params.max_tokens, most))
    again = replace(request, params=params, conversation=None)
    return [varied(again, number, is_exact=first.exact) for number in range(1, total)]
