"""Runs a model on a server behind the `Engine` protocol."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.info import EngineStatus, ModelInfo, Work
from jupyter_llm.engine.options import MAX_SEED
from jupyter_llm.engine.remote.protocol import sound
from jupyter_llm.engine.remote.served import GREEDY, Served
from jupyter_llm.engine.remote.wire import Wire
from jupyter_llm.engine.remote.writing import Writing
from jupyter_llm.engine.request import Message, Prompt, Request, check_text, raw_text
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from jupyter_llm.engine.completion import Score
    from jupyter_llm.engine.remote.address import Address

_NUM_EMBEDDED = 64  # texts in a request
_BYTES_A_TOKEN = 3  # a lower bound
_A_MESSAGE = 8  # tokens around a message


class RemoteEngine(Engine):
    """A model on a server that speaks OpenAI's protocol: an `Engine` like any other.

    Creating it asks the server for its facts. Text is sent only to that host, with the key that
    `address` names. An option that the server does not support raises `OptionError`. Equal
    requests may get different texts. The server manages its own cache: `prefill` and `forget` do
    nothing. If a raw text contains the name of a control token, the server reads that token.

    Raises
    ------
    ServerError
        The server cannot be reached, refuses the key, or has no such model.
    MissingLibraryError, OptionError
        The openai package or the key is missing.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._watchers = Watchers()
        self._writings: dict[Writing, None] = {}  # running ones
        self._tokens_per_s = 0.0
        self._wire = Wire(address)
        self._served = Served(self._wire)
        try:
            self._wire.call(self._served.open)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> ModelInfo:
        """Return the facts about the model."""
        return self._served.info

    @property
    def work(self) -> Work:
        """Return the present activity at once."""
        writings = tuple(self._writings)
        is_writing = any(one.has_begun for one in writings)
        return "writing" if is_writing else "reading" if writings else "idle"

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._wire.is_closed

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when `work` changes or the engine closes, until the result is called."""
        return self._watchers.add(callback)

    def submit(self, request: Request) -> Stream:
        """Send a request; the stream raises its errors."""
        params = request.params.filled(self.info.sampling.params)
        if self._served.may_think and request.think is not False:
            params = params.with_room_to_think()
        # the protocol's default is 16
        if params.max_tokens is None and not isinstance(request.prompt, tuple):
            room = self.info.n_ctx - self.count_tokens(request.prompt)
            params = replace(params, max_tokens=max(1, room))
        if params.temperature and params.seed is None:
            params = replace(params, seed=secrets.randbelow(MAX_SEED + 1))
        writing = Writing(replace(request, params=params), self._served, self._watchers.notify)
        running = self._wire.start(writing.run)
        self._writings[writing] = None
        self._watchers.notify()

        def end(_running: object) -> None:
            if not writing.feed.future.done():  # it has not begun, or is still ending
                writing.feed.finish(writing.completion("cancelled"))
            self._writings.pop(writing, None)
            self._tokens_per_s = writing.usage.tokens_per_s or self._tokens_per_s
            self._watchers.notify()

        running.add_done_callback(end)
        snapshot = partial(writing.completion, "cancelled")
        return Stream(writing.feed, running.cancel, snapshot, writing.progress)

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:  # noqa: ARG002
        """Return the text of a raw prompt; a chat's template is only known to the server."""
        self._wire.check_open()
        if isinstance(prompt, tuple):
            raise OptionError(
                f"{self.info.host} does not report the text that the model reads for a chat."
            )
        return raw_text(prompt)

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:  # noqa: ARG002
        """Raise `OptionError`: only the server knows the tokens."""
        self._wire.check_open()
        raise OptionError(f"{self.info.host} does not report the tokens of a text.")

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:  # noqa: ARG002
        """Return an upper estimate of a prompt's tokens; nothing is sent to count them."""
        messages = prompt if isinstance(prompt, tuple) else (Message("user", raw_text(prompt)),)
        texts = [one.content for one in messages]
        return sum(map(len, self.tokenize_texts(texts))) + _A_MESSAGE * len(texts)

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return zeros for plain texts, as many as they have tokens at most."""
        self._wire.check_open()
        return [(0,) * -(-len(sound(text).encode()) // _BYTES_A_TOKEN) for text in texts]

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """Return the likelihood of each continuation after a prompt."""
        texts = [check_text(text, is_raw=True) for text in continuations]
        request = Request(prompt=prompt, params=GREEDY)
        return self._wire.call(self._served.scores, request, texts) if texts else []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return a unit vector for each text, as an array of shape (num_texts, n_embd)."""
        import numpy as np

        checked = [check_text(text, is_raw=True) for text in texts]
        rows: list[list[float]] = []
        for start in range(0, len(checked), _NUM_EMBEDDED):
            rows += self._wire.call(self._served.embedded, checked[start : start + _NUM_EMBEDDED])
        vectors = np.array(rows, np.float32).reshape(len(texts), -1 if rows else 0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)

    def status(self) -> EngineStatus:
        """Return the present state of the engine."""
        self._wire.check_open()
        num_begun = sum(one.has_begun for one in tuple(self._writings))
        return EngineStatus(
            num_running=num_begun,
            num_waiting=len(self._writings) - num_begun,
            room=self.info.n_ctx,
            tokens_per_s=self._tokens_per_s,
            is_exact=False,
        )

    def close(self) -> None:
        """Cancel everything and close the connection. May be called twice."""
        self._wire.close()
        self._watchers.notify()
