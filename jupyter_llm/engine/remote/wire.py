"""The connection to one server: requests, replies, errors and retries."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from jupyter_llm._version import __version__
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.protocol import at, count, words_of
from jupyter_llm.engine.stream import check_may_wait, run_the_model_here
from jupyter_llm.errors import (
    ContextOverflowError,
    EngineClosedError,
    JupyterLLMError,
    MissingLibraryError,
    ServerError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = {False: 5, True: 10}
"""Tries by bulk or not: 0.5, 1, 2 and 4 seconds apart for a waiting user, a minute in bulk."""

FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 8.0
_LONGEST_PAUSE_S = 120.0  # longest pause that a server may request
_MOST_RETRY_AFTER_S = 1e7  # larger values are nonsense
_OF_TLS = {
    "WRONG_VERSION_NUMBER": "does not speak https; try http://.",
    "CERTIFICATE_VERIFY_FAILED": "has no certificate that this machine trusts.",
}
_CONNECT_S = 5.0
SILENCE_S = 600.0  # until the whole reply, or the next word of a stream
QUERY_S = 15.0  # until a query of facts is answered, which is quick
_CLOSE_TIMEOUT_S = 5.0
_MOST_ERROR_CHARS = 300  # characters of a server's message
_MAY_PASS = {408, 409, 429, *range(500, 600)} - {501}
# All headers of a request. The client would add a description of the system, and values of the
# environment: another server's key, an organisation.
_HEADERS = {"host", "accept", "connection", "content-type", "content-length", "transfer-encoding"}


class Wire:
    """Sends requests to one server and reads replies, all on its own thread.

    Cancelling closes the connection at once. Each reply has a deadline and limits (`replies`).
    Anything that cannot be read becomes a `ServerError`.
    """

    def __init__(self, address: Address) -> None:
        try:
            import openai

            from jupyter_llm.engine.remote.replies import BoundedBody
        except ImportError as error:
            raise MissingLibraryError("A model on a server", error, "remote") from None
        address.key()  # fails before a thread starts
        self._openai, self._bounded, self.address = openai, BoundedBody, address
        self._open_at_s = 0.0  # earliest time of the next request
        try:
            self._client = openai.AsyncOpenAI(
                base_url=address.url,
                api_key="-",  # `_dress` adds the real one
                max_retries=0,
                timeout=openai.Timeout(None, connect=_CONNECT_S),
                http_client=openai.DefaultAsyncHttpxClient(
                    follow_redirects=False,  # text is only sent to the user's choice
                    trust_env=address.url.startswith("https:"),  # no proxy for unencrypted text
                    event_hooks={"request": [self._dress], "response": [self._bound]},
                ),
            )
        except Exception as error:  # noqa: BLE001 the client raises any error
            reason = f"cannot be asked with this machine's proxy or certificates: {error}"
            raise ServerError(address.host, one_line(reason)) from None
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._lock = threading.Lock()  # no work starts after the end
        self._pid = os.getpid()
        self.is_closed = False
        """Whether it was closed."""
        self._thread = start_worker(self._run, "jupyter-llm-remote")

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start work on the wire's thread; it raises only errors of ours."""

        async def guarded() -> T:
            try:
                return await work()
            except JupyterLLMError:
                raise
            except Exception as bug:  # noqa: BLE001 a server may send anything
                error = self.unreadable(bug)
            raise error

        with self._lock:
            self.check_open()
            return asyncio.run_coroutine_threadsafe(guarded(), self._loop)

    def check_open(self) -> None:
        """Raise `EngineClosedError` if the connection is closed."""
        if self._pid != os.getpid():
            raise EngineClosedError(
                "The server is asked by the parent process, and a forked process cannot use its "
                "connections. Ask from the notebook itself, use threads, or 'spawn'."
            )
        if self.is_closed:
            raise EngineClosedError(f"{self.address.host} was let go. Ask again to use it.")

    def call(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Do work there and wait for it."""
        check_may_wait()
        future = self.start(partial(work, *arguments))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise PromptInterrupted from None
        except CancelledError:
            raise EngineClosedError("The server was let go while it was asked.") from None

    async def query(self, url: str, body: object = None) -> Any:
        """Return a server's facts; loading a model waits for this."""
        return await self.ask(url, body, tries=2, limit_s=QUERY_S)

    async def ask(
        self,
        url: str,
        body: object = None,
        *,
        tries: int = TRIES[False],
        limit_s: float | None = None,
    ) -> Any:
        """Send a request, or only a query, and return the reply's JSON."""
        limit_s = limit_s or SILENCE_S

        async def attempt() -> Any:
            send = self._client.get if body is None else partial(self._client.post, body=body)
            with self._faults(limit_s):
                async with asyncio.timeout(limit_s):
                    data = await send(url, cast_to=object)
            if not isinstance(data, dict | list):
                raise self._nonsense(str(data))
            return data

        return await self.trying(attempt, tries)

    async def events(self, url: str, body: object) -> AsyncGenerator[object]:
        """Send a request, and yield the events of its reply; no retry."""
        more: Any = {"stream": True, "stream_cls": self._openai.AsyncStream[object]}
        with self._faults(SILENCE_S):
            send = self._client.post(url, cast_to=object, body=body, **more)
            async with asyncio.timeout(SILENCE_S) as limit, await send as stream:
                if "event-stream" not in stream.response.headers.get("content-type", ""):
                    raise self._nonsense((await stream.response.aread()).decode(errors="replace"))
                async for event in stream:
                    if any(words_of(at(event, dict, "choices"))):
                        limit.reschedule(self._loop.time() + SILENCE_S)
                    yield event

    async def trying(
        self,
        attempt: Callable[[], Awaitable[T]],
        tries: int,
        is_shown: Callable[[], bool] = lambda: False,
    ) -> T:
        """Try up to `tries` times, if the failure may be temporary.

        Nothing is repeated after the user has seen a part of it.
        """
        for number in range(tries):
            await asyncio.sleep(self._open_at_s - time.monotonic())
            try:
                return await attempt()
            except JupyterLLMError as error:
                failed = error
            failed.__context__ = None  # it contains the key, and so do its frames
            may_pass = isinstance(failed, ServerError) and failed.may_pass
            if not may_pass or number + 1 == tries or is_shown():
                raise failed.with_traceback(None)
            pause_s = min(FIRST_PAUSE_S * 2**number, _MOST_PAUSE_S)
            pause_s *= 1 - random.random() / 4  # noqa: S311 spreads the retries
            pause_s = max(pause_s, self._open_at_s - time.monotonic())
            logger.debug("%s Again in %.1f s", failed, pause_s)
            await asyncio.sleep(pause_s)
        raise AssertionError

    def close(self) -> None:
        """End all work, and the thread."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if not self.is_closed:
                self._loop.call_soon_threadsafe(self._end.set)
            self.is_closed = True
        self._thread.join(_CLOSE_TIMEOUT_S)

    def unreadable(self, bug: Exception) -> ServerError:
        """Return the error of a malformed reply: wrong types, numbers out of range."""
        logger.debug("A reply of %s cannot be read", self.address.host, exc_info=bug)
        reason = f"sent a reply that cannot be read: {self._clean(f'{type(bug).__name__}: {bug}')}"
        return ServerError(self.address.host, f"{reason.rstrip('.')}.", status=200)

    def lost(self, reason: str, *, status: int = 0) -> ServerError:
        """Return the error of a missing or broken reply: the request may be repeated."""
        return ServerError(self.address.host, reason, status=status, may_pass=True)

    def _run(self) -> None:
        run_the_model_here()
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._end.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def _dress(self, request: Any) -> None:
        """Remove all headers but the necessary ones, and add the key."""
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["user-agent"] = f"jupyter_llm/{__version__}"
        request.headers["accept-encoding"] = "identity"
        if (key := self.address.key()) is not None:
            request.headers["authorization"] = f"Bearer {key}"

    async def _bound(self, response: Any) -> None:
        """Limit the reply."""
        response.stream = self._bounded(response, self.address.host)

    # -- errors --------------------------------------------------------------------------------

    @contextmanager
    def _faults(self, limit_s: float) -> Iterator[None]:
        """Convert the client's errors to ours; a reply has a limit in seconds."""
        openai, fails = self._openai, partial(ServerError, self.address.host)
        try:
            yield
        except openai.APIStatusError as error:
            raise self._refusal(error.response, error.body) from None
        except openai.APITimeoutError:  # only while connecting
            is_tls = self.address.url.startswith("https:")  # the server may not speak it
            hint = " If it does not speak https, try http://." if is_tls else ""
            raise self.lost(f"cannot be reached: it does not answer.{hint}") from None
        except TimeoutError:
            message = f"sent no complete reply within {limit_s:g} s; it may be busy."
            raise fails(message) from None
        except openai.APIConnectionError as error:
            message = self._clean(str(error.__cause__ or error)).rstrip(".")
            for sign, reason in _OF_TLS.items():
                if sign in message:
                    raise fails(reason) from None
            raise self.lost(f"cannot be reached, or was lost: {message}.") from None
        except openai.APIError as error:  # in the middle of an answer
            raise self.lost(
                f"broke the answer off: {self._error_text(error.body)}.", status=200
            ) from None
        except (ValueError, RecursionError):
            raise self.lost("sent what is none of OpenAI's protocol.") from None

    def _refusal(self, response: Any, body: object) -> JupyterLLMError:
        """Return the error for a status that is no success."""
        status, env, message = (
            response.status_code,
            self.address.api_key_env,
            self._error_text(body),
        )
        num_tokens, n_ctx = count(body, "n_prompt_tokens"), count(body, "n_ctx")
        if num_tokens >= n_ctx > 0:  # as llama-server and our server report it
            return ContextOverflowError(num_tokens, n_ctx)
        reason, pause_s, place = f"refuses ({status}): {message}", 0.0, ""
        with suppress(ValueError):
            pause_s = float(response.headers.get("retry-after", "0"))
        if not 0 <= pause_s < _MOST_RETRY_AFTER_S:  # NaN included
            pause_s = 0.0
        if is_soon := pause_s <= _LONGEST_PAUSE_S:  # applies to all requests
            self._open_at_s = max(self._open_at_s, time.monotonic() + pause_s)
        if 300 <= status < 400:  # noqa: PLR2004
            with suppress(ValueError):
                place = self._clean(urlsplit(response.headers.get("location", "")).netloc)
            place = place or "another path"
            reason = f"sends on to {place}; nothing was sent there. Name it yourself"
        elif status in (401, 403):
            reason = f"refuses the key in {env}" if env else "asks for a key: api_key_env='MY_KEY'"
            reason = f"{reason} ({status}: {message})"
        reason += "" if is_soon else f"; it wants to be asked again in {pause_s:.0f} s"
        may_pass = status in _MAY_PASS and is_soon
        reason = f"{reason.rstrip('.')}."
        return ServerError(self.address.host, reason, status=status, may_pass=may_pass)

    def _nonsense(self, text: str) -> ServerError:
        answer, url = self._error_text(text), self.address.url
        reason = f"answered with {answer}, not as a model does. Is {url} right?"
        return ServerError(self.address.host, reason, status=200)

    def _error_text(self, body: object) -> str:
        """Return a server's error message on one line, "a web page" for HTML."""
        message = (at(body, str, "message") or at(body, str) or "no message").strip()
        return "a web page" if message.startswith("<") else self._clean(message)

    def _clean(self, text: str) -> str:
        """Shorten a server's message and remove the key, which some repeat."""
        with suppress(ServerError):
            text = text.replace(self.address.key() or "\0", "…")
        return f"{one_line(text[: 4 * _MOST_ERROR_CHARS]):.{_MOST_ERROR_CHARS}}"
