"""The line to one server: what is sent and comes back, what goes wrong on it, and trying again."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jupyter_llm._version import __version__
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.remote.protocol import at, found
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

TRIES = 5  # 0.5, 1, 2 and 4 seconds apart: whoever waits for the answer hears of it
PATIENT_TRIES = 10  # of rows in bulk: about a minute
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 8.0
_LONGEST_PAUSE_S = 120.0  # that a server may ask for
_CONNECT_S = 10.0
_CLOSE_TIMEOUT_S = 5.0
_MOST_SAID = 300  # characters of what a server says
_MAY_PASS = {408, 409, 429, *range(500, 600)} - {501}
# All that goes along with a request. The client would add what describes the system, and what it
# finds in the environment: another server's key, an organisation.
_HEADERS = {"host", "accept", "connection", "content-type", "content-length", "transfer-encoding"}


class Fault(Exception):  # noqa: N818  users are told of `error`
    """What went wrong with one try, and whether another one may help; after `pause_s` if told."""

    def __init__(
        self, error: JupyterLLMError, *, may_pass: bool = False, pause_s: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error, self.may_pass, self.pause_s = error, may_pass, pause_s


class Wire:
    """Sends to one server and reads from it, all on a thread of its own.

    What is cancelled closes its connection at once, however far it is. A server that has said
    nothing for `silence_s` seconds is given up.
    """

    def __init__(self, address: Address, *, silence_s: float) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingLibraryError("A model on a server", error, "remote") from None
        address.key()  # before anything begins
        self._openai, self.address = openai, address
        self._open_at_s = 0.0  # when the server wants to be asked again
        try:
            self._client = openai.AsyncOpenAI(
                base_url=address.url,
                api_key="-",  # what is sent is put there by `_dress`
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(
                    follow_redirects=False,  # text goes where the user said, and nowhere else
                    # No proxy stands before this machine, and none reads what is sent in clear.
                    trust_env=address.url.startswith("https:") and not address.is_here,
                    event_hooks={"request": [self._dress]},
                ),
            )
        except Exception as error:  # noqa: BLE001  they raise what they like
            said = f"cannot be asked with this machine's proxy or certificates: {error}"
            raise ServerError(address.host, one_line(said)) from None
        self.wait(silence_s)
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._lock = threading.Lock()  # what is begun comes before the end
        self._pid = os.getpid()
        self.is_closed = False
        """Whether it was closed."""
        self._thread = start_worker(self._run, "jupyter-llm-remote")

    def wait(self, silence_s: float) -> None:
        """Give the server up, from now on, when it has said nothing for so long."""
        self._silence_s = silence_s
        self._client.timeout = self._openai.Timeout(silence_s, connect=_CONNECT_S)

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin something on the line's thread."""
        with self._lock:
            self.check_open()
            return asyncio.run_coroutine_threadsafe(work(), self._loop)

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

    async def ask(self, url: str, body: object = None, *, tries: int = TRIES) -> Any:
        """Send something, or only ask, and return what comes of it as JSON."""

        async def attempt() -> Any:
            send = self._client.get if body is None else partial(self._client.post, body=body)
            with self._faults():
                data = await send(url, cast_to=object)
            if not isinstance(data, dict | list):
                raise self._nonsense(str(data))
            return data

        return await self.trying(attempt, tries)

    async def events(self, url: str, body: object) -> AsyncGenerator[object]:
        """Send something, and yield the parts of what comes of it as they come; one try."""
        more: Any = {"stream": True, "stream_cls": self._openai.AsyncStream[object]}
        with self._faults():
            send = self._client.post(url, cast_to=object, body=body, **more)
            async with await send as stream:
                if "event-stream" not in stream.response.headers.get("content-type", ""):
                    raise self._nonsense((await stream.response.aread()).decode(errors="replace"))
                async for event in stream:
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
        for number in count(1):
            await asyncio.sleep(self._open_at_s - time.monotonic())
            try:
                return await attempt()
            except Fault as fault:
                error, may_pass, told_s = fault.error, fault.may_pass, fault.pause_s
            if not may_pass or number >= tries or is_shown():
                raise error  # without what it comes of, which holds the key
            pause_s = min(_FIRST_PAUSE_S * 2 ** (number - 1), _MOST_PAUSE_S)
            pause_s *= 1 - random.random() / 4  # noqa: S311  so that not all come at once
            if told_s is not None:  # all others wait as long
                pause_s = told_s
                self._open_at_s = time.monotonic() + pause_s
            logger.debug("%s Again in %.1f s", error, pause_s)
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

    def lost(self, reason: str, *, status: int = 0) -> Fault:
        """The fault of an answer that did not come, or not as it should."""
        return Fault(ServerError(self.address.host, reason, status=status), may_pass=True)

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

    # -- what goes wrong -----------------------------------------------------------------------

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the client raises into faults; none of it goes on, since it holds the key."""
        openai, host = self._openai, self.address.host
        try:
            yield
        except JupyterLLMError as error:  # there is no key
            raise Fault(error) from None
        except openai.APIStatusError as error:
            raise self._refusal(error.response, error.body) from None
        except openai.APITimeoutError as error:
            if "Connect" in type(error.__cause__).__name__:
                raise self.lost("cannot be reached: it does not answer.") from None
            said = f"has said nothing for {self._silence_s:g} s; it may have too much to do."
            raise Fault(ServerError(host, said)) from None
        except openai.APIConnectionError as error:
            said = self._clean(_reason_of(error))
            if "WRONG_VERSION_NUMBER" in said:
                raise Fault(ServerError(host, "does not speak https; try http://.")) from None
            if "CERTIFICATE_VERIFY_FAILED" in said:
                said = f"has no certificate that this machine trusts: {said}."
                raise Fault(ServerError(host, said)) from None
            raise self.lost(f"cannot be reached, or was lost: {said.rstrip('.')}.") from None
        except openai.APIError as error:  # in the midst of an answer
            said = f"broke the answer off: {self._said(error.body)}."
            raise self.lost(said, status=200) from None
        except ValueError:
            raise self.lost("sent what is none of OpenAI's protocol.") from None

    def _refusal(self, response: Any, body: object) -> Fault:
        """What a status that is no success means."""
        status, env, said = response.status_code, self.address.api_key_env, self._said(body)
        if (overflow := _overflow(body, said)) is not None:
            return Fault(overflow)
        reason, pause_s = f"refuses ({status}): {said}", _pause_s(response.headers)
        if 300 <= status < 400:  # noqa: PLR2004
            place = urlsplit(response.headers.get("location", "")).netloc or "another path"
            reason = f"sends on to {self._clean(place)}; nothing was sent there. Name it yourself"
        elif status in (401, 403):
            told = f"refuses the key in {env}" if env else "asks for a key: api_key_env='MY_KEY'"
            reason = f"{told} ({status}: {said})"
        elif status == 429:  # noqa: PLR2004
            reason = f"has too many requests (429): {said}"
        is_long = pause_s is not None and pause_s > _LONGEST_PAUSE_S
        reason += f"; it wants to be asked again in {pause_s:.0f} s" if is_long else ""
        error = ServerError(self.address.host, f"{reason.rstrip('.')}.", status=status)
        return Fault(error, may_pass=status in _MAY_PASS and not is_long, pause_s=pause_s)

    def _nonsense(self, text: str) -> Fault:
        kind = "a web page" if text.lstrip().startswith("<") else "something else"
        said = f"answered with {kind}, not as a model does. Is {self.address.url} right?"
        return Fault(ServerError(self.address.host, said, status=200))

    def _said(self, body: object) -> str:
        """What a server says of an error, on one line; of a web page that it is one."""
        places = (("error", "message"), ("error",), ("message",), ())
        said = next(filter(None, (at(body, str, *place) for place in places)), "").strip()
        if said.startswith("<"):
            return "a web page"
        return self._clean(said) or "it does not say why"

    def _clean(self, text: str) -> str:
        """A server's words, short and without the key, which some repeat."""
        with suppress(ServerError):
            if key := self.address.key():
                text = text.replace(key, "…")
        text = one_line(text)
        return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"


def _reason_of(error: BaseException) -> str:
    """The words of what lies at the bottom of an error."""
    cause = error.__cause__ or error.__context__
    return (_reason_of(cause) if cause is not None else "") or str(error)


def _pause_s(headers: Any) -> float | None:
    """How long a server wants to be left alone."""
    told = headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        with suppress(TypeError, ValueError, OverflowError):
            return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    return None


def _overflow(body: object, said: str) -> ContextOverflowError | None:
    """The error of a prompt without room, as llama-server tells it, or others do in words.

    Of their numbers the largest one is the prompt's, the first one the room's.
    """
    numbers = [found(body, name) for name in ("n_ctx", "n_prompt_tokens")]
    if not all(type(number) is int and number > 0 for number in numbers):
        is_told = re.search("context[ _]length", said, re.IGNORECASE)
        numbers = [int(number) for number in re.findall(r"\b\d{2,9}\b", said)] if is_told else []
    return ContextOverflowError(max(numbers), numbers[0]) if len(numbers) > 1 else None
