"""Answers calls without blocking the event loop; a client that disconnects cancels its call."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

from anyio import CapacityLimiter, create_task_group
from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Send

from jupyter_llm import errors
from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.tools import CallPiece, ToolCall
from jupyter_llm.common.controls import one_line
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Chunk, Completion
from jupyter_llm.engine.request import Request
from jupyter_llm.frontends.serve.calls import AnswerCall, ChatCall, GuestAnswer

Json = dict[str, Any]

logger = logging.getLogger(__name__)

_AT_ONCE = 32  # simultaneous answers to one call: more would delay the cells
_KINDS = {  # of errors, by Anthropic's names: OpenAI's clients read the status
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    503: "overloaded_error",
}


def failure(status: int, message: str, code: str | None = None, **more: Any) -> JSONResponse:
    """Return an error response for clients of all protocols; `more` are fields of the error.

    Clients retry by themselves if the status is 500 or higher.
    """
    other = "invalid_request_error" if status < 500 else "api_error"  # noqa: PLR2004  HTTP's
    kind = _KINDS.get(status, other)
    details = {"message": message, "type": kind, "param": None, "code": code, **more}
    return JSONResponse({"type": "error", "error": details}, status)


def refused(_request: object, error: Exception) -> JSONResponse:
    """Return the error response for an exception."""
    if isinstance(error, HTTPException):
        return failure(error.status_code, error.detail)
    if isinstance(error, ClientDisconnect):
        return failure(400, "Nobody hears it.")
    if not isinstance(error, errors.JupyterLLMError):
        logger.error("A call could not be answered", exc_info=error)
        return failure(500, "This is a bug of jupyter_llm. The kernel's log has the traceback.")
    if isinstance(error, errors.ContextOverflowError):  # as llama-server reports it
        text, code = str(error).partition(" Shorten the prompt")[0], "context_length_exceeded"
        return failure(400, text, code, n_prompt_tokens=error.num_tokens, n_ctx=error.n_ctx)
    text = one_line(str(error))
    if isinstance(error, errors.ModelNotFoundError):
        return failure(404, text, "model_not_found")
    return failure(400 if isinstance(error, ValueError) else 500, text)


class Answer(StreamingResponse):
    """The answer to a call, whole or streamed.

    Nothing is sent before the first piece, so that an earlier error has its own status.
    """

    def __init__(
        self, call: AnswerCall, engine: Engine, answers: list[GuestAnswer], sender: str
    ) -> None:
        kind = "text/event-stream" if call.stream else "application/json"
        super().__init__((), media_type=kind)
        self._call, self._engine, self._answers, self._sender = call, engine, answers, sender
        for index, answer in enumerate(answers):
            answer.index = index
        self._room = CapacityLimiter(_AT_ONCE)
        self._is_begun = False
        self._is_chat = isinstance(call, ChatCall)
        self._about: Json = {
            "id": f"{'chatcmpl' if self._is_chat else 'cmpl'}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": engine.info.name,
            "system_fingerprint": engine.info.build,
        }

    async def stream_response(self, send: Send) -> None:
        """Let the model write, and send the text; cancelling this cancels the model's answer."""
        self._send = send
        try:
            async with create_task_group() as group:
                for answer in self._answers:
                    group.start_soon(self._write, answer)
        except ExceptionGroup as failed:
            error = failed.exceptions[0]
            if not self._is_begun or not isinstance(error, errors.JupyterLLMError):
                raise error from None
            await self._put(self._failure(bytes(refused(None, error).body)), is_last=True)
            return
        last = self._ending() if self._call.stream else encoded(self._whole())
        await self._put(last, is_last=True)

    async def _write(self, answer: GuestAnswer) -> None:
        async with self._room:
            if answer.reading is not None:
                answer.read = await self._written(answer.reading)
            if answer.echo:
                await self._send_piece(answer, Chunk(answer.echo))
            completion = await self._written(
                answer.request, None if answer.is_echo_only else answer
            )
            if answer.is_echo_only:
                usage = replace(completion.usage, completion_tokens=0)
                completion = replace(completion, text="", usage=usage, logprobs=(), ending=None)
            answer.completion = completion
        await self._send_piece(answer)

    async def _written(self, request: Request, answer: GuestAnswer | None = None) -> Completion:
        """Return the completion of a request; send the pieces of an answer."""
        request = replace(request, sender=self._sender)
        stream = await run_sync(ask, self._engine, request, "guest")  # it may compile a grammar
        async for chunk in stream.achunks():
            if answer is not None:
                await self._send_piece(answer, chunk)
        return stream.result()

    async def _send_piece(self, answer: GuestAnswer, chunk: Chunk | None = None) -> None:
        if self._call.stream:
            for one in self._events(answer, chunk):
                await self._put(one)

    async def _put(self, body: bytes, *, is_last: bool = False) -> None:
        if not self._is_begun:
            self._is_begun = True
            begin = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await self._send(begin)
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    def _whole(self) -> Json:
        """Return the body of an answer that is not streamed."""
        choices = [self._choice(one, "message") for one in self._answers]
        return self._around(choices, "", usage=self._usage())

    def _events(self, answer: GuestAnswer, piece: Chunk | None) -> Iterator[bytes]:
        """Yield the events for a piece of an answer, or for its end (None)."""
        choice = self._choice(answer, "delta", piece)
        if piece is None or choice.get("delta") != {}:  # a tag may have been read
            yield event(encoded(self._around([choice], ".chunk")))

    def _ending(self) -> bytes:
        """Return the end of a stream."""
        done = event(b"[DONE]")
        if self._call.stream_options.get("include_usage"):
            return event(encoded(self._around([], ".chunk", usage=self._usage()))) + done
        return done

    def _failure(self, failed: bytes) -> bytes:
        """Return the end of a failed stream; `failed` is the body of the error's response."""
        return event(failed)

    def _choice(self, answer: GuestAnswer, where: str, piece: Chunk | None = None) -> Json:
        """Return a piece of an answer, or its end with the reason and the log-probabilities."""
        is_end, piece = piece is None, piece or Chunk("")
        if where == "message":  # all of it
            piece = Chunk(answer.echo + answer.completion.text, answer.completion.reasoning)
        choice: Json = {"index": answer.index, "text": piece.text}
        if self._is_chat:
            role = {} if answer.is_begun else {"role": "assistant"}
            thoughts = {"reasoning_content": piece.reasoning} if piece.reasoning else {}
            said = _said(answer, piece.text, is_whole=where == "message", is_last=is_end)
            choice = {"index": answer.index, where: {**role, **said, **thoughts}}
        answer.is_begun = True
        if not is_end:
            return {**choice, "logprobs": None, "finish_reason": None}
        logprobs = _chat_logprobs(answer) if self._is_chat else _text_logprobs(answer)
        return {**choice, "logprobs": logprobs, "finish_reason": finish_reason(answer)}

    def _around(self, choices: list[Json], kind: str, **more: Any) -> Json:
        kind = f"chat.completion{kind}" if self._is_chat else "text_completion"
        return {**self._about, "object": kind, "choices": choices, **more}

    def _usage(self) -> Json:
        """Return the total cost of the answers; a prompt with several answers counts once."""
        each = [one.completion.usage for one in self._answers]
        prompts = each[:: self._call.n]
        num_read = sum(one.prompt_tokens for one in prompts)
        num_written = sum(one.completion_tokens for one in each)
        cached = {"cached_tokens": sum(one.cached_tokens for one in prompts)}
        thought = {"reasoning_tokens": sum(one.reasoning_tokens for one in each)}
        return {
            "prompt_tokens": num_read,
            "completion_tokens": num_written,
            "total_tokens": num_read + num_written,
            "prompt_tokens_details": cached,
            "completion_tokens_details": thought,
        }


