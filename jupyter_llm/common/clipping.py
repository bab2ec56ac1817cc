"""Cuts long texts down, to their beginning or to head and tail."""

from __future__ import annotations

_MANY_TAILS = 4  # this many tails are collected before all but the last is dropped


def shorten(text: str, max_chars: int) -> str:
    """Return the beginning of a text, with "…" in place of its last character if it is cut."""
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def clip(text: str, max_chars: int) -> str:
    """Return a text without its middle if it is longer than `max_chars`.

    A line counts the omitted characters. The head gets two thirds of the room and the tail one
    third. Both are cut at a line's end where that costs little.
    """
    if len(text) <= max_chars:
        return text
    num_tail = max_chars // 3
    return _joined(text[: max_chars - num_tail], text[max_chars - num_tail :], num_tail, 0)


def _joined(head: str, rest: str, num_tail: int, num_dropped: int) -> str:
    """Join a head, a note and the end of `rest`; `num_dropped` characters were dropped between."""
    tail = rest[len(rest) - num_tail :]
    middle = rest[: len(rest) - num_tail]
    end = head.rfind("\n") + 1
    if end > len(head) // 2:
        head, middle = head[:end], head[end:] + middle
    start = tail.find("\n") + 1
    if 0 < start < len(tail) // 2:
        tail, middle = tail[start:], middle + tail[:start]
    num_left_out = len(middle) + num_dropped
    before = "" if head.endswith("\n") else "\n"
    after = "" if tail.startswith("\n") else "\n"
    return f"{head}{before}[… {num_left_out:,} characters left out …]{after}{tail}"


class Scroll:
    """A text that is written piece by piece; only its head and tail are kept, up to a size.

    A carriage return overwrites the line, as in a terminal. So only the last state of a progress
    bar is kept.
    """

    def __init__(self, max_chars: int) -> None:
        self._num_tail = max_chars // 3
        self._num_head = max_chars - self._num_tail
        self._head = self._rest = ""
        self._num_dropped = 0

    def write(self, text: str) -> None:
        """Append a text."""
        self._rest += text
        if len(self._rest) > _MANY_TAILS * self._num_tail:
            self._settle()

    def __str__(self) -> str:
        self._settle()
        text = self._head + self._rest
        if self._num_dropped:
            text = _joined(self._head, self._rest, len(self._rest), self._num_dropped)
        return text.rstrip("\r")

    def _settle(self) -> None:
        """Apply carriage returns, and drop the text between the head and the tail."""
        rest = _overwritten(self._rest if self._num_dropped else self._head + self._rest)
        if not self._num_dropped:
            self._head, rest = rest[: self._num_head], rest[self._num_head :]
        num_dropped = max(0, len(rest) - self._num_tail)
        self._num_dropped += num_dropped
        self._rest = rest[num_dropped:]


def _overwritten(text: str) -> str:
    """Return a text with its carriage returns applied, except for one at the end.

    The text that follows that one may overwrite the line.
    """
    if "\r" not in text:
        return text
    *lines, last = text.replace("\r\n", "\n").split("\n")
    written = last.rstrip("\r")
    last = written.rpartition("\r")[2] + last[len(written) :][:1]
    return "\n".join([*(line.rpartition("\r")[2] for line in lines), last])
