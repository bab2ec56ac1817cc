"""The notebook's cells as the front end shows them, run or not."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from jupyter_llm.errors import DocumentError, NotebookFileError
from jupyter_llm.notebook.files import read_notebook

CellKind = Literal["code", "markdown", "raw"]


@dataclass(frozen=True, slots=True)
class DocumentCell:
    """A cell as the front end shows it; `source` may not have run.

    If `is_off`, no prompt may include the cell.
    """

    cell_id: str
    kind: CellKind
    source: str
    is_off: bool = False


def is_tagged(cell: Mapping[str, Any], tags: Container[object]) -> bool:
    """Whether a cell of a notebook file has one of some tags."""
    metadata = cell.get("metadata")
    own = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(own, list) and any(tag in tags for tag in own if isinstance(tag, str))


@dataclass(frozen=True, slots=True)
class Document:
    """All cells of a notebook in order; `revision` counts the edits."""

    cells: tuple[DocumentCell, ...] = ()
    revision: int = 0

    @classmethod
    def saved(cls, path: Path, hiding: frozenset[str]) -> Self:
        """Return a notebook file; empty if unreadable. `hiding`: the tags of cells that are off."""
        with suppress(NotebookFileError, AttributeError, TypeError):  # a damaged one
            cells = [
                DocumentCell(
                    str(cell.get("id")),
                    cell.get("cell_type"),
                    cell["source"],
                    is_off=is_tagged(cell, hiding),
                )
                for cell in read_notebook(path)["cells"]
            ]
            return cls(tuple(cells))
        return cls()

    def edited(self, at: int, remove: int, insert: Sequence[DocumentCell]) -> Document:
        """Return the document after replacing `remove` cells by `insert`.

        `DocumentError`: there are no such cells, so the front end sends all cells again.
        """
        if at < 0 or remove < 0 or at + remove > len(self.cells):
            raise DocumentError(
                f"There are {len(self.cells)} cells, so {remove} cannot be taken out from "
                f"number {at} on. Send all of them again."
            )
        cells = (*self.cells[:at], *insert, *self.cells[at + remove :])
        return replace(self, cells=cells, revision=self.revision + 1)

    def find(self, cell_id: str) -> DocumentCell | None:
        """Return the cell of an id, or None."""
        return next((cell for cell in self.cells if cell.cell_id == cell_id), None)

    def above(self, cell_id: str) -> tuple[DocumentCell, ...]:
        """Return the cells before one; all of them if there is no such cell yet."""
        places = (place for place, cell in enumerate(self.cells) if cell.cell_id == cell_id)
        return self.cells[: next(places, len(self.cells))]
