"""Reading of values: the available time and room, and the enclosing containers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.guard import Deadline, NoAnswerError, ask
from jupyter_llm.notebook.values.peek import is_a, qualified_name
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import (
    HIDDEN,
    is_concealed,
    is_harmless,
    is_small,
    looks_secret,
    plain_text,
)

ITEM_CHARS: Final = 48  # of an item, a field or a table's cell
MARGIN: Final = 4096  # read beyond the room, so that a secret at its end is complete
_MAX_DEPTH: Final = 4

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """The functions that summarize values of one kind.

    `head` returns one line: type and size. `body` returns the lines that follow. `inline` returns
    the form inside another value, by default the head. Functions and the like hold no data that
    could be secret.
    """

    head: Callable[[Any, Reading], str]
    body: Callable[[Any, Reading], str] | None = None
    inline: Callable[[Any, Reading, int], str] | None = None
    holds_data: bool = True
    holds_items: bool = False


@dataclass(slots=True)
class Reading:
    """One reading of a value and the values inside it.

    `kind_of` returns a value's kind; None if only its own `repr` can describe it.
    """

    max_chars: int
    deadline: Deadline
    kind_of: Callable[[object], Kind | None]
    _inside: list[int] = field(default_factory=list)

    def summary(self, value: object) -> str:
        """Return the summary of a value without its name."""
        kind = self.kind_of(value)
        if kind is None:
            return self.asked(value)
        with self._entered(value):
            head = kind.head(value, self)
            if kind.body is None:
                return head
            # The body gets the rest of the room.
            body = kind.body(value, replace(self, max_chars=self.max_chars - len(head) - 1))
        return f"{head}\n{body}" if body else head

    def brief(self, value: object, room: int = ITEM_CHARS) -> str:
        """Return one short line for a value inside another."""
        if id(value) in self._inside:
            return "…(itself)"
        if is_concealed("", value):
            return _mark(room)
        kind = self.kind_of(value)
        if kind is None:
            return cut(one_line(self.asked(value)), room)
        if kind.holds_items and len(self._inside) >= _MAX_DEPTH:
            return cut(type_name(value), room)
        with self._entered(value):
            text = kind.inline(value, self, room) if kind.inline else kind.head(value, self)
        return cut(one_line(text), room)

    def brief_of(self, name: str, value: object, room: int = ITEM_CHARS) -> str:
        """Return one short line for a value with a name; secrets are masked."""
        if self.hides(name, value):
            return _mark(room)
        return self.brief(value, room)

    def hides(self, name: str, value: object) -> bool:
        """Whether a value is a secret by its name; if so, it is registered."""
        if not (looks_secret(name) and self.holds_data(value)):
            return False
        kind = self.kind_of(value)
        is_single = kind is not None and not kind.holds_items
        text = plain_text(value) or (self.brief(value) if is_single else "")
        if is_a(value, float) or is_small(text) or (text and is_harmless(name, text)):
            return False
        seen_secrets.note(name, value)
        return True

    def holds_data(self, value: object) -> bool:
        """Whether a value has more content than code, a flag, or nothing."""
        if value is None or type(value) is bool:
            return False
        kind = self.kind_of(value)
        return kind is None or kind.holds_data

    def asked(self, value: object) -> str:
        """Return the value's own `repr`, or in angle brackets why there is none."""
        try:
            return self.tidy(ask(lambda: repr(value), type(value), self.deadline.left_s))
        except NoAnswerError as error:
            return f"<{type_name(value)}: its repr {error}>"

    def tidy(self, text: str) -> str:
        """Return a text of the user's code, masked and cut with a note."""
        window = self.max_chars + 2 * MARGIN
        length = len(text) if len(text) > window else 0
        return cut(scrub(clean(text[:window])), self.max_chars, length)

    @contextmanager
    def _entered(self, value: object) -> Iterator[None]:
        self._inside.append(id(value))
        try:
            yield
        finally:
            self._inside.pop()


def _mark(room: int) -> str:
    return HIDDEN if room >= len(HIDDEN) else cut("<hidden>", room)


def type_name(value: object) -> str:
    """Return the name of the value's true type."""
    return qualified_name(type(value))


def clean(text: str) -> str:
    """Return a text without control characters, lone surrogates and memory addresses."""
    return _ADDRESS.sub("", plain(text))


def cut(text: str, room: int, length: int = 0) -> str:
    """Cut a text to at most `room` characters, with a note of the whole length.

    `length` is the length of the whole if `text` is only its start.
    """
    length = max(length, len(text))
    if len(text) <= room and length == len(text):
        return text
    note = f"… (cut, {length} characters)" if room >= 2 * ITEM_CHARS else "…"
    return text[: max(0, room - len(note))] + note[: max(0, room)]


def listed(parts: list[str], room: int, more: int = 0) -> str:
    """Join parts while there is room, and add the number of omitted ones.

    `more` are omitted already.
    """
    shown: list[str] = []
    used = 0
    for part in parts:
        used += len(part) + 2
        if used > room - 12 and len(parts) + more > len(shown) + 1:
            break
        shown.append(part)
    omitted = len(parts) - len(shown) + more
    return ", ".join([*shown, f"… {omitted} more"] if omitted else shown)
