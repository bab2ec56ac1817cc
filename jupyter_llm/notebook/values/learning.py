"""Registers the secrets of a cell that has run: in its source, outputs and variables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.containers import fields_of
from jupyter_llm.notebook.values.definitions import definition_kind
from jupyter_llm.notebook.values.peek import key_name, own_package
from jupyter_llm.notebook.values.redaction import redact_source, redact_text
from jupyter_llm.notebook.values.secrets import conceal_others, is_secret_name
from jupyter_llm.notebook.values.tables import secrets_in_table

_MAX_INSIDE: Final = 300  # most secrets if they are in containers, so that a table leaves room
_MAX_LOOKS: Final = 4000  # values read after a cell
_MAX_DEPTH: Final = 3
_MAX_ITEMS: Final = 200  # of a container

# packages whose objects have fields that the user set
_OF_FIELDS: Final = ("", "types", "argparse")
# IPython's own variables.
_HISTORY: Final = frozenset(
    {"In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "_", "__", "___", "exit", "quit"}
)


def learn(source: str, namespace: Mapping[Any, Any], shown: Iterable[str] = ()) -> None:
    """Register the secrets in a cell that has run, and in the variables.

    Values are read as for a summary, without running the user's code. Nested values come last.
    """
    redact_source(unmark(source).strip())
    for text in shown:
        redact_text(text)
    own = [(key, value) for key, value in list(namespace.items()) if key not in _HISTORY]
    level = [(key_name(key), value) for key, value in (*os.environ.items(), *own)]
    conceal_others(level)
    remaining, most = _MAX_LOOKS, seen_secrets.MOST
    for _ in range(_MAX_DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for name, value in level[:remaining]:
            if type(value) in (str, bytes, int):
                if is_secret_name(name):
                    seen_secrets.note(name, value, most)
            elif len(below) < remaining:
                above = name if is_secret_name(name) else ""
                below += [(above or key_name(key), one) for key, one in _inside(value)]
        remaining = max(0, remaining - len(level))
        level, most = below, _MAX_INSIDE


def _inside(value: Any) -> list[tuple[Any, Any]]:
    """Return the contents of a container, an object or a table, with names."""
    if type(value) in (list, tuple):
        return [("", one) for one in value[:_MAX_ITEMS]]
    if type(value) is dict:
        # A full copy would be slow, and another thread may change it meanwhile.
        with suppress(RuntimeError):
            return list(islice(value.items(), _MAX_ITEMS))
        return []
    package = own_package(value)
    if package in ("pandas", "polars", "numpy"):
        return secrets_in_table(value, _MAX_ITEMS)
    if package not in _OF_FIELDS or definition_kind(value) is not None:
        return []
    return list(islice(fields_of(value).items(), _MAX_ITEMS))
