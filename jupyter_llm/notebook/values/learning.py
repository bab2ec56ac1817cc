"""What a cell that has run makes known of secrets: its source, what it showed, and variables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.values import known
from jupyter_llm.notebook.values.containers import fields_of
from jupyter_llm.notebook.values.definitions import definition_kind
from jupyter_llm.notebook.values.peek import key_name, own_package
from jupyter_llm.notebook.values.redaction import redact_source, redact_text
from jupyter_llm.notebook.values.secrets import conceal_others, is_secret_name
from jupyter_llm.notebook.values.tables import secrets_in_table

_MAX_INSIDE: Final = 300  # known ones with those in containers, so that a table leaves room
_MAX_LOOKS: Final = 4000  # at values, after a cell
_MAX_DEPTH: Final = 3
_MAX_ITEMS: Final = 200  # of a container

_OF_FIELDS: Final = ("", "types", "argparse")  # packages whose objects hold what the user put there
# What IPython puts there.
_HISTORY: Final = frozenset(
    {"In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "_", "__", "___", "exit", "quit"}
)


def learn(source: str, namespace: Mapping[Any, Any], shown: Iterable[str] = ()) -> None:
    """Take note of the secrets in a cell that has run, and among the variables it has left.

    Values are read as for a summary, but nobody is asked; what lies deep comes last.
    """
    redact_source(unmark(source).strip())
    for text in shown:
        redact_text(text)
    own = [(key, value) for key, value in list(namespace.items()) if key not in _HISTORY]
    level = [(key_name(key), value) for key, value in (*os.environ.items(), *own)]
    conceal_others(level)
    left, most = _MAX_LOOKS, known.MOST
    for _ in range(_MAX_DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for name, value in level[:left]:
            if type(value) in (str, bytes, int):
                if is_secret_name(name):
                    known.note(name, value, most)
            elif len(below) < left:
                above = name if is_secret_name(name) else ""
                below += [(above or key_name(key), one) for key, one in _inside(value)]
        left = max(0, left - len(level))
        level, most = below, _MAX_INSIDE


def _inside(value: Any) -> list[tuple[Any, Any]]:
    """What a container, an object or a table holds, with its names."""
    if type(value) in (list, tuple):
        return [("", one) for one in value[:_MAX_ITEMS]]
    if type(value) is dict:
        # A copy of it all would take long, and another thread may change it meanwhile.
        with suppress(RuntimeError):
            return list(islice(value.items(), _MAX_ITEMS))
        return []
    package = own_package(value)
    if package in ("pandas", "polars", "numpy"):
        return secrets_in_table(value, _MAX_ITEMS)
    if package not in _OF_FIELDS or definition_kind(value) is not None:
        return []
    return list(islice(fields_of(value).items(), _MAX_ITEMS))
