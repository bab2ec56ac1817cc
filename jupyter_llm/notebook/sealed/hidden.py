# ruff: noqa: SLF001  IPython has no other way to it
"""What is hidden, taken out of a sealed copy before code runs in it."""

import linecache
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.shell import own_variables
from jupyter_llm.notebook.values.peek import is_one_of
from jupyter_llm.notebook.values.secrets import NO_OBJECTS, is_secret, looks_secret
from jupyter_llm.notebook.values.summaries import tells_data

_GIVEN = re.compile(r"(_i[i\d]*)|_+\d*")  # by IPython, to what was typed or shown


@dataclass(frozen=True, slots=True)
class Hidden:
    """What code does not find: what was typed, and the lines of these cells and what they showed.

    A draft may use hidden variables, as its user may have asked it to. Code of a guest finds none,
    nor functions of these cells, nor what any cell showed.
    """

    cells: Sequence[CellEvent] = ()
    is_guest: bool = False

    def take_out(self, shell: Any) -> dict[str, object]:
        """Take it out of this process, a copy; returns the user's own variables among it."""
        counts, files = {n for one in self.cells for n in one.counts}, shell.compile._filename_map
        away = {file for file, n in files.items() if n in counts or self._holds(file)}
        for file in away:
            del files[file]  # so that no step of an error tells of it
            linecache.cache.pop(file, None)
        history, names, hook = shell.history_manager, shell.user_ns, shell.displayhook
        history.input_hist_parsed[:] = history.input_hist_raw = [""]
        history._i = history._ii = history._iii = history._i00 = ""
        for kept in ("db_input_cache", "output_hist_reprs", "outputs", "exceptions"):
            getattr(history, kept, []).clear()
        shell.last_execution_result, out = None, history.output_hist
        shown = {id(out.pop(n)) for n in [*out] if self.is_guest or n in counts}
        for given in filter(None, map(_GIVEN.fullmatch, [n for n in names if type(n) is str])):
            if given[1] or self.is_guest or id(names[given[0]]) in shown:
                del names[given[0]]
        if not self.is_guest:
            return {}
        hook._ = hook.__ = hook.___ = None
        for name in filter(looks_secret, list(os.environ)):
            del os.environ[name]
        own, hidden = own_variables(shell), {}
        for name, one in own.items():
            is_away = type(one) is FunctionType and one.__code__.co_filename in away
            if is_away or (is_secret(name, one) and tells_data(one)):
                hidden[name] = one
        ids = {id(one) for one in hidden.values() if not _is_shared(one)}
        hidden |= {name: one for name, one in own.items() if id(one) in ids}
        return {name: names.pop(name) for name in hidden}

    def _holds(self, file: str) -> bool:
        """Whether a hidden cell has all the lines of a file, as of a body below `%%capture`."""
        text = "".join(linecache.getlines(file)).strip()
        return bool(text) and any(text in cell.source for cell in self.cells)


def _is_shared(value: object) -> bool:
    """Whether values that have nothing to do with each other may be this one object."""
    return is_one_of(type(value), NO_OBJECTS) or (type(value) is str and len(value) <= 1)
