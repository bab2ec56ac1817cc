"""Long texts cut down to their head and tail, with a line that says how much is gone."""

from __future__ import annotations

_MANY_TAILS = 4  # as much is collected before all but the tail of it is thrown away


def clip(text: str, max_chars: int) -> str:
    """A text with its middle left out if it is longer than `max_chars`.

    The head gets two parts of the room and the tail one, and both end with whole lines where that
    costs little.
    """
    if len(text) <= max_chars:
        return text
    num_tail = max_chars // 3
    return _joined(text[: max_chars - num_tail], text[max_chars - num_tail :], num_tail, 0)


def _joined(head: str, rest: str, num_tail: int, num_gone: int) -> str:
    """A head, a note and the end of the rest; `num_gone` characters stood between them."""
    tail = rest[len(rest) - num_tail :]
    middle = rest[: len(rest) - num_tail]
    end = head.rfind("\n") + 1
    if end > len(head) // 2:
        head, middle = head[:end], head[end:] + middle
    start = tail.find("\n") + 1
    if 0 < start < len(tail) // 2:
        tail, middle = tail[start:], middle + tail[:start]
    num_left_out = len(middle) + num_gone
    before = "" if head.endswith("\n") else "\n"
    after = "" if tail.startswith("\n") else "\n"
    return f"{head}{before}[… {num_left_out:,} characters left out …]{after}{tail}"


class Scroll:
    """A text that is written piece by piece and kept up to a size: its head and its tail.

    A carriage return writes over the line, as in a terminal: of a progress bar its last state
    stays.
    """

    def __init__(self, max_chars: int) -> None:
        self._num_tail = max_chars // 3
        self._num_head = max_chars - self._num_tail
        self._head = self._rest = ""
        self._num_gone = 0

    def write(self, text: str) -> None:
        """Add a text at the end."""
        self._rest += text
        if len(self._rest) > _MANY_TAILS * self._num_tail:
            self._settle()

    def __str__(self) -> str:
        self._settle()
        text = self._head + self._rest
        if self._num_gone:
            text = _joined(self._head, self._rest, len(self._rest), self._num_gone)
        return text.rstrip("\r")

    def _settle(self) -> None:
        """Write over the lines that were returned to, and keep the head and the tail."""
        rest = _overwritten(self._rest if self._num_gone else self._head + self._rest)
        if not self._num_gone:
            self._head, rest = rest[: self._num_head], rest[self._num_head :]
        num_gone = max(0, len(rest) - self._num_tail)
        self._num_gone += num_gone
        self._rest = rest[num_gone:]


def _overwritten(text: str) -> str:
    """A text after its carriage returns; one at the end waits for what is written over the line."""
    if "\r" not in text:
        return text
    *lines, last = text.replace("\r\n", "\n").split("\n")
    written = last.rstrip("\r")
    last = written.rpartition("\r")[2] + last[len(written) :][:1]
    return "\n".join([*(line.rpartition("\r")[2] for line in lines), last])
