"""Limits of a server's replies; all bytes from servers pass here."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import httpx2  # which the openai package sends by; only `wire` imports this module, when asked

from jupyter_llm.common.tables import human_size
from jupyter_llm.errors import ServerError

_MOST_BYTES = 8 << 20  # of a reply without streaming: 64 vectors of 4096 numbers take 6 MB
_MOST_EVENT_BYTES = 1 << 20
_MOST_STREAM_BYTES = 64 << 20
_MOST_ERROR_BYTES = 64 << 10  # one line of it is shown
_MOST_BRACKETS = 100_000  # each may become an object of 200 bytes
_MOST_EVENTS = 200_000  # more than any answer has tokens
_EVENT_END = re.compile(rb"\r?\n\r?\n|\r\r")


class BoundedBody(httpx2.AsyncByteStream):
    """The body of a reply; reading raises `ServerError` if it exceeds a limit.

    The limits hold for a whole reply, or for each event of a stream, because events are parsed one
    by one. A refusal's body ends at its limit without an error, since it is only shown.
    """

    def __init__(self, response: httpx2.Response, host: str) -> None:
        coding = response.headers.get("content-encoding") or "identity"
        if coding.lower() != "identity":
            # A few compressed bytes may exceed the memory.
            reason = f"sent a compressed reply ({coding!r:.40}), which jupyter_llm does not read."
            raise ServerError(host, reason, status=response.status_code)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self._body, self._host = response.stream, host
        self._pieces = aiter(self._body)
        self._is_streamed = "event-stream" in response.headers.get("content-type", "")
        self._is_refusal = response.is_error
        self._most = _MOST_EVENT_BYTES if self._is_streamed else _MOST_BYTES

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """Yield the body piece by piece."""
        total = size = num_brackets = num_events = 0
        before = b""  # the end of the last piece, which may contain part of an event's end
        async for piece in self._pieces:
            total += len(piece)
            if self._is_refusal and total > _MOST_ERROR_BYTES:
                return
            *ended, rest = _EVENT_END.split(before + piece) if self._is_streamed else (piece,)
            size = len(rest) if ended else size + len(piece)
            num_events += len(ended)
            brackets = rest.count(b"[") + rest.count(b"{")
            num_brackets = brackets if ended else num_brackets + brackets
            before = rest[-3:]
            if size > self._most or total > _MOST_STREAM_BYTES:
                most = self._most if size > self._most else _MOST_STREAM_BYTES
                raise self._excess(human_size(most))
            if num_brackets > _MOST_BRACKETS:
                raise self._excess(f"{_MOST_BRACKETS:,} lists and objects")
            if num_events > _MOST_EVENTS:
                raise self._excess(f"{_MOST_EVENTS:,} events")
            yield piece

    async def aclose(self) -> None:
        """Close the connection, or return it to the pool."""
        if isinstance(self._pieces, AsyncGenerator):  # its finalizer may run in another thread
            await self._pieces.aclose()
        await self._body.aclose()

    def _excess(self, most: str) -> ServerError:
        reason = f"sent more than {most} in one reply; the rest was discarded."
        return ServerError(self._host, reason, status=200)
