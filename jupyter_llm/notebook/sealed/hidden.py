# ruff: noqa: SLF001 IPython has no public way
"""Removes hidden variables and cells from a sealed copy before code runs in it."""

import ctypes
import linecache
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.shell import own_variables
from jupyter_llm.notebook.values.peek import is_one_of
from jupyter_llm.notebook.values.redaction import redact_text
from jupyter_llm.notebook.values.secrets import NO_OBJECTS, looks_secret
from jupyter_llm.notebook.values.summaries import is_hidden

_IPYTHON_NAME = re.compile(r"(_i[i\d]*)|_+\d*")  # IPython's names for inputs and outputs

_BLOCK = slice(47, 49)  # its ends in /proc/self/stat, counted after the name


@dataclass(frozen=True, slots=True)
class Hidden:
    """The parts of the notebook that code in a sealed copy must not read.

    All inputs are removed, and the sources and outputs of `cells`. A draft may use hidden
    variables, because its user may have asked for that. The code of a guest, such as an agent, may
    not. For a guest, all outputs, hidden variables, functions of `cells` and secrets in the
    environment are removed too.
    """

    cells: Sequence[CellEvent] = ()
    is_guest: bool = False

    def remove(self, shell: Any) -> dict[str, object]:
        """Remove the parts from this process, a copy.

        Return the removed variables of the user's.
        """
        counts, files = {n for one in self.cells for n in one.counts}, shell.compile._filename_map
        hidden_files = {file for file, n in files.items() if n in counts or self._holds(file)}
        for file in hidden_files:
            del files[file]  # so that no traceback shows it
            linecache.cache.pop(file, None)
        history, names, hook = shell.history_manager, shell.user_ns, shell.displayhook
        history.input_hist_parsed[:] = history.input_hist_raw = [""]
        history._i = history._ii = history._iii = history._i00 = ""
        for kept in ("db_input_cache", "output_hist_reprs", "outputs", "exceptions"):
            getattr(history, kept, []).clear()
        shell.last_execution_result, out = None, history.output_hist
        shown = {id(out.pop(n)) for n in [*out] if self.is_guest or n in counts}
        for match in filter(
            None, map(_IPYTHON_NAME.fullmatch, [n for n in names if type(n) is str])
        ):
            if match[1] or self.is_guest or id(names[match[0]]) in shown:
                del names[match[0]]
        if not self.is_guest:
            return {}
        hook._ = hook.__ = hook.___ = None
        _clean_environment()
        own = own_variables(shell)
        hidden = {name: one for name, one in own.items() if is_hidden(name, one)}
        ids = {id(one) for one in hidden.values() if not _is_shared(one)}
        hidden |= {name: one for name, one in own.items() if id(one) in ids}
        return {name: names.pop(name) for name in hidden}

    def _holds(self, file: str) -> bool:
        """Whether a hidden cell contains all lines of a file, as of a body below `%%capture`."""
        text = "".join(linecache.getlines(file)).strip()
        return bool(text) and any(text in cell.source for cell in self.cells)


def _clean_environment() -> None:
    """Remove secrets from the environment, and from its original block of memory.

    `/proc/self/environ` shows that block even after variables have changed.
    """
    for name, value in list(os.environ.items()):
        if _is_secret_setting(f"{name}={value}"):
            del os.environ[name]
    numbers = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    start, end = map(int, numbers[_BLOCK])
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        if _is_secret_setting(os.fsdecode(entry)):
            ctypes.memset(start, 0, len(entry))
        start += len(entry) + 1


def _is_secret_setting(entry: str) -> bool:
    """Whether an entry of the environment, `NAME=VALUE`, contains a secret."""
    return looks_secret(entry.partition("=")[0]) or bool(redact_text(entry, notes=False).secrets)


def _is_shared(value: object) -> bool:
    """Whether unrelated variables may share this object."""
    return is_one_of(type(value), NO_OBJECTS) or (type(value) is str and len(value) <= 1)
