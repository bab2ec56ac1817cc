"""Lets the real model say what it is told to, for pictures. Runs in the kernel."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import Chunk
from jupyter_llm.engine.request import Priority
from jupyter_llm.engine.stream import QueueStream, StreamFeed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.request import Request


def dictate(engine: LocalEngine, texts: Sequence[str]) -> None:
    """Give the next answers the words of these texts; ghost text stays the model's own.

    All else is the model's own: it reads each prompt, and writes as many tokens as the text has,
    at its own speed. Only what these would read is replaced.
    """
    write = engine.submit
    queue = deque(texts)

    def submit(request: Request) -> QueueStream:
        if not queue or request.priority is Priority.GHOST:
            return write(request)
        text = queue.popleft()
        (token_ids,) = engine.tokenize_texts([text])
        params = replace(request.params, max_tokens=len(token_ids), ignore_eos=True)
        return _with_words(write(replace(request, params=params)), text, len(token_ids))

    engine.submit = submit  # type: ignore[method-assign]


def _with_words(stream: QueueStream, text: str, num_tokens: int) -> QueueStream:
    """Return a stream that grows like the given one, but into a text."""
    feed = StreamFeed()

    def copy() -> None:
        begin = 0
        for count, _ in enumerate(stream, 1):
            end = len(text) * count // num_tokens
            feed.put(Chunk(text[begin:end]))
            begin = end
        feed.put(Chunk(text[begin:]))
        written = stream.result()
        # It holds no record: nobody could write this text again.
        feed.finish(replace(written, text=text, finish_reason="stop", provenance=None))

    threading.Thread(target=copy, daemon=True).start()
    return QueueStream(feed, stream.cancel, stream.result, lambda: stream.progress)
