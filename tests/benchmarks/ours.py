"""`jupyter_llm` as a contestant. Imports it only when it is started: the import is timed too."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import (
    KEY_S,
    N_CTX,
    Contestant,
    Generation,
    StoppedEarlyError,
    Talk,
    TypedTalk,
    require_full_length,
    time_pieces,
)

if TYPE_CHECKING:
    from jupyter_llm import Chat, RawPrompt

CACHE_VARIABLE = "XDG_CACHE_HOME"  # where checkpoints go
IDLE_POLL_S = 0.02
PAUSE_S = 0.3  # as in labextension/src/compose/drafting.ts
PANEL_TOKENS = 24  # a panel's answers all have the same limit
ANSWER_TIMEOUT_S = 600


def parts(prompt: str) -> str | RawPrompt:
    """A ChatML text as the parts that we take it in."""
    try:
        from support.specials import with_specials
    except ImportError:  # an earlier version of us, which reads control tokens out of any raw text
        return prompt
    return with_specials(prompt)


class _ChatTalk:
    def __init__(self, chat: Chat, sampling: dict[str, Any]) -> None:
        self._chat = chat
        self._sampling = sampling

    def turn(self, question: str, max_tokens: int) -> Generation:
        def pieces() -> Iterator[str]:
            stream = self._chat.stream(question, max_tokens=max_tokens, **self._sampling)
            for chunk in stream:
                yield chunk.text
            require_full_length(stream.result().finish_reason, "length")

        return time_pieces(pieces(), max_tokens)


class _PanelTalk:
    """The kernel's side of a chat panel, told what the panel's front end would tell it.

    The first token is there when the front end is told its text.
    """

    def __init__(self, chat: Chat, sampling: dict[str, Any]) -> None:
        from jupyter_llm.engine.options import SamplingParams
        from jupyter_llm.frontends.comm.chat_line import ChatLine
        from jupyter_llm.frontends.prompt.options import Options

        self._chat = chat
        self._heard: SimpleQueue[dict[str, Any]] = SimpleQueue()
        params = SamplingParams(max_tokens=PANEL_TOKENS, **sampling)
        options = Options(context="none", vars="none", params=params, continue_=True)
        self._line = ChatLine(chat, options, self._heard.put)
        self._tell("follow", can_write_cells=False)

    def type(self, question: str, max_tokens: int) -> Generation:
        key_s = time.perf_counter()
        due_s = math.inf  # when the front end tells what is there
        for end in range(1, len(question) + 1):
            text = question[:end]
            due_s = key_s if text[-1] in ".?!" else min(due_s, key_s + PAUSE_S)
            key_s += KEY_S
            if due_s < key_s:
                _wait_until(due_s)
                prompt = {"text": text, "attachments": [], "is_alone": False}
                self._tell("draft", prompt=prompt, cell=None)
                due_s = math.inf
            _wait_until(key_s)
        return self.turn(question, max_tokens)

    def turn(self, question: str, max_tokens: int) -> Generation:
        assert max_tokens == PANEL_TOKENS
        while not self._heard.empty():
            self._heard.get()
        num_before = len(self._chat.turns)
        prompt = {"text": question, "attachments": [], "is_alone": False}
        more: dict[str, Any] = {"seed": None, "temperature": None, "by": ""}
        self._tell("send", prompt=prompt, after=None, like=None, **more)
        reply = time_pieces(self._pieces(), max_tokens)
        while len(self._chat.turns) == num_before:
            time.sleep(0.001)
        require_full_length(self._chat.turns[-1].completion.finish_reason, "length")
        return reply

    def _pieces(self) -> Iterator[str]:
        """What the answer grows by, as the front end is told it."""
        shown = ""
        while True:
            message = self._heard.get(timeout=ANSWER_TIMEOUT_S)
            if message["type"] == "delta":
                shown += message["text"]
                yield message["text"]
            elif message["type"] == "patch":
                for turn in message["patch"].get("turns", {}).values():
                    text = turn.get("text", shown)
                    yield text[len(shown) :]
                    shown = text
                    if turn.get("state") == "finished":
                        return

    def _tell(self, method: str, **arguments: Any) -> None:
        call = {"type": "call", "id": f"view-{time.perf_counter_ns()}"}
        self._line.take({**call, "method": method, "arguments": arguments})


def _wait_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.perf_counter()))


class Ours(Contestant):
    """The public object `llm`, as a cell would use it.

    Greedy requests go to the bit-exact context as they come; `is_exact=False` sends them where
    everything unseeded goes. `cache_folder` is where checkpoints are written and looked for: an
    empty one means that nothing was read before.
    """

    def __init__(self, model: Path, cache_folder: Path, *, is_exact: bool | None) -> None:
        super().__init__()
        os.environ[CACHE_VARIABLE] = str(cache_folder)
        from jupyter_llm import llm

        self._llm = llm
        self._sampling: dict[str, Any] = {"temperature": 0, "ignore_eos": True, "exact": is_exact}
        llm.use(model, n_ctx=N_CTX)

    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        stream = self._llm.stream(parts(prompt), raw=True, max_tokens=max_tokens, **self._sampling)
        for chunk in stream:
            yield chunk.text
        require_full_length(stream.result().finish_reason, "length")

    def talk(self, system: str) -> Talk:
        """Begin a chat, which reads ahead while whoever asks thinks."""
        return _ChatTalk(self._llm.chat(system=system), self._sampling)

    def typed_talk(self, system: str) -> TypedTalk:
        """Begin a chat in a panel, which is told what stands in its field."""
        return _PanelTalk(self._llm.chat(system=system), self._sampling)

    def map(self, prompts: Sequence[str], max_tokens: int) -> None:
        asked = [parts(prompt) for prompt in prompts]
        rows = self._llm.batch(asked, raw=True, max_tokens=max_tokens, **self._sampling)
        for row in rows:
            require_full_length(row.finish_reason, "length")

    @contextmanager
    def bulk(self, prompts: Sequence[str], max_tokens: int) -> Iterator[None]:
        """Map the prompts beside what else is asked; at the end the model is unloaded."""
        from jupyter_llm.engine.completion import BatchError

        def work() -> None:
            with suppress(BatchError):
                self.map(prompts, max_tokens)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
            if not thread.is_alive():
                raise StoppedEarlyError("The bulk had ended before what was measured beside it")
        finally:
            self._llm.unload()
            thread.join()

    def prefill(self, prompt: str) -> None:
        """Let the engine read a prompt in the background, and wait until it has."""
        self._llm.prefill(parts(prompt), raw=True, **self._sampling)
        while not self._is_idle():
            time.sleep(IDLE_POLL_S)

    def switch_lookup(self, *, is_on: bool) -> None:
        """Switch speculative decoding by prompt lookup for what follows."""
        self._sampling["lookup"] = is_on

    def close(self) -> None:
        self._llm.unload()

    def _is_idle(self) -> bool:
        engine = self._llm.status().engine
        return engine is None or engine.num_running == engine.num_waiting == 0
