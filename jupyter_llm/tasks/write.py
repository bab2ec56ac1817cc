"""Code for cells: text that a model writes becomes cells, is tried, and the best of it lands."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.ask.drafts import drawn, varied
from jupyter_llm.chat.script import sources_that_ran
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.tasks.begun import BegunStream
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, fenced, new_cells
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.branches import Sending
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.script import Script
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.tasks.tries import Tries

NUM_DRAFTS = 4
LEAST_S = 3.0  # in which all other drafts are written and tried, or twice the time of the first
_TRY_S = 2.0  # that a draft which is there may be tried in any case
_LEAST_TOKENS = 200  # that another draft may have, however short the first is
_END = "\n```"


def write_in_chat(
    chat: Chat,
    asked: Asked,
    *,
    namespace: Container[str] = (),
    tries: Tries | None = None,
    show: Callable[[Stream], Completion] = lambda stream: stream.result(),
    show_progress: ShowProgress | None = None,
) -> tuple[CodeAnswer, Sending]:
    """Send a prompt to a chat that is answered with code that parses, and wait for it.

    Of a few drafts the best becomes the turn, which is there when it is; `write_code` explains
    `show` and `show_progress`, which is told of the loading, too. The code may use the names of
    `namespace`; with `tries` it is tried first. What the prompt was made of is returned, too.
    """
    ran = sources_that_ran(chat.timeline.snapshot().cells)
    judge = Judge(names=namespace, tries=tries, ran=ran, asked=asked.prompt)
    with chat.sending(asked.for_code(), show_progress) as sending:
        script = sending.script
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
) -> CodeAnswer:
    """Let a model write code for a cell.

    The answer begins with a fence of Python and ends where that is closed; with a `script` it goes
    on with that program. With `begin` that much of the code is given: the cells have it too, but a
    draft that adds nothing has none. The `judge` tries the first draft. Where it gives nothing, the
    program writes one more cell; where nothing good has come of that, more are drawn at once from
    the same prompt, and the best is taken. In a chat the last is told what the first has raised.
    What does not parse is repaired. With a seed the drafts count on from it.

    `show` is given the stream of the first draft, to read it to its end, and `show_progress` is
    told which of the others is being written or tried. They take at most twice the time of the
    first; drafts that are to come out the same again are only kept as short.

    Raises
    ------
    PromptInterrupted
        The user interrupted; it holds the best draft so far, as far as it was written.
    """
    judge = judge or Judge()
    params = request.params.filled(engine.info.sampling.for_code)
    request = replace(
        request,
        params=replace(params, stop=(*params.stop, _END)),
        answer_prefix=ANSWER_PREFIX + begin,
    )
    if script is not None:
        request = script.first(request)
    began_s = time.monotonic()
    stream = engine.submit(request)
    try:
        with stream:
            show(BegunStream(stream, ANSWER_PREFIX, waits=True, finish=fenced))
            first = stream.result()
    except PromptInterrupted as interrupt:
        if interrupt.completion is not None:
            written = stream.future.result()  # without the fence
            interrupt.draft = CodeAnswer(completion=written, cells=(), request=request)
        raise
    is_fixed = params.seed is not None or params.temperature == 0  # it comes out the same again
    took_s = time.monotonic() - began_s

    def read(
        requests: list[Request], count: int, total: int, end_s: float | None = None
    ) -> Iterator[CodeAnswer]:
        """Yield drafts as they are there; those that fail are left out, since there is one."""
        with (
            suppress(JupyterLLMError),
            closing(
                drawn(engine, requests, show_progress=show_progress, first=count, end_s=end_s)
            ) as found,
        ):
            for number, (again, completion) in enumerate(found, count):
                left_s = TIMEOUT_S if end_s is None else max(end_s - time.monotonic(), _TRY_S)
                step = f"Trying draft {number} of {total}"
                yield judge.read(completion, again, timeout_s=min(left_s, TIMEOUT_S), step=step)

    answers: list[CodeAnswer] = []
    try:
        answers.append(judge.read(first, request, step="Trying the code"))
        is_over = judge.is_good(answers[0]) or first.finish_reason == "cancelled"
        if not is_over and script is not None and judge.lacks(answers[0]):
            following = script.following(request, first.text.rstrip())
            both = [*answers, *read([replace(following, conversation=None)], 1, 1)]
            answers = [max(both, key=judge.merit)]
        if not is_over and not judge.is_good(answers[0]):
            others = _others(request, first, num_drafts)
            if (
                others
                and isinstance(request.prompt, tuple)
                and (why := judge.complaint(answers[0]))
            ):
                said = Message("assistant", fenced(answers[0].source)), Message("user", why)
                others[-1] = replace(others[-1], prompt=(*request.prompt, *said))
            end_s = None if is_fixed else time.monotonic() + max(LEAST_S, 2 * took_s)
            for answer in read(others, 2, num_drafts, end_s):
                answers.append(answer)
                if judge.is_good(answer):
                    break
    except KeyboardInterrupt:
        draft = CodeAnswer(completion=first, cells=(), request=request)
        draft = max(answers, key=judge.merit, default=draft)
        shown = replace(draft.completion, text=fenced(draft.completion.text), token_ids=None)
        interrupted = PromptInterrupted(shown, best=shown.text)
        interrupted.draft = draft
        raise interrupted from None
    best = max(answers, key=judge.merit)  # of equals the earliest
    return replace(best, num_drafts=len(answers))


def _others(request: Request, first: Completion, total: int) -> list[Request]:
    """What asks for more drafts of the same prompt, about as short as the first."""
    params = request.params
    if params.max_tokens is not None:
        most = max(2 * first.usage.completion_tokens, _LEAST_TOKENS)
        params = replace(params, max_tokens=min(params.max_tokens, most))
    again = replace(request, params=params, conversation=None)
    return [varied(again, number, is_exact=first.exact) for number in range(1, total)]
