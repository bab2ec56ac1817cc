"""Long texts cut down to their head and tail, with a line that says how much is gone."""

from __future__ import annotations

import re

_NOTE = re.compile(r"\n?\[… (\d[\d,]*) characters left out …\]\n?")
_MANY_TAILS = 4  # as much is collected before all but the tail of it is thrown away


def clip(text: str, max_chars: int) -> str:
    """A text with its middle left out if it is longer than `max_chars`.

    The head gets two parts of the room and the tail one, and both end with whole lines where that
    costs little. What was left out of the middle before is counted too.
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
    notes = [int(note[1].replace(",", "")) for note in _NOTE.finditer(middle)]
    num_left_out = len(_NOTE.sub("", middle)) + sum(notes) + num_gone
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
        self._head = ""
        self._rest: list[str] = []
        self._num_rest = 0
        self._num_gone = 0
        self._is_returned = False  # the next character writes over the line

    def write(self, text: str) -> None:
        """Add a text at the end."""
        if self._is_returned and text:
            self._is_returned = False
            if not text.startswith(("\n", "\r")):
                self._drop_line()
        if "\r" in text:
            whole = text.rstrip("\r")
            self._is_returned = len(whole) < len(text)
            text = self._overwrite(whole.replace("\r\n", "\n"))
        self._append(text)

    def __str__(self) -> str:
        rest = "".join(self._rest)
        if not self._num_gone and len(rest) <= self._num_tail:
            return self._head + rest
        return _joined(self._head, rest, min(self._num_tail, len(rest)), self._num_gone)

    def _overwrite(self, text: str) -> str:
        """Apply the carriage returns in a text, to what stands before it too."""
        first, *others = text.split("\n")
        if "\r" in first:
            self._drop_line()
        return "\n".join(line.rpartition("\r")[2] for line in (first, *others))

    def _drop_line(self) -> None:
        """Forget the line that was begun, as far as it is kept."""
        rest = "".join(self._rest)
        end = rest.rfind("\n") + 1
        if not end and not self._num_gone:
            self._head = self._head[: self._head.rfind("\n") + 1]
        self._rest = [rest[:end]]
        self._num_rest = end

    def _append(self, text: str) -> None:
        start = 0
        if not self._num_rest and not self._num_gone:
            start = self._num_head - len(self._head)
            self._head += text[:start]
        if len(text) - start > _MANY_TAILS * self._num_tail:
            self._num_gone += self._num_rest + len(text) - start - self._num_tail
            self._rest = [text[len(text) - self._num_tail :]]
            self._num_rest = self._num_tail
        elif len(text) > start:
            self._rest.append(text[start:])
            self._num_rest += len(text) - start
        if self._num_rest > 2 * _MANY_TAILS * self._num_tail:
            self._keep_tail()

    def _keep_tail(self) -> None:
        rest = "".join(self._rest)
        self._rest = [rest[len(rest) - self._num_tail :]]
        self._num_gone += len(rest) - self._num_tail
        self._num_rest = self._num_tail
