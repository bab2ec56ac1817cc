"""A cell that runs again replaces the cells it made before, as far as they are as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from IPython.core.interactiveshell import InteractiveShell

from jupyter_llm.notebook.code.landing import CellWriter
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.notebook.code.page import MADE_KEY, MadeCell, NewCell, PageInput


@dataclass
class FakePage:
    """A notebook whose only cell at first is the one that asks for code."""

    cells: dict[str, NewCell] = field(default_factory=lambda: {"asks": NewCell("%%llm", {})})
    is_gone: bool = False
    is_torn: bool = False  # goes away once it has told of its cells
    is_late: bool = False  # the user changes a cell once it was told of
    _ids: Iterator[int] = field(default_factory=count)

    def made_by(self, cell_id: str) -> Sequence[MadeCell] | None:
        if self.is_gone:
            return None
        made = ((i, cell.source, cell.metadata.get(MADE_KEY)) for i, cell in self.cells.items())
        return [MadeCell.of(i, source, m) for i, source, m in made if m and m["cell"] == cell_id]

    def put(self, cell_id: str, cells: Sequence[NewCell], places: Sequence[MadeCell]) -> int | None:
        assert cell_id == "asks"
        if self.is_torn:
            return None
        taken = () if self.is_late else places
        self.cells.update((p.cell_id, cell) for p, cell in zip(taken, cells, strict=False))
        self.cells.update((f"new {next(self._ids)}", cell) for cell in cells[len(taken) :])
        return len(taken)

    def change(self, cell_id: str, before: str, cell: NewCell) -> bool:
        if self.is_gone or self.cells[cell_id].source != before:
            return False
        self.cells[cell_id] = cell
        return True

    def close(self) -> None:
        """Nothing is open."""

    def edit(self, cell_id: str, source: str) -> None:
        self.cells[cell_id] = NewCell(source, self.cells[cell_id].metadata)

    @property
    def sources(self) -> list[str]:
        return [cell.source for cell in self.cells.values()][1:]


@pytest.fixture
def page() -> FakePage:
    return FakePage()


@pytest.fixture
def writer(shell: InteractiveShell, page: FakePage) -> Iterator[CellWriter]:
    writer = PageInput(shell, lambda: page, lambda: "asks")
    yield writer
    writer.close()


def test_a_cell_that_runs_again_replaces_the_one_it_made(
    writer: CellWriter, page: FakePage
) -> None:
    assert writer.write(["a = 1"]) == "the code is in a new cell below"
    for number in (2, 3):
        said = writer.write([f"a = {number}"])
        assert said == (  # Run All has sent what was there to the kernel already
            "the code is below, in place of what this cell made before; run it again, also after"
            " Run All"
        )
        assert page.sources == [f"a = {number}"]
    assert "the code is the same as before" in writer.write(["a = 3"])


def test_the_same_code_stays_the_same_cell_whatever_its_mark_says(
    writer: CellWriter, page: FakePage
) -> None:
    first = mark("a = 1", "m", "0123456789ab")
    writer.write([first], metadata=[{"jupyter_llm": {"digest": "0123456789ab"}}])
    writer.write([mark("a = 1", "m", "ba9876543210")])
    assert page.sources == [first]
    assert page.cells["new 0"].metadata["jupyter_llm"] == {"digest": "0123456789ab"}


def test_a_cell_that_the_user_has_changed_stays_and_that_is_said(
    writer: CellWriter, page: FakePage
) -> None:
    writer.write(["a = 1"])
    page.edit("new 0", "a = 1  # mine")
    said = writer.write(["a = 2"])
    assert said == ("the code is in a new cell below; the cell made before stays as you changed it")
    assert page.sources == ["a = 1  # mine", "a = 2"]
    assert "; 1 other cell that it made stays; run it again" in writer.write(["a = 3"])
    assert page.sources == ["a = 1  # mine", "a = 3"]


def test_more_pieces_than_before_come_into_new_cells(writer: CellWriter, page: FakePage) -> None:
    assert writer.write(["a", "b"]) == "the 2 pieces of code are in 2 new cells below"
    said = writer.write(["c", "d", "e"])
    place = "below, in place of what this cell made before, and in 1 new cell; run it again"
    assert said.startswith(f"the 3 pieces of code are {place}")
    assert page.sources == ["c", "d", "e"]


def test_fewer_pieces_than_before_leave_the_other_cells_and_that_is_said(
    writer: CellWriter, page: FakePage
) -> None:
    writer.write(["c", "d", "e"])
    assert "; 2 other cells that it made stay; run it again" in writer.write(["f"])
    assert page.sources == ["f", "d", "e"]  # nothing of a notebook is taken out


def test_without_a_page_cells_are_added(
    writer: CellWriter, page: FakePage, shell: InteractiveShell
) -> None:
    page.is_gone = True
    assert writer.write(["a = 1"]) == "the code is in a new cell below"
    assert writer.write(["a = 2"]) == "the code is in a new cell below"
    assert shell.rl_next_input == "a = 2"
    assert writer.change("asks", "%%llm", "a = 3", {}) is False


def test_another_cell_is_changed_where_it_is_what_it_was(
    writer: CellWriter, page: FakePage
) -> None:
    writer.write(["a = 1 / 0"])
    assert writer.change("new 0", "a = 1 / 0", "a = 1", {"by": "us"})
    assert page.sources == ["a = 1"]
    assert not writer.change("new 0", "a = 1 / 0", "a = 2", {})
    assert page.sources == ["a = 1"]
