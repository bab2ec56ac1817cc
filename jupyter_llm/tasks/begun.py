"""The stream of an answer with a text before it, shown at once or with the first text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from jupyter_llm.engine.completion import Chunk, Completion, Progress, PromptInterrupted
from jupyter_llm.engine.stream import Stream


class BegunStream(Stream):
    """Another stream, whose text begins with a text that was there before the model.

    `waits`: the beginning comes with the model's first text. `finish` makes the whole text from the
    model's text; the default puts the beginning before it.
    """

    def __init__(
        self,
        stream: Stream,
        beginning: str,
        *,
        waits: bool = False,
        finish: Callable[[str], str] | None = None,
    ) -> None:
        self._stream = stream
        self._beginning = beginning
        self._waits = waits
        self._finish = finish or (lambda text: beginning + text)
        self.future = stream.future  # the model's own text

    @property
    def written(self) -> str:
        """The text so far."""
        written = self._stream.written
        return self._beginning + written if written or not self._waits else ""

    @property
    def reasoning(self) -> str:
        """The thoughts before the text."""
        return self._stream.reasoning

    @property
    def progress(self) -> Progress:
        """The progress of the request."""
        return self._stream.progress

    def chunks(self, tick_s: float | None = None) -> Iterator[Chunk]:
        """The beginning, then the chunks."""
        is_due = bool(self._beginning)
        try:
            if is_due and not self._waits:
                yield Chunk(self._beginning)
                is_due = False
            for chunk in self._stream.chunks(tick_s):
                if is_due and chunk.text:
                    yield Chunk(self._beginning)
                    is_due = False
                yield chunk
        except PromptInterrupted:
            raise self.interrupt() from None

    def interrupt(self) -> PromptInterrupted:
        """Cancel, and return the exception that carries what was written."""
        completion = self._stream.interrupt().completion
        return PromptInterrupted(completion and self._begun(completion))

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for the end and return the whole completion, with its beginning."""
        try:
            return self._begun(self._stream.result(timeout))
        except PromptInterrupted:
            raise self.interrupt() from None

    def cancel(self) -> None:
        """Stop writing."""
        self._stream.cancel()

    def _begun(self, completion: Completion) -> Completion:
        if self._waits and not completion.text:
            return completion
        return replace(completion, text=self._finish(completion.text), token_ids=None)
