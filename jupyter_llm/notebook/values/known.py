"""The secrets that this kernel has met, so that they are hidden wherever they are shown.

`password = getpass()` and `print(password)` name the secret apart from where it stands.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from jupyter_llm.notebook.values.peek import key_name
from jupyter_llm.notebook.values.secrets import is_shown, is_told, looks_secret, plain_text

_MAX_KNOWN: Final = 500  # the oldest go first
_MAX_INSIDE: Final = 300  # with those in containers, so that a table of them leaves room
_MAX_NAMES: Final = 8  # of one secret
_MAX_LOOKS: Final = 4000  # at values, after a cell
_MAX_DEPTH: Final = 3
_MAX_ITEMS: Final = 200  # of a container
_MAX_LENGTH: Final = 20_000
_LEAST_LENGTH: Final = 4
_LEAST_STRONG: Final = 5  # with a digit or a sign in it
_LEAST_PLAIN: Final = 12  # letters alone

# What IPython puts there.
_HISTORY: Final = frozenset(
    {"In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "_", "__", "___", "exit", "quit"}
)

_names: dict[str, tuple[str, ...]] = {}  # of the secrets, by what they are
_lock = threading.Lock()


def learn(namespace: Mapping[Any, Any]) -> None:
    """Take note of the values of secrets among variables, in dictionaries too, and in `os.environ`.

    Only builtin types are looked into, so nothing of the user's runs; what lies deep comes last.
    """
    own = [(key, value) for key, value in list(namespace.items()) if key not in _HISTORY]
    items = (*os.environ.items(), *own)
    level: list[tuple[str, Any]] = [(key_name(key), value) for key, value in items]
    left, most = _MAX_LOOKS, _MAX_KNOWN
    for _ in range(_MAX_DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for name, value in level[:left]:
            kind = type(value)
            if kind in (str, bytes, int):
                if looks_secret(name):
                    note(name, value, most)
            elif kind in (dict, list, tuple) and len(below) < left:
                above = name if looks_secret(name) else ""
                below += [(above or key_name(key), one) for key, one in _inside(value)]
        left = max(0, left - len(level))
        level, most = below, _MAX_INSIDE


def note(name: str, value: object, most: int = _MAX_KNOWN) -> None:
    """Take note of a secret, or, of one in a container, only while fewer than `most` are known."""
    is_huge = type(value) is bytes and len(value) > _MAX_LENGTH  # no copy of it
    text = "" if is_huge else plain_text(value)
    if not _LEAST_LENGTH <= len(text) <= _MAX_LENGTH or is_told(name, text):
        return
    with _lock:
        for secret in (text, repr(text)[1:-1]):  # as it is, and as others show it
            others = tuple(one for one in _names.get(secret, ()) if one != name)
            if secret in _names or len(_names) < most or most == _MAX_KNOWN:
                _names[secret] = (*others[-_MAX_NAMES:], name)
        while len(_names) > _MAX_KNOWN:
            del _names[next(iter(_names))]


def forget() -> None:
    """Know no secret any more."""
    with _lock:
        _names.clear()


def places(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where secrets that are known stand in a text, and what they are called.

    One that was shown under any of its names is told. One that might be a word is only taken for
    itself where it is all of a line, or in quotes.
    """
    for secret, names in list(_names.items()):
        if secret not in text or any(map(is_shown, names)):
            continue
        name = names[-1]
        if _is_strong(secret):
            pattern = rf"(?<!\w){re.escape(secret)}(?!\w)"
        else:
            pattern = rf"(?m)(?<=['\"]){re.escape(secret)}(?=['\"])|^{re.escape(secret)}$"
        yield from ((*found.span(), name) for found in re.finditer(pattern, text))


def _inside(value: Any) -> list[tuple[Any, Any]]:
    if type(value) is not dict:
        return [("", one) for one in value[:_MAX_ITEMS]]
    # A copy of it all would take long, and another thread may change it meanwhile.
    with suppress(RuntimeError):
        return list(islice(value.items(), _MAX_ITEMS))
    return []


def _is_strong(secret: str) -> bool:
    if secret.isalpha():
        is_word = secret.islower() or secret.istitle() or secret.isupper()
        return len(secret) >= (_LEAST_PLAIN if is_word else 2 * _LEAST_LENGTH)
    return len(secret) >= (_LEAST_STRONG + 1 if secret.isdecimal() else _LEAST_STRONG)
