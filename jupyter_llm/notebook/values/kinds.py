"""How a value is read: what time and room there are, and which containers we are inside of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.notebook.values import known
from jupyter_llm.notebook.values.guard import Deadline, NoAnswerError, ask
from jupyter_llm.notebook.values.peek import is_a, qualified_name
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import (
    HIDDEN,
    is_concealed,
    is_small,
    is_told,
    looks_secret,
    plain_text,
)

ITEM_CHARS: Final = 48  # of an item in a container, a field or a cell of a table
MARGIN: Final = 4096  # read beyond the room, so that no half of a secret stands at its end
_MAX_DEPTH: Final = 4

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of a kind are told.

    `head` is one line: what it is, and how large. `body` are the lines that follow, and `inline`
    stands for it inside of something else; without one that is the head. Functions and the like
    hold no data that could be secret.
    """

    head: Callable[[Any, Reading], str]
    body: Callable[[Any, Reading], str] | None = None
    inline: Callable[[Any, Reading, int], str] | None = None
    holds_data: bool = True
    holds_items: bool = False


@dataclass(slots=True)
class Reading:
    """One look at a value, and at each value inside of it.

    `kind_of` says how a value is told; None: only its own `repr` knows.
    """

    max_chars: int
    deadline: Deadline
    kind_of: Callable[[object], Kind | None]
    _inside: list[int] = field(default_factory=list)

    def whole(self, value: object) -> str:
        """All that is told of a value, without its name."""
        kind = self.kind_of(value)
        if kind is None:
            return self.asked(value)
        with self._going_into(value):
            head = kind.head(value, self)
            if kind.body is None:
                return head
            # All the room that the head has left.
            body = kind.body(value, replace(self, max_chars=self.max_chars - len(head) - 1))
        return f"{head}\n{body}" if body else head

    def brief(self, value: object, room: int = ITEM_CHARS) -> str:
        """One short line for a value inside of another."""
        if id(value) in self._inside:
            return "…(itself)"
        if is_concealed("", value):
            return _mark(room)
        kind = self.kind_of(value)
        if kind is None:
            return cut(one_line(self.asked(value)), room)
        if kind.holds_items and len(self._inside) >= _MAX_DEPTH:
            return cut(type_name(value), room)
        with self._going_into(value):
            told = kind.inline(value, self, room) if kind.inline else kind.head(value, self)
        return cut(one_line(told), room)

    def brief_of(self, name: str, value: object, room: int = ITEM_CHARS) -> str:
        """One short line for a value that goes by a name."""
        if self.hides(name, value):
            return _mark(room)
        return self.brief(value, room)

    def hides(self, name: str, value: object) -> bool:
        """Whether a value is a secret because of its name, and no word or count; it is noted."""
        if not (looks_secret(name) and self.holds_data(value)):
            return False
        kind = self.kind_of(value)
        is_one = kind is not None and not kind.holds_items
        text = plain_text(value) or (self.brief(value) if is_one else "")
        if is_a(value, float) or is_small(text) or (text and is_told(name, text)):
            return False
        known.note(name, value)
        return True

    def holds_data(self, value: object) -> bool:
        """Whether there is more to a value than code, a flag, or nothing."""
        if value is None or type(value) is bool:
            return False
        kind = self.kind_of(value)
        return kind is None or kind.holds_data

    def asked(self, value: object) -> str:
        """The value's own `repr`, or why there is none, in angle brackets."""
        try:
            return self.tidy(ask(lambda: repr(value), type(value), self.deadline.left_s))
        except NoAnswerError as error:
            return f"<{type_name(value)}: its repr {error}>"

    def tidy(self, text: str) -> str:
        """A text of the user's code as it may be shown; what it left out is said."""
        window = self.max_chars + 2 * MARGIN
        length = len(text) if len(text) > window else 0
        return cut(scrub(clean(text[:window])), self.max_chars, length)

    @contextmanager
    def _going_into(self, value: object) -> Iterator[None]:
        self._inside.append(id(value))
        try:
            yield
        finally:
            self._inside.pop()


def _mark(room: int) -> str:
    """What stands in the place of what is hidden."""
    return HIDDEN if room >= len(HIDDEN) else cut("<hidden>", room)


def type_name(value: object) -> str:
    """The name of the value's true type."""
    return qualified_name(type(value))


def clean(text: str) -> str:
    """A text without control characters, halves of characters and memory addresses."""
    return _ADDRESS.sub("", plain(text))


def cut(text: str, room: int, length: int = 0) -> str:
    """A text that is at most `room` long, ending with how much is left out.

    `length` is that of the whole where the text is its start.
    """
    length = max(length, len(text))
    if len(text) <= room and length == len(text):
        return text
    note = f"… (cut, {length} characters)" if room >= 2 * ITEM_CHARS else "…"
    return text[: max(0, room - len(note))] + note[: max(0, room)]


def listed(parts: list[str], room: int, more: int = 0) -> str:
    """Join parts as far as there is room, and say how many are left out; `more` are already."""
    taken: list[str] = []
    used = 0
    for part in parts:
        used += len(part) + 2
        if used > room - 12 and len(parts) + more > len(taken) + 1:
            break
        taken.append(part)
    left = len(parts) - len(taken) + more
    return ", ".join([*taken, f"… {left} more"] if left else taken)
