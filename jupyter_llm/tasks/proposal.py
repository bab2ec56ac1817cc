"""Code that the model proposes: a cell to change, or a new one. Nothing of it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.markdown import code_block, untrusted_markdown
from jupyter_llm.notebook.cells.rendering import cell_name

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.cells.events import CellEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A cell as it might be. Shows as a diff, or as code if it is a new cell.

    `cell` is the one to change, None for a new cell; `reason` says why that one. `unknown_names`
    are used in `source` and defined nowhere.
    """

    source: str
    completion: Completion = field(repr=False)
    cell: CellEvent | None = None
    reason: str = ""
    unknown_names: tuple[str, ...] = ()

    @property
    def diff(self) -> str:
        """What changes in the cell, as a unified diff; empty if nothing does."""
        if self.cell is None:
            return ""
        name = cell_name(self.cell)
        before, after = (_lines(text) for text in (self.cell.source, self.source))
        return "".join(unified_diff(before, after, name, f"{name}, changed"))

    def to_markdown(self) -> str:
        """The proposal as Markdown, to be taken for untrusted."""
        return "\n\n".join(self._parts())

    def _parts(self) -> list[str]:
        if self.cell is None:
            parts = [code_block(self.source)]
        elif self.diff:
            name = cell_name(self.cell)
            why = f", which {self.reason}" if self.reason else ""
            parts = [f"A change to {name}{why}:", code_block(self.diff, "diff")]
        else:
            parts = [f"The model would leave {cell_name(self.cell)} as it is."]
        if self.unknown_names:
            names = ", ".join(f"`{name}`" for name in self.unknown_names)
            parts.append(f"Defined nowhere: {names}.")
        return parts

    def __str__(self) -> str:
        return self.to_markdown()

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(str(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        printer.text("Proposal(…)" if cycle else str(self))


def _lines(text: str) -> list[str]:
    """Lines that all end alike: that a text's last one does not is nothing to change."""
    return [f"{line}\n" for line in text.rstrip("\n").split("\n")]
