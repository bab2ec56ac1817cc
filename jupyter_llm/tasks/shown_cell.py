"""A cell as it stands in a page, which may never have run or have been edited since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from jupyter_llm.common.clipping import clip
from jupyter_llm.common.controls import plain
from jupyter_llm.common.markdown import code_block
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import cell_name, cell_text, render_cell
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import split_cell_magic, syntax_error
from jupyter_llm.notebook.values.summaries import tells_data
from jupyter_llm.notebook.values.variables import describe, used
from jupyter_llm.tasks.target import Subject, check_is_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.tasks.task import Task

_MAX_VARIABLE_CHARS = 1200  # of the variables that a cell uses
_MAX_ERROR_CHARS = 3000  # of a traceback that is known as text only
_NUM_BEFORE = 3  # cells


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """A cell as a page shows it, without the line that says which model wrote it.

    `error` is the one that its outputs show. What is selected goes from `start` to before `end`;
    where both are the same, the cursor is there.
    """

    cell_id: str
    source: str
    error: str | None = None
    start: int = 0
    end: int = 0

    @classmethod
    def of_page(
        cls, cell_id: str, source: str, error: str | None, selection: tuple[int, int] | None
    ) -> Self:
        """A cell as a page tells of it; without a selection the cursor counts as at its end."""
        body = unmark(source)
        start, end = selection if selection is not None else (len(source), len(source))
        common = next((n for n, (a, b) in enumerate(zip(source, body, strict=False)) if a != b), 0)
        num_gone = len(source) - len(body)
        start, end = (
            min(place if place <= common else max(common, place - num_gone), len(body))
            for place in (min(start, end), max(start, end))
        )
        return cls(cell_id=cell_id, source=body, error=error, start=max(start, 0), end=max(end, 0))

    @property
    def lines(self) -> list[str]:
        """The lines of the source."""
        return self.source.split("\n")

    @property
    def selected(self) -> range | None:
        """The lines in which something is selected, counted from 0; None if that is nothing."""
        text = self.source[self.start : self.end]
        if not text.strip():
            return None
        first = self.source.count("\n", 0, self.start + len(text) - len(text.lstrip("\n")))
        return range(first, first + text.strip("\n").count("\n") + 1)

    @property
    def cell_magic(self) -> str:
        """The first line, where that is a `%%magic`."""
        return split_cell_magic(self.source)[1]

    def check_is_python(self) -> None:
        """Refuse a cell that is written in something else."""
        check_is_python(self.source, "the cell")

    def check_is_written(self) -> None:
        """Refuse an empty cell."""
        if not self.source.strip():
            raise MagicUsageError("The cell is empty.", "Write into it first, or use Edit.")

    def event(self, cells: Sequence[CellEvent]) -> CellEvent:
        """The cell as a run of it, with what its latest one showed if that was of this source."""
        ran = next((cell for cell in reversed(cells) if cell.cell_id == self.cell_id), None)
        if ran is None:
            return CellEvent(number=0, source=self.source, cell_id=self.cell_id)
        outputs = ran.outputs if unmark(ran.source) == self.source else ()
        return replace(ran, source=self.source, outputs=outputs)

    def attachment(self, cells: Sequence[CellEvent]) -> tuple[str, str]:
        """What a chat is shown of the cell, and what that is called."""
        subject = self.subject(cells)
        assert subject.cell is not None
        count = subject.cell.counts[-1]
        cell = f"In [{count}]" if count is not None else "The cell"
        parts = [cell_text(subject.cell)]
        if subject.rows is not None:
            parts.append(f"Only these lines of it are meant:\n{code_block(subject.source)}")
        if self.error and not subject.cell.has_failed:
            parts.append(f"It failed:\n{error_text(self.error)}")
        return cell, "\n\n".join(parts)

    def subject(self, cells: Sequence[CellEvent]) -> Subject:
        """What a request is about: the cell, or the lines of it that are selected."""
        self.check_is_written()
        cell = self.event(cells)
        name = cell_name(cell)
        text = f"{name[0].upper()}{name[1:]}:\n{cell_text(cell)}"
        rows, title, source = self.selected, name, self.source
        if rows is not None and len(rows) < len(self.lines):
            source = "\n".join(self.lines[rows.start : rows.stop])
            title = "the selected lines"
            text = f"{text}\n\nThe selected lines, which this is about:\n{code_block(source)}"
        else:
            rows = None
        return Subject(kind="cell", title=title, source=source, cell=cell, text=text, rows=rows)

    def check_is_whole(self, answer: Completion) -> None:
        """Refuse an answer that was to be the whole cell, and was cut off."""
        if answer.finish_reason != "stop":
            raise MagicUsageError(
                "The answer is not whole: the cell is too long for this model, or it began to "
                "repeat itself.",
                "Select the lines that matter, or divide the cell.",
            )

    def changed(self, source: str) -> str:
        """The cell with another source, below its own `%%magic`; it parses, or did not before.

        `MagicUsageError`: it is the same, or cannot be read.
        """
        if self.cell_magic and not split_cell_magic(source)[0]:
            source = self.cell_magic + source
        if source.rstrip() == self.source.rstrip():
            raise MagicUsageError("Nothing to change: the model would leave the cell as it is.")
        if syntax_error(source) is not None and syntax_error(self.source) is None:
            raise MagicUsageError("The model wrote no code that fits.", "Try again.")
        return source


def error_text(error: str) -> str:
    """An error as an output shows it, as plain text that is not too long."""
    return clip(plain(error).strip(), _MAX_ERROR_CHARS)


def variables_text(source: str, task: Task) -> str:
    """What the variables hold that a piece of code uses, as part of a prompt."""
    names = [n for n in used(source, task.namespace) if tells_data(task.namespace[n])]
    return described(names, task, "Variables it uses:")


def described(names: Sequence[str], task: Task, title: str) -> str:
    """What some variables hold, as part of a prompt; "" where there is nothing to tell."""
    choice = ",".join(names) or "none"
    told = describe("", (), task.namespace, choice=choice, max_chars=_MAX_VARIABLE_CHARS)
    lines = ["- " + summary.text.replace("\n", "\n  ") for summary in told]
    return "\n".join([title, *lines]) if lines else ""


def cells_before(cell: ShownCell, task: Task) -> str:
    """The cells that ran last, as part of a prompt for code that is to follow them."""
    others = [one for one in task.cells if one.cell_id != cell.cell_id][-_NUM_BEFORE:]
    told = [render_cell(one, source_chars=800, output_chars=300) for one in others]
    return "\n\n".join(["The cells of a notebook that ran last:", *told]) if told else ""
