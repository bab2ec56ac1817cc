"""Cells of the notebook that have not run in this kernel, and the names that they bind."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property

from jupyter_llm.common.clipping import shorten
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.timeline import Snapshot
from jupyter_llm.notebook.code.bindings import Binding, bindings
from jupyter_llm.notebook.code.names import defined_names, unknown_names
from jupyter_llm.notebook.values.literals import lines_of
from jupyter_llm.notebook.values.redaction import redact_source

_UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
_MAX_CHARS = 60  # of the line that binds a name
_BINDS = ("assigns", "imports", "defines")


def undefined_name(error: str) -> str:
    """Return the name in the headline of a `NameError`; "" for other errors."""
    match = _UNDEFINED.match(error)
    return match[1] if match is not None else ""


class Unrun:
    """The cells of a notebook that have not run in this kernel, by their places from 0 on.

    An edited cell has not run as it is. A cell that failed since another one had not run counts as
    not run. Hidden cells are left out. `read` returns the notebook when it is needed; `here`: the
    id of the running cell.
    """

    def __init__(
        self,
        read: Callable[[], Document] = Document,
        snapshot: Snapshot | None = None,
        here: str | None = None,
    ) -> None:
        self._read, self._snapshot, self._here = read, snapshot or Snapshot(), here

    @cached_property
    def document(self) -> Document:
        """The notebook with all of its cells."""
        return self._read()

    @cached_property
    def visible(self) -> tuple[DocumentCell, ...]:
        """The cells that prompts may include, run or not."""
        cells, snapshot = self.document.cells, self._snapshot
        return tuple(c for c in cells if not (c.is_off or snapshot.is_hidden(c.cell_id)))

    @cached_property
    def _bindings(self) -> dict[int, tuple[Binding, ...]]:
        """The bindings of each cell that has not run."""
        made = {
            place: bindings(cell.source)
            for place, cell in enumerate(self.document.cells)
            if cell.kind == "code" and not (cell.is_off or self._snapshot.is_hidden(cell.cell_id))
        }
        every = frozenset().union(*map(_bound, made.values()))
        ran = {cell.source for cell in self._snapshot.cells if _lacked(cell) not in every}
        return {at: one for at, one in made.items() if self.document.cells[at].source not in ran}

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that these cells bind."""
        return frozenset().union(*map(_bound, self._bindings.values()))

    def missing(self, sources: Sequence[str], namespace: Container[str]) -> str:
        """Return in words which cell binds a name that code lacks; "" if none does."""
        own = frozenset[str]().union(*map(defined_names, sources))
        unknown = (name for source in sources for name in unknown_names(source, namespace))
        name = next((one for one in unknown if one in self.names - own), "")
        return self.words(name, self.needed(name, self._here, "", namespace))

    def needed(
        self, name: str, cell_id: str | None, source: str, namespace: Container[str]
    ) -> list[int]:
        """Return the cells to run, in order, before a cell that lacks a name.

        Cells that bind other names which it, or one of these cells, reads are included.
        """
        if not name:
            return []
        cells = self.document.cells
        same_id = (at for at, cell in enumerate(cells) if cell.cell_id == cell_id)
        same = (at for at, cell in enumerate(cells) if cell.source == source)
        own = next(same_id, next(same, len(cells)))
        others = {at: made for at, made in self._bindings.items() if at != own}
        binders = [at for at, made in others.items() if name in _bound(made)]
        if not binders:
            return []
        found: list[int] = []
        wanted = {name, *unknown_names(source)}
        for at in reversed([at for at in others if at < max(own, binders[0] + 1)]):
            made = {one.name for one in others[at] if one.verb in (*_BINDS, "changes")}
            if any(one not in namespace for one in wanted & made):
                found.insert(0, at)
                wanted = wanted - made | _read_in(cells[at].source, others[at])
        return found

    def words(self, name: str, needed: Sequence[int]) -> str:
        """Return in words which of some cells binds a name; "" if none does."""
        at = next((at for at in needed if name in _bound(self._bindings[at])), None)
        if at is None:
            return ""
        source = self.document.cells[at].source
        line = next(one.line for one in self._bindings[at] if one.name == name)
        text = lines_of(source)[line - 1].strip()
        is_plain = text in redact_source(source).text  # not a part of a secret
        text = shorten(text.replace("`", "'"), _MAX_CHARS)
        has_failed = any(run.source == source for run in self._snapshot.cells)
        what = "failed" if has_failed else "has not run"
        shown = f" (`{text}`)" * is_plain
        return f"`{name}` is bound by cell {at + 1}{shown}, which {what} in this kernel"


def _lacked(cell: CellEvent) -> str:
    return next((undefined_name(one.text) for one in cell.outputs if one.kind == "error"), "")


def _bound(made: Iterable[Binding]) -> set[str]:
    return {binding.name for binding in made if binding.verb in _BINDS}


def _read_in(source: str, made: Iterable[Binding]) -> set[str]:
    """Return the names that a cell reads before it binds them."""
    read, bound = set(unknown_names(source)), set[str]()
    for binding in made:
        read |= binding.uses - bound
        bound |= _bound([binding])
    return read
