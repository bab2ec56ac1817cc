"""Answers calls: the model writes while the event loop goes on, and who hangs up is cancelled."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from jupyter_llm import errors
from jupyter_llm.common.controls import one_line
from jupyter_llm.engine.completion import Chunk, Completion
from jupyter_llm.frontends.serve.replies import Answered, Envelope, failure

if TYPE_CHECKING:
    from starlette.types import Receive

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.request import Request
    from jupyter_llm.frontends.serve.calls import AnswerCall, Wish

logger = logging.getLogger(__name__)

T = TypeVar("T")

Piece = tuple[int, Chunk | Answered]
"""What was written of one of several answers, or in the end what came of it."""

_AT_ONCE = 32  # answers to one call: more would keep the engine from cells
# The status and code of what went wrong; clients ask again by themselves from 500 on.
_FAILURES: tuple[tuple[type[Exception], int, str | None], ...] = (
    (errors.ModelNotFoundError, 404, "model_not_found"),
    (errors.ContextOverflowError, 400, "context_length_exceeded"),
    (errors.NotAllowedError, 403, None),
    (errors.EngineClosedError, 503, None),
    (errors.ModelLoadError, 503, None),
    (ValueError, 400, None),
    (errors.JupyterLLMError, 500, None),
)


def refused(error: Exception) -> Response:
    """What a client is told of what went wrong."""
    if not isinstance(error, errors.JupyterLLMError):
        logger.error("A call could not be answered", exc_info=error)
        return JSONResponse(failure("A bug: the kernel's log has it.", 500), 500)
    status, code = next((s, c) for kind, s, c in _FAILURES if isinstance(error, kind))
    told = failure(one_line(str(error)), status, code)
    if isinstance(error, errors.ContextOverflowError):  # as llama-server has it
        told["error"]["message"] = str(error).partition(" Shorten it")[0]
        told["error"] |= {"n_prompt_tokens": error.num_tokens, "n_ctx": error.n_ctx}
    return JSONResponse(told, status)


async def unless_gone(receive: Receive, work: Coroutine[object, object, T]) -> T:
    """Do work to its end; `ClientDisconnect` where the client has hung up before."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def answer(
    receive: Receive, call: AnswerCall, engine: Engine, wishes: Sequence[Wish], envelope: Envelope
) -> Response:
    """Answer a call, whole or as it is written.

    Nothing is sent before there is a first piece, so that whatever fails by then has its status.
    """
    pieces = _granted(engine, wishes)
    if call.stream:
        first = await unless_gone(receive, anext(pieces))
        has_usage = call.stream_options.include_usage
        events = _events(first, pieces, envelope, has_usage=has_usage)
        return StreamingResponse(events, media_type="text/event-stream")

    async def all_of_them() -> list[Answered]:
        found = {index: piece async for index, piece in pieces if isinstance(piece, Answered)}
        return [found[index] for index in sorted(found)]

    told = json.dumps(envelope.whole(await unless_gone(receive, all_of_them())))
    return Response(told, media_type="application/json")  # ASCII: an echo may be half a character


async def _events(
    first: Piece, pieces: AsyncGenerator[Piece], envelope: Envelope, *, has_usage: bool
) -> AsyncGenerator[str]:
    """Yield the events that a client is sent."""
    begun: set[int] = set()
    answers: list[Answered] = []
    told: Piece | None = first
    async with aclosing(pieces):
        try:
            while told is not None:
                answers += [told[1]] if isinstance(told[1], Answered) else []
                yield _event(envelope.told(*told, begun))
                told = await anext(pieces, None)
        except errors.JupyterLLMError as error:
            yield _event(json.loads(bytes(refused(error).body)))
            return
    if has_usage:
        yield _event(envelope.usage(answers))
    yield "data: [DONE]\n\n"


def _event(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"


async def _granted(engine: Engine, wishes: Sequence[Wish]) -> AsyncGenerator[Piece]:
    """Yield the pieces of all answers as they come; who leaves cancels them."""
    pieces: asyncio.Queue[tuple[int, Chunk | Answered | Exception]] = asyncio.Queue()
    room = asyncio.Semaphore(_AT_ONCE)

    async def ask(index: int, request: Request | None, *, is_told: bool) -> Completion | None:
        if request is None:
            return None
        stream = await run_sync(engine.submit, request)  # it may compile a shape
        async for chunk in stream.achunks():
            if is_told:
                pieces.put_nowait((index, chunk))
        return stream.result()

    async def grant(index: int, wish: Wish) -> None:
        async with room:
            try:
                read = await ask(index, wish.reading, is_told=False)
                if wish.echo:
                    pieces.put_nowait((index, Chunk(wish.echo)))
                completion = await ask(index, wish.request, is_told=True)
                answered = Answered(wish=wish, completion=completion, read=read)
                pieces.put_nowait((index, answered))
            except Exception as error:  # noqa: BLE001  raised where it is waited for
                pieces.put_nowait((index, error))

    tasks = [asyncio.create_task(grant(*numbered)) for numbered in enumerate(wishes)]
    try:
        num_left = len(tasks)
        while num_left:
            index, piece = await pieces.get()
            if isinstance(piece, Exception):
                raise piece
            num_left -= isinstance(piece, Answered)
            yield index, piece
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
