"""An engine for columns: it answers each prompt at once, by itself, and counts what it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from support.scripted import N_CTX, ScriptedEngine, messages_of

from jupyter_llm.engine.completion import Choice, Completion, Progress, Score, Usage
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.stream import Stream, StreamFeed
from jupyter_llm.errors import ContextOverflowError


def backwards(prompt: str) -> str:
    """Answer with the last word of a prompt, backwards."""
    return prompt.rsplit(maxsplit=1)[-1][::-1]


class RowEngine(ScriptedEngine):
    """Answers prompts one after another on a thread; of a choice the text as long as the prompt is.

    `answered` are the prompts that it has answered, also as lines of `log`. `reach` is called with
    how many they are, before each next one. A prompt of more than `N_CTX` characters has no room.
    """

    def __init__(
        self,
        model: Path,
        *,
        reply: Callable[[str], str] = backwards,
        reach: Callable[[int], None] = lambda _count: None,
        log: Path | None = None,
        row_s: float = 0.0,
    ) -> None:
        super().__init__()
        if not model.exists():
            model.write_bytes(b"a model")
        self.info = replace(self.info, path=model)
        self.answered: list[str] = []
        self._reply = reply
        self._reach = reach
        self._log = log
        self._row_s = row_s
        self._queue: SimpleQueue[tuple[Request, StreamFeed, threading.Event]] = SimpleQueue()
        self.most_waiting = 0
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, request: Request) -> Stream:
        self._check_open()
        self.requests.append(request)
        feed, cancelled = StreamFeed(), threading.Event()
        self._queue.put((request, feed, cancelled))
        self.most_waiting = max(self.most_waiting, self._queue.qsize())
        return Stream(
            feed,
            cancelled.set,
            lambda: _completion("", "cancelled"),
            lambda: Progress(state="waiting"),
        )

    def _answer(self) -> None:
        with open(self._log or "/dev/null", "a", buffering=1, encoding="utf-8") as log:  # noqa: PTH123
            while True:
                request, feed, cancelled = self._queue.get()
                self._reach(len(self.answered))
                if self._row_s and not cancelled.is_set():
                    time.sleep(self._row_s)
                prompt = messages_of(request.prompt)[-1].content
                if cancelled.is_set():
                    feed.finish(_completion("", "cancelled"))
                elif len(prompt) > N_CTX:
                    feed.fail(ContextOverflowError(len(prompt), N_CTX))
                else:
                    self.answered.append(prompt)
                    log.write(prompt.replace("\n", " ") + "\n")
                    feed.finish(self._completion_of(request, prompt))

    def _completion_of(self, request: Request, prompt: str) -> Completion:
        if not isinstance(request.constraint, OneOf):
            return _completion(self._reply(prompt), "stop")
        texts = request.constraint.texts
        best = len(prompt) % len(texts)
        scores = [Score(t, (-0.1 if n == best else -3.0,)) for n, t in enumerate(texts)]
        return replace(_completion(texts[best], "stop"), choice=Choice(tuple(scores)))


def _completion(text: str, reason: str) -> Completion:
    return Completion(text=text, finish_reason=reason, usage=Usage(), model="rows")  # type: ignore[arg-type]