def encoded(message: Json) -> bytes:
    """Return JSON in ASCII, since an echo may have a lone surrogate."""
    return json.dumps(message).encode()


def event(data: bytes, name: str = "") -> bytes:
    """Return a server-sent event; in some protocols it has a name."""
    line = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (line, data)


def finish_reason(answer: GuestAnswer) -> str:
    """Return the reason by OpenAI's names: other ends are "length", too."""
    if answer.completion.finish_reason != "stop":
        return "length"
    has_calls = answer.reader.calls and not answer.reader.is_within
    return "tool_calls" if has_calls else "stop"


def read_piece(
    answer: GuestAnswer, text: str, *, is_last: bool = False
) -> tuple[str, list[CallPiece]]:
    """Return the text and the calls in a piece of an answer."""
    return answer.reader.feed(text, is_last=is_last) if answer.tool_names else (text, [])


def _said(answer: GuestAnswer, text: str, *, is_whole: bool, is_last: bool) -> Json:
    """Return the text and the calls in a piece of an answer, or in all of it."""
    text, pieces = read_piece(answer, text, is_last=is_last)
    calls = [_call(answer.reader.calls[one.number], one, is_whole=is_whole) for one in pieces]
    said: Json = {"tool_calls": calls} if calls else {}
    if text or is_whole or not answer.tool_names:
        said["content"] = text or (None if calls else "")
    return said


def _call(call: ToolCall, piece: CallPiece, *, is_whole: bool) -> Json:
    about: Json = {} if is_whole else {"index": piece.number}
    function = {"arguments": piece.arguments}
    if piece.is_first:
        about |= {"id": call.id, "type": "function"}
        function["name"] = call.name
    return {**about, "function": function}


def _chat_logprobs(answer: GuestAnswer) -> Json | None:
    """Return the log-probabilities of a chat's answer, if they were requested."""
    if answer.completion.logprobs is None:
        return None
    tokens = [
        {**_likely(t.text, t.logprob), "top_logprobs": [_likely(*other) for other in t.top]}
        for t in answer.completion.logprobs
    ]
    return {"content": tokens, "refusal": None}


def _likely(text: str, logprob: float) -> Json:
    whole = None if "\ufffd" in text else list(text.encode())  # half a character has no bytes
    return {"token": text, "logprob": logprob, "bytes": whole}


def _text_logprobs(answer: GuestAnswer) -> Json | None:
    """Return the log-probabilities of a raw answer, with its prompt's if that is echoed."""
    if answer.request.params.logprobs is None:
        return None
    read = answer.read.logprobs if answer.read else ()
    tokens = [*(read or ()), *(answer.completion.logprobs or ())]
    if answer.completion.ending is not None:
        tokens.append(answer.completion.ending)  # clients expect one more token
    texts, logprobs = [one.text for one in tokens], [one.logprob for one in tokens]
    # Of tokens with the same text, the likeliest counts.
    tops = [dict([(one.text, one.logprob), *reversed(one.top)]) for one in tokens]
    unknown = [None] * bool(answer.first)
    texts = [*filter(None, [answer.first]), *texts]
    return {
        "tokens": texts,
        "token_logprobs": [*unknown, *logprobs],
        "top_logprobs": [*unknown, *tops],
        "text_offset": list(accumulate(map(len, texts), initial=0))[:-1],
    }
