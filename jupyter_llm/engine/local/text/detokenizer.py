"""From the bytes of tokens to the text of a completion, one per request."""

from __future__ import annotations

import codecs

from jupyter_llm.engine.thinking import Thinking


class Detokenizer:
    """Gives out text at whole characters only, and nothing that may still become a stop string.

    Stop strings may span tokens, so the end of the text is held back while it could be the start
    of one. What `thinking` takes for thoughts goes to `thoughts`; no stop string is looked for
    there.
    """

    def __init__(self, stop: tuple[str, ...] = (), thinking: Thinking | None = None) -> None:
        self.stop = stop
        self.thinking = thinking
        self.thoughts: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held_back = ""
        self.is_stopped = False

    def feed(self, data: bytes) -> str:
        """Take a token's bytes and return the text that is certain now."""
        if self.is_stopped:
            return ""
        text = self._held_back + self._answered(self._decoder.decode(data))
        # The first to be complete wins, as if the text had come letter by letter.
        found = [(i + len(stop), i) for stop in self.stop if (i := text.find(stop)) >= 0]
        if found:
            self.is_stopped = True
            self._held_back = ""
            return text[: min(found)[1]]
        split = len(text) - self._num_open(text)
        self._held_back = text[split:]
        return text[:split]

    def flush(self) -> str:
        """Give out what was held back; half a character at the very end is dropped."""
        text, self._held_back = self._held_back, ""
        if self.thinking is not None and not self.thinking.is_over:
            thought, text = self.thinking.flush()
            self.thoughts += [thought] if thought else []
        return text

    def _answered(self, text: str) -> str:
        """The share of a text that belongs to the answer."""
        if self.thinking is None:
            return text
        thought, text = self.thinking.feed(text)
        self.thoughts += [thought] if thought else []
        return text

    def _num_open(self, text: str) -> int:
        """The length of the longest end of the text that begins a stop string."""
        return max(
            (
                length
                for stop in self.stop
                for length in range(1, min(len(stop), len(text) + 1))
                if text.endswith(stop[:length])
            ),
            default=0,
        )
