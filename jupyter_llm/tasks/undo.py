"""Undoes runs of written code: brings back the variables that a run changed, and nothing else.

Three moments are compared: before the run, after it, and now. What differs between the first two
was changed by the run. What differs between the last two was changed by the user afterwards, and
stays as it is.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.tables import count_of, human_size
from jupyter_llm.errors import UndoError
from jupyter_llm.models.machine import free_memory
from jupyter_llm.notebook.cells.shell import own_variables
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.records.records import source_sha256
from jupyter_llm.tasks.replay import Replays

if TYPE_CHECKING:
    from jupyter_llm.notebook.sealed.frozen_copy import FrozenCopy  # only Linux has it

_MOST_RUNS = 5
_MOST_WRITTEN = 500
_MAX_TITLE = 40  # characters of a run's first line


@dataclass(frozen=True, slots=True)
class Undone(Rich):
    """What `/undo` did to the variables.

    `left`: those that the user changed after the run. `opaque`: those that cannot be copied, with
    the reasons; they may have changed.
    """

    title: str
    restored: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    opaque: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [f"Undone: the run of `{one_line(self.title)}`."]
        if not (self.restored or self.deleted):
            parts.append("No variable was changed back.")
        opaque = [f"`{one_line(name)}` ({reason})" for name, reason in self.opaque]
        for words, items in (
            ("Restored", _quoted(self.restored)),
            ("Deleted", _quoted(self.deleted)),
            ("Not restored, because you changed them afterwards", _quoted(self.left)),
            ("Cannot be compared or restored", opaque),
        ):
            if items:
                parts.append(f"{words}: {', '.join(items)}.")
        return " ".join(parts)

    def __repr__(self) -> str:
        return str(self)


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{one_line(name)}`" for name in names]


@dataclass(slots=True)
class _Run:
    """A run, with the variables before and after it; the latter are None while it runs."""

    title: str
    before: FrozenCopy
    after: FrozenCopy | None = None

    @property
    def copies(self) -> tuple[FrozenCopy, ...]:
        return (self.before,) if self.after is None else (self.before, self.after)

    def close(self) -> None:
        for copy in self.copies:
            copy.close()


class KeptRuns:
    """The last runs of code that a model wrote, with their variables before and after."""

    def __init__(self) -> None:
        self._written: dict[str, None] = {}  # hashes of sources
        self._runs: list[_Run] = []
        self._running: _Run | None = None
        self.replays = Replays()
        self._reason = "no code of a model has run yet"  # why there is no run
        # Digests of restored objects, which differ from those of the objects that they replace.
        self._same: dict[str, str] = {}

    def wrote(self, *sources: str) -> None:
        """Note sources that were offered to the user. Their runs will be kept."""
        for source in sources:
            self._written[source_sha256(unmark(source))] = None
        while len(self._written) > _MOST_WRITTEN:
            del self._written[next(iter(self._written))]

    def begin(self, source: str, shell: Any) -> None:
        """Keep the variables of a shell if the source was written. It runs now."""
        body = unmark(source)
        if source_sha256(body) in self._written and (before := self._copy(shell)) is not None:
            self._running = _Run(shorten(body.strip().partition("\n")[0], _MAX_TITLE), before)

    def end(self, shell: Any) -> None:
        """Keep the variables after the run that began, if there is one."""
        run, self._running = self._running, None
        if run is None:
            return
        run.after = self._copy(shell)
        if run.after is None:
            run.close()
            return
        self._runs.append(run)
        while len(self._runs) > _MOST_RUNS:
            self._runs.pop(0).close()
        while self._runs and self.num_bytes > free_memory().ram_bytes:
            self._reason = "the old values would use more memory than is free"
            self._runs.pop(0).close()

    @property
    def num_bytes(self) -> int:
        """Return the memory that the runs use."""
        return _memory_of([copy.pid for run in [*self._runs] for copy in run.copies])

    def __len__(self) -> int:
        return len(self._runs)

    def __str__(self) -> str:
        return f"{count_of(len(self), 'run')}, {human_size(self.num_bytes)}"

    def undo(self, shell: Any) -> Undone:
        """Undo the last run. On another thread than the main one, wait for the main thread.

        Raises
        ------
        UndoError
            No run is kept, or a cell is running.
        """
        from jupyter_llm.notebook.sealed.main_thread import (
            MainThreadBusy,
            in_main_thread,
            is_main_thread,
        )

        if is_main_thread():
            return self._undo(shell)
        kernel = getattr(shell, "kernel", None)
        try:
            return in_main_thread(kernel, partial(self._undo, shell), tick=lambda: None)
        except MainThreadBusy:
            raise UndoError("A cell is running. Undo the last run once it has ended.") from None

    def _undo(self, shell: Any) -> Undone:
        from jupyter_llm.notebook.sealed.frozen_copy import why_opaque

        if not self._runs:
            raise UndoError(f"There is nothing to undo: {self._reason}.")
        run = self._runs[-1]
        before, after, now = self._moments(run, shell)
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        wanted = {name for name in changed if now.get(name) == after.get(name)}
        opaque = {name: why for name in before if (why := why_opaque(before[name]))}
        values = run.before.values((wanted & before.keys()) - opaque.keys())
        # Others that share objects with them may have been changed by the user.
        values = {name: old for name, old in values.items() if now.get(name) == after.get(name)}
        deleted = (wanted & now.keys()) - before.keys()
        left = {name for name in changed - wanted if now.get(name) != before.get(name)}
        shell.user_ns.update(values)
        for name in deleted:
            del shell.user_ns[name]
        self._runs.pop().close()
        self._reason = "all kept runs are undone"
        if self._runs:
            again = self._digests(shell)
            self._same.update({again[name]: before[name] for name in values})
        return Undone(
            run.title,
            tuple(sorted(values)),
            tuple(sorted(deleted)),
            tuple(sorted(left - opaque.keys())),
            tuple((name, why) for name, why in sorted(opaque.items()) if name in now),
        )

    def _moments(self, run: _Run, shell: Any) -> list[dict[str, str]]:
        """Return the digests of the variables before a run, after it, and now."""
        try:
            kept = [copy.digests() for copy in run.copies]
        except UndoError:
            self._runs.remove(run)
            run.close()
            raise
        return [
            {name: self._same.get(digest, digest) for name, digest in moment.items()}
            for moment in (*kept, self._digests(shell))
        ]

    def _digests(self, shell: Any) -> dict[str, str]:
        """Return the digests of a shell's variables now."""
        copy = _copy_of(shell)
        try:
            return copy.digests()
        finally:
            copy.close()

    def _copy(self, shell: Any) -> FrozenCopy | None:
        """Return a copy of a shell's variables, None if none can be made."""
        try:
            return _copy_of(shell)
        except UndoError as error:
            self._reason = str(error).rstrip(".")
            return None


def _copy_of(shell: Any) -> FrozenCopy:
    from jupyter_llm.notebook.sealed.trying import why_not

    if reason := why_not():
        raise UndoError(f"The variables cannot be kept: {reason}.")
    from jupyter_llm.notebook.sealed.frozen_copy import FrozenCopy  # only Linux has it

    own = own_variables(shell).items()
    return FrozenCopy({name: value for name, value in own if name.strip("_")})  # `_` is an output


def _memory_of(pids: Sequence[int]) -> int:
    """Return the memory that forks of this process use beyond what it would use alone."""
    own = _kilobytes(os.getpid())
    together = own["Pss_Anon"] + sum(_kilobytes(pid)["Pss_Anon"] for pid in pids)
    return max(0, together - own["Anonymous"]) << 10 if pids else 0


def _kilobytes(pid: int) -> Counter[str]:
    """Return the sizes of a process's memory by kind; none if it has ended.

    See proc_pid_smaps(5).
    """
    text = ""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8", "replace")
    lines = (line.split() for line in text.splitlines()[1:])
    return Counter({words[0].rstrip(":"): int(words[1]) for words in lines})
