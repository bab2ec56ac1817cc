"""The register of secrets that this kernel has seen, so that they are masked everywhere.

Whatever masks a value by its name adds it here. So a secret that one place reveals is masked in
all.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from jupyter_llm.notebook.values.secrets import bound_texts, is_harmless, is_shown, plain_text

MOST: Final = 500  # if there are more, the oldest are dropped
_MAX_NAMES: Final = 8  # of a secret
_MAX_LENGTH: Final = 20_000
_LEAST_LENGTH: Final = 4
_LEAST_STRONG: Final = 5  # with a digit or a sign
_LEAST_PLAIN: Final = 12  # letters alone

_names: dict[str, tuple[str, ...]] = {}  # names by secret
_lock = threading.Lock()
_room: ContextVar[int] = ContextVar("_room", default=MOST)


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """Add secrets on this thread meanwhile only while fewer than `most` are registered."""
    before = _room.set(most)
    try:
        yield
    finally:
        _room.reset(before)


def note(name: str, value: object, most: int = MOST) -> None:
    """Register a secret; one in a container only while fewer than `most` are registered."""
    is_huge = type(value) is bytes and len(value) > _MAX_LENGTH  # avoids a copy
    text = "" if is_huge else plain_text(value)
    if not _LEAST_LENGTH <= len(text) <= _MAX_LENGTH or is_harmless(name, text):
        return
    most = min(most, _room.get())
    with _lock:
        for secret in (text, repr(text)[1:-1]):  # the text, and its repr
            others = tuple(one for one in _names.get(secret, ()) if one != name)
            if secret in _names or len(_names) < most or most == MOST:
                _names[secret] = (*others[-_MAX_NAMES:], name)
        while len(_names) > MOST:
            del _names[next(iter(_names))]


def is_odd(text: str) -> bool:
    """Whether a secret from a text cannot be a word or a name in code."""
    is_word = re.fullmatch(r"[^\W\d]+(?:(?:\.[^\W\d]+)+[.:][^\W\d]+)?", text) is not None
    return not is_word and _is_strong(text) and text.isprintable() and not re.search(r"\s", text)


def forget() -> None:
    """Forget all secrets."""
    with _lock:
        _names.clear()


def places(text: str, shown: Iterable[tuple[str, str]]) -> Iterator[tuple[int, int, str]]:
    """Yield the span and the name of each secret in a text.

    Secrets are those in the register, and the names and values in `shown`, which the text itself
    reveals. A secret that the user released under any of its names is skipped. A secret that could
    be a word only matches as a whole line or in quotes.
    """
    bound = (pair for pair in bound_texts() if len(pair[1]) <= _MAX_LENGTH and is_odd(pair[1]))
    for secret, names in ({one: (name,) for name, one in (*bound, *shown)} | _names).items():
        if secret not in text or any(map(is_shown, names)):
            continue
        name = names[-1]
        if _is_strong(secret):
            pattern = rf"(?<!\w){re.escape(secret)}(?!\w)"
        else:
            pattern = rf"(?m)(?<=['\"]){re.escape(secret)}(?=['\"])|^{re.escape(secret)}$"
        yield from ((*match.span(), name) for match in re.finditer(pattern, text))


def _is_strong(secret: str) -> bool:
    if secret.isalpha():
        is_word = secret.islower() or secret.istitle() or secret.isupper()
        return len(secret) >= (_LEAST_PLAIN if is_word else 2 * _LEAST_LENGTH)
    return len(secret) >= (_LEAST_STRONG + 1 if secret.isdecimal() else _LEAST_STRONG)
