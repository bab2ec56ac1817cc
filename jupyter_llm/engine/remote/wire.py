"""The line to one server: what is sent and comes back, what goes wrong on it, and trying again."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jupyter_llm._version import __version__
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.remote.protocol import at, count
from jupyter_llm.engine.remote.protocol import said as words_of
from jupyter_llm.engine.stream import check_may_wait, run_the_model_here
from jupyter_llm.errors import (
    ContextOverflowError,
    EngineClosedError,
    JupyterLLMError,
    MissingLibraryError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
    from concurrent.futures import Future

    from jupyter_llm.engine.remote.address import Address

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = {False: 5, True: 10}
"""Of what is for somebody who waits 0.5, 1, 2 and 4 seconds apart, in bulk for about a minute."""

FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 8.0
_LONGEST_PAUSE_S = 120.0  # that a server may ask for
_MOST_PAUSE_TOLD_S = 1e7  # more than that nobody means
_OF_TLS = {
    "WRONG_VERSION_NUMBER": "does not speak https; try http://.",
    "CERTIFICATE_VERIFY_FAILED": "has no certificate that this machine trusts.",
}
_CONNECT_S = 5.0
SILENCE_S = 600.0  # before a whole reply has come, or the next word of one that is streamed
TELL_S = 15.0  # before it says what it has: who has a model answers at once
_CLOSE_TIMEOUT_S = 5.0
_MOST_SAID = 300  # characters of what a server says
_MAY_PASS = {408, 409, 429, *range(500, 600)} - {501}
# All that goes along with a request. The client would add what describes the system, and what it
# finds in the environment: another server's key, an organisation.
_HEADERS = {"host", "accept", "connection", "content-type", "content-length", "transfer-encoding"}


class Wire:
    """Sends to one server and reads from it, all on a thread of its own.

    What is cancelled closes its connection at once, however far it is. Each reply has a deadline
    and bounds (`replies`); whatever else it may be that cannot be read is one `ServerError`.
    """

    def __init__(self, address: Address) -> None:
        try:
            import openai

            from jupyter_llm.engine.remote.replies import BoundedBody
        except ImportError as error:
            raise MissingLibraryError("A model on a server", error, "remote") from None
        address.key()  # before anything begins
        self._openai, self._bounded, self.address = openai, BoundedBody, address
        self._open_at_s = 0.0  # when the server wants to be asked again
        try:
            self._client = openai.AsyncOpenAI(
                base_url=address.url,
                api_key="-",  # what is sent is put there by `_dress`
                max_retries=0,
                timeout=openai.Timeout(None, connect=_CONNECT_S),
                http_client=openai.DefaultAsyncHttpxClient(
                    follow_redirects=False,  # text goes where the user said, and nowhere else
                    trust_env=address.url.startswith("https:"),  # no proxy reads what is clear
                    event_hooks={"request": [self._dress], "response": [self._bound]},
                ),
            )
        except Exception as error:  # noqa: BLE001  they raise what they like
            said = f"cannot be asked with this machine's proxy or certificates: {error}"
            raise ServerError(address.host, one_line(said)) from None
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._lock = threading.Lock()  # what is begun comes before the end
        self._pid = os.getpid()
        self.is_closed = False
        """Whether it was closed."""
        self._thread = start_worker(self._run, "jupyter-llm-remote")

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin something on the line's thread; all that it raises is an error of ours."""

        async def guarded() -> T:
            try:
                return await work()
            except JupyterLLMError:
                raise
            except Exception as bug:  # noqa: BLE001  of whatever kind: a server may send anything
                error = self.unreadable(bug)
            raise error

        with self._lock:
            self.check_open()
            return asyncio.run_coroutine_threadsafe(guarded(), self._loop)

    def check_open(self) -> None:
        """Refuse to go on where the server was let go."""
        if self._pid != os.getpid():
            raise EngineClosedError(
                "The server is asked by the parent process, and a forked process cannot use its "
                "connections. Ask from the notebook itself, use threads, or 'spawn'."
            )
        if self.is_closed:
            raise EngineClosedError(f"{self.address.host} was let go. Ask again to use it.")

    def call(self, work: Callable[..., Coroutine[Any, Any, T]], *asked: Any) -> T:
        """Do something there and wait for it."""
        check_may_wait()
        future = self.start(partial(work, *asked))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise PromptInterrupted from None
        except CancelledError:
            raise EngineClosedError("The server was let go while it was asked.") from None

    async def tell(self, url: str, body: object = None) -> Any:
        """What a server says of itself, which whoever waits for a model waits for, too."""
        return await self.ask(url, body, tries=2, limit_s=TELL_S)

    async def ask(
        self,
        url: str,
        body: object = None,
        *,
        tries: int = TRIES[False],
        limit_s: float | None = None,
    ) -> Any:
        """Send something, or only ask, and return what comes of it as JSON."""
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
        """Send something, and yield the parts of what comes of it as they come; one try."""
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
        """Try something up to so many times, if it fails in a way that may pass.

        What is shown already is not done again.
        """
        for number in range(tries):
            await asyncio.sleep(self._open_at_s - time.monotonic())
            try:
                return await attempt()
            except JupyterLLMError as error:
                failed = error
            failed.__context__ = None  # it holds the key, and so do the frames that it went through
            may_pass = isinstance(failed, ServerError) and failed.may_pass
            if not may_pass or number + 1 == tries or is_shown():
                raise failed.with_traceback(None)
            pause_s = min(FIRST_PAUSE_S * 2**number, _MOST_PAUSE_S)
            pause_s *= 1 - random.random() / 4  # noqa: S311  so that not all come at once
            pause_s = max(pause_s, self._open_at_s - time.monotonic())
            logger.debug("%s Again in %.1f s", failed, pause_s)
            await asyncio.sleep(pause_s)
        raise AssertionError

    def close(self) -> None:
        """End all that runs, and the thread."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if not self.is_closed:
                self._loop.call_soon_threadsafe(self._end.set)
            self.is_closed = True
        self._thread.join(_CLOSE_TIMEOUT_S)

    def unreadable(self, bug: Exception) -> ServerError:
        """The error of an answer that nobody foresaw: wrong types, numbers beyond all bounds."""
        logger.debug("A reply of %s cannot be read", self.address.host, exc_info=bug)
        said = f"sent a reply that cannot be read: {self._clean(f'{type(bug).__name__}: {bug}')}"
        return ServerError(self.address.host, f"{said.rstrip('.')}.", status=200)

    def lost(self, reason: str, *, status: int = 0) -> ServerError:
        """The error of an answer that did not come, or not as it should: it may be asked again."""
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
        """Let nothing go along with a request but what it needs, and the key."""
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["user-agent"] = f"jupyter_llm/{__version__}"
        request.headers["accept-encoding"] = "identity"
        if (key := self.address.key()) is not None:
            request.headers["authorization"] = f"Bearer {key}"

    async def _bound(self, response: Any) -> None:
        """Let nothing of a reply be read but within its bounds."""
        response.stream = self._bounded(response, self.address.host)

    # -- what goes wrong -----------------------------------------------------------------------

    @contextmanager
    def _faults(self, limit_s: float) -> Iterator[None]:
        """Turn what the client raises into errors of ours; a reply has a limit in seconds."""
        openai, fails = self._openai, partial(ServerError, self.address.host)
        try:
            yield
        except openai.APIStatusError as error:
            raise self._refusal(error.response, error.body) from None
        except openai.APITimeoutError:  # only while it is connected to
            is_tls = self.address.url.startswith("https:")  # which a server may not understand
            hint = " If it does not speak https, try http://." if is_tls else ""
            raise self.lost(f"cannot be reached: it does not answer.{hint}") from None
        except TimeoutError:
            said = f"sent no complete reply within {limit_s:g} s; it may be busy."
            raise fails(said) from None
        except openai.APIConnectionError as error:
            said = self._clean(str(error.__cause__ or error)).rstrip(".")
            for sign, told in _OF_TLS.items():
                if sign in said:
                    raise fails(told) from None
            raise self.lost(f"cannot be reached, or was lost: {said}.") from None
        except openai.APIError as error:  # in the midst of an answer
            raise self.lost(
                f"broke the answer off: {self._said(error.body)}.", status=200
            ) from None
        except (ValueError, RecursionError):
            raise self.lost("sent what is none of OpenAI's protocol.") from None

    def _refusal(self, response: Any, body: object) -> JupyterLLMError:
        """What a status that is no success means."""
        status, env, said = response.status_code, self.address.api_key_env, self._said(body)
        told, n_ctx = count(body, "n_prompt_tokens"), count(body, "n_ctx")
        if told >= n_ctx > 0:  # as llama-server has it, and ours
            return ContextOverflowError(told, n_ctx)
        reason, pause_s, place = f"refuses ({status}): {said}", 0.0, ""
        with suppress(ValueError):
            pause_s = float(response.headers.get("retry-after", "0"))
        if not 0 <= pause_s < _MOST_PAUSE_TOLD_S:  # which is none, or no number at all
            pause_s = 0.0
        if is_soon := pause_s <= _LONGEST_PAUSE_S:  # all others wait as long
            self._open_at_s = max(self._open_at_s, time.monotonic() + pause_s)
        if 300 <= status < 400:  # noqa: PLR2004
            with suppress(ValueError):
                place = self._clean(urlsplit(response.headers.get("location", "")).netloc)
            place = place or "another path"
            reason = f"sends on to {place}; nothing was sent there. Name it yourself"
        elif status in (401, 403):
            reason = f"refuses the key in {env}" if env else "asks for a key: api_key_env='MY_KEY'"
            reason = f"{reason} ({status}: {said})"
        reason += "" if is_soon else f"; it wants to be asked again in {pause_s:.0f} s"
        may_pass = status in _MAY_PASS and is_soon
        reason = f"{reason.rstrip('.')}."
        return ServerError(self.address.host, reason, status=status, may_pass=may_pass)

    def _nonsense(self, text: str) -> ServerError:
        said = (
            f"answered with {self._said(text)}, not as a model does. Is {self.address.url} right?"
        )
        return ServerError(self.address.host, said, status=200)

    def _said(self, body: object) -> str:
        """What a server says of an error, on one line; of a web page that it is one."""
        said = (at(body, str, "message") or at(body, str) or "it does not say why").strip()
        return "a web page" if said.startswith("<") else self._clean(said)

    def _clean(self, text: str) -> str:
        """A server's words, short and without the key, which some repeat."""
        with suppress(ServerError):
            text = text.replace(self.address.key() or "\0", "…")
        return f"{one_line(text[: 4 * _MOST_SAID]):.{_MOST_SAID}}"
