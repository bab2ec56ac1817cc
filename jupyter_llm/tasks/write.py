"""Code for cells: asks a model for Python, and takes the best of a few drafts that were tried."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from string import ascii_letters
from typing import TYPE_CHECKING

from jupyter_llm.chat.needed import sources_that_ran
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.tasks.begun import BegunStream
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, fenced, new_cells
from jupyter_llm.tasks.drafts import VARIED_TEMPERATURE, counted_on
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterator, Sequence

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.plan import Plan
    from jupyter_llm.chat.script import Script
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.tasks.tries import Tries

    Streams = Sequence[tuple[Request, Stream]]

NUM_DRAFTS = 4
_SCRIPT_SHARE = 2  # as long takes a draft in the chat as one that goes on with a program
_TIMES = 3  # as long as the first draft took, and no longer, are all written and tried
_LEAST_S = 3.0  # which is not worth hurrying
_TRY_S = 2.0  # that a draft which is there may be tried in any case
_LEAST_TOKENS = 200  # that another draft may have, however short the first is
_TICK_S = 0.1
_END = "\n```"
# A program that goes on: where its next cell or a new paragraph would follow, the code is there. It
# begins with code, or else a model says the request in other words.
_SCRIPT_ENDS = ("\n# In[", "\n\n\n# ", "\n\n\n\n")
_BEGINNINGS = BeginsWith(tuple(ascii_letters + "_([{@"))


def write_in_chat(
    chat: Chat,
    asked: Asked,
    *,
    namespace: Container[str] = (),
    tries: Tries | None = None,
    show: Callable[[Stream], Completion] = lambda stream: stream.result(),
    show_progress: ShowProgress | None = None,
) -> tuple[CodeAnswer, Plan]:
    """Send a prompt to a chat that is answered with code that parses, and wait for it.

    Of a few drafts the best becomes the turn, which is there when it is; `write_code` explains
    `show` and `show_progress`, which is told of the loading, too. The code may use the names of
    `namespace`; with `tries` it is tried first. What the prompt was made of is returned, too.
    """
    ran = sources_that_ran(chat.timeline.snapshot().cells)
    judge = Judge(names=namespace, tries=tries, ran=ran, asked=asked.prompt)
    with chat.sending(asked.for_code(), show_progress) as sending:
        script = sending.plan.script
        try:
            answer = write_code(
                sending.engine,
                sending.request,
                judge,
                script=script,
                show=show,
                show_progress=show_progress,
            )
        except PromptInterrupted as interrupt:
            draft, shown = interrupt.draft, interrupt.completion
            if isinstance(draft, CodeAnswer) and draft.completion.text and shown is not None:
                chat.take_in(sending, shown, draft.request, draft.completion, draft.whole)
            raise
        answer = replace(answer, cells=new_cells(answer.cells, namespace))
        shown = replace(answer.completion, text=answer.text, token_ids=None)
        chat.take_in(sending, shown, answer.request, answer.completion, answer.whole)
    return answer, sending.plan


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
) -> CodeAnswer:
    """Let a model write code for a cell.

    The answer begins with a fence of Python and ends where that is closed. With `begin` that much
    of the code is given: the cells have it too, but a draft that adds nothing has none. The `judge`
    tries the first draft; if that is not good, more are drawn at once and the first good one is
    taken, or else the best. With a `script` the first goes on with that program, and the second is
    the likeliest answer to the request itself. The last mends what is known to be wrong with the
    first. What does not parse is repaired.
    With a seed the drafts count on from it. Where the request leaves the temperature to the model,
    the first draft is drawn as code should be, and the others vary more.

    `show` is given the stream of the first draft, to read it to its end, and `show_progress` is
    told which of the others is being written or tried. They take at most twice the time of the
    first; drafts that are to come out the same again are only kept as short.

    Raises
    ------
    PromptInterrupted
        The user interrupted; it holds the best draft so far, as far as it was written.
    """
    judge = judge or Judge()
    asked = request.params
    params = asked.filled(engine.info.sampling.for_code)
    request = replace(
        request,
        params=replace(params, stop=(*params.stop, _END)),
        answer_prefix=ANSWER_PREFIX + begin,
    )
    began_s = time.monotonic()
    first_request = request if script is None else _going_on(request, script)
    stream = engine.submit(first_request)
    try:
        with stream:
            show(_FencedStream(stream))
            first = stream.result()
    except PromptInterrupted as interrupt:
        if interrupt.completion is not None:
            written = stream.future.result()  # without the fence
            interrupt.draft = CodeAnswer(completion=written, cells=(), request=first_request)
        raise
    drafts = _Drafts(
        engine=engine,
        judge=judge,
        total=num_drafts,
        took_s=(time.monotonic() - began_s) * (1 if script is None else _SCRIPT_SHARE),
        is_varied=asked.temperature is None or asked.temperature == 0,
        show_progress=show_progress,
    )
    answers: list[CodeAnswer] = []
    try:
        with closing(drafts.read(first, first_request, request)) as read:
            for answer in read:
                answers.append(answer)
                if judge.is_good(answer):
                    break
    except KeyboardInterrupt:
        draft = CodeAnswer(completion=first, cells=(), request=first_request)
        draft = max(answers, key=judge.merit, default=draft)
        kept = _in_fence(draft.completion)
        interrupted = PromptInterrupted(kept, best=kept.text)
        interrupted.draft = draft
        raise interrupted from None
    best = max(answers, key=judge.merit)  # of equals the earliest
    return replace(best, num_drafts=len(answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drafts:
    """The drafts of one answer, of which the first took `took_s` seconds, or would have."""

    engine: Engine
    judge: Judge
    total: int
    took_s: float
    is_varied: bool
    show_progress: ShowProgress | None

    def read(
        self, first: Completion, first_request: Request, request: Request
    ) -> Generator[CodeAnswer]:
        """The first draft, and if more are wanted, others as they are there.

        Those that fail are left out, since there is a draft already.
        """
        answer = self._judged(first, first_request, 1)
        yield answer
        if first.finish_reason == "cancelled" or self.total == 1:
            return
        end_s = time.monotonic() + max(_LEAST_S, (_TIMES - 1) * self.took_s)
        streams: list[tuple[Request, Stream]] = []
        try:
            for again in self._requests(request, answer):
                with suppress(JupyterLLMError):
                    streams.append((again, self.engine.submit(again)))
            is_fixed = request.params.seed is not None or request.params.temperature == 0
            finished = self._in_order(streams) if is_fixed else self._by_end(streams, end_s)
            for number, (again, stream) in enumerate(finished, 2):
                if stream.future.exception() is None:
                    until_s = None if is_fixed else end_s
                    yield self._judged(stream.future.result(), again, number, until_s)
        finally:
            for _request, stream in streams:
                stream.cancel()

    def _judged(
        self, completion: Completion, request: Request, number: int, end_s: float | None = None
    ) -> CodeAnswer:
        # What is to come out the same again gets the whole time, whenever it is there: the clock
        # then decides only about code that itself takes about as long.
        left_s = TIMEOUT_S if end_s is None else max(end_s - time.monotonic(), _TRY_S)
        step = "Trying the code" if number == 1 else f"Trying draft {number} of {self.total}"
        return self.judge.read(completion, request, timeout_s=min(left_s, TIMEOUT_S), step=step)

    def _requests(self, request: Request, first: CodeAnswer) -> Iterator[Request]:
        """Yield what asks for other drafts; they share the prompt, and none belongs to a chat."""
        params = request.params
        if params.max_tokens is not None:
            most = max(2 * first.completion.usage.completion_tokens, _LEAST_TOKENS)
            params = replace(params, max_tokens=min(params.max_tokens, most))
        complaint = self.judge.complaint(first) if isinstance(request.prompt, tuple) else ""
        for number in range(1, self.total):
            again = replace(request, params=counted_on(params, number), conversation=None)
            # It has more to be read, which would hold up the others.
            if number == self.total - 1 and complaint:
                yield _mending(again, first, complaint)
            elif self.is_varied and not (number == 1 and first.request is not request):
                yield _varied(again, number, is_exact=first.completion.exact)
            else:
                yield again

    def _in_order(self, streams: Streams) -> Iterator[tuple[Request, Stream]]:
        """Yield drafts in the order of their seeds, so that the same one is chosen again."""
        for number, (request, stream) in enumerate(streams, 2):
            self._tell(number)
            while not stream.future.done():
                wait([stream.future], timeout=_TICK_S)
                self._tell(number)
            yield request, stream

    def _by_end(self, streams: Streams, end_s: float) -> Iterator[tuple[Request, Stream]]:
        """Yield drafts as they are finished, until the time is over."""
        waiting = {stream.future: (request, stream) for request, stream in streams}
        while waiting:
            left_s = max(0.0, end_s - time.monotonic())
            done, _ = wait(waiting, min(left_s, _TICK_S), FIRST_COMPLETED)
            if not done and not left_s:
                return
            for future in [future for future in waiting if future in done]:
                yield waiting.pop(future)
            if waiting:
                self._tell(2 + len(streams) - len(waiting))

    def _tell(self, number: int) -> None:
        if self.show_progress is not None:
            self.show_progress(Step(f"Draft {number} of {self.total}"))


def _going_on(request: Request, script: Script) -> Request:
    """A request for the same code as what comes next in a program."""
    params = replace(request.params, stop=(*request.params.stop, *_SCRIPT_ENDS, *script.ends))
    return replace(
        request, prompt=script.prompt, answer_prefix="", constraint=_BEGINNINGS, params=params
    )


def _mending(request: Request, draft: CodeAnswer, complaint: str) -> Request:
    """A request for a draft without what is wrong with another."""
    said = Message("assistant", fenced(draft.source))
    assert isinstance(request.prompt, tuple)
    return replace(request, prompt=(*request.prompt, said, Message("user", complaint)))


def _varied(request: Request, number: int, *, is_exact: bool) -> Request:
    """A request for a draft that is to be unlike the first one.

    What was to be the likeliest text comes out the same again, too, if the first one does.
    """
    params = request.params
    if params.temperature == 0 and params.seed is None:
        params = replace(params, seed=number, exact=params.exact if is_exact else False)
    temperature = max(params.temperature or 0, VARIED_TEMPERATURE)
    return replace(request, params=replace(params, temperature=temperature))


def _in_fence(completion: Completion) -> Completion:
    return replace(completion, text=fenced(completion.text), token_ids=None)


class _FencedStream(BegunStream):
    """The stream of an answer that was opened with a fence, as Markdown with it."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream, ANSWER_PREFIX, waits=True)

    def _begun(self, completion: Completion) -> Completion:
        return _in_fence(completion) if completion.text else completion
