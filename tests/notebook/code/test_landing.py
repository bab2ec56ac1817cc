"""Generated code lands in cells, marked, and never runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.kernel import Execution, Kernel, running_kernel
from support.shell import run

from jupyter_llm.notebook.code.landing import (
    MADE_KEY,
    CellWriter,
    MadeCell,
    NewCell,
    NextInput,
)
from jupyter_llm.notebook.code.marks import mark


@pytest.fixture
def writer(shell: InteractiveShell) -> Iterator[NextInput]:
    writer = NextInput(shell)
    yield writer
    writer.close()


def landed(shell: InteractiveShell) -> str | None:
    """Return the cell that landed since the last look."""
    source: Any = getattr(shell, "rl_next_input", None)
    shell.rl_next_input = None
    return source if isinstance(source, str) else None


def test_the_next_piece_lands_below_the_next_cell_that_works(
    shell: InteractiveShell, writer: NextInput
) -> None:
    note = writer.write(["a = nowhere", "b = a", "c = b"], replace=True)
    assert note == (
        "the first of 3 pieces of code is in place of this cell; run it, and the next follows"
    )
    assert landed(shell) == "a = nowhere"
    run(shell, "a = nowhere", raises=NameError)
    assert landed(shell) is None
    run(shell, "a = 1")
    assert landed(shell) == "b = a"
    run(shell, "b = a")
    assert landed(shell) == "c = b"
    run(shell, "c = b")
    assert landed(shell) is None


def test_another_answer_gives_up_what_is_left_of_the_one_before(
    shell: InteractiveShell, writer: NextInput
) -> None:
    writer.write(["a = 1", "b = 2"])
    writer.write(["x = 1"])
    assert landed(shell) == "x = 1"
    run(shell, "x = 1")
    assert landed(shell) is None


def test_nothing_lands_after_closing(shell: InteractiveShell, writer: NextInput) -> None:
    writer.write(["a = 1", "b = 1"])
    landed(shell)
    writer.close()
    writer.close()
    run(shell, "a = 1")
    assert landed(shell) is None


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with running_kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.execute(
            "from jupyter_llm.notebook.code.landing import NextInput\n"
            "writer = NextInput(get_ipython())"
        )
        yield kernel


def payloads(execution: Execution) -> list[tuple[str, bool]]:
    return [(each["text"], each["replace"]) for each in execution.reply["payload"]]


def test_cells_arrive_in_the_replies_of_a_real_kernel_and_do_not_run(kernel: Kernel) -> None:
    asked = kernel.execute("writer.write(['a = 1', 'b = a', 'a + b'])", cell_id="asked")
    assert payloads(asked) == [("a = 1", False)]
    codes = ("'a' in globals()", "a = 1", "b = a")
    others = [kernel.execute(code, cell_id=code) for code in codes]
    assert others[0].text == "False"
    assert [payloads(one) for one in others] == [[("b = a", False)], [("a + b", False)], []]
    asked = kernel.execute("writer.write(['x = 1'], replace=True)", cell_id="asked")
    assert payloads(asked) == [("x = 1", True)]


@dataclass
class FakePage:
    """A notebook whose only cell at first is the one that asks for code."""

    cells: dict[str, NewCell] = field(default_factory=lambda: {"asks": NewCell("%%llm", {})})
    is_gone: bool = False
    _ids: Iterator[int] = field(default_factory=count)

    def made_by(self, cell_id: str) -> Sequence[MadeCell] | None:
        if self.is_gone:
            return None
        made = ((i, cell.source, cell.metadata.get(MADE_KEY)) for i, cell in self.cells.items())
        return [MadeCell.of(i, source, m) for i, source, m in made if m and m["cell"] == cell_id]

    def put(self, cell_id: str, cells: Sequence[NewCell], places: Sequence[MadeCell]) -> int | None:
        assert cell_id == "asks"
        self.cells.update((p.cell_id, cell) for p, cell in zip(places, cells, strict=False))
        self.cells.update((f"new {next(self._ids)}", cell) for cell in cells[len(places) :])
        return len(places)

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
def paged(shell: InteractiveShell, page: FakePage) -> Iterator[CellWriter]:
    writer = CellWriter(shell, lambda: page, lambda: "asks")
    yield writer
    writer.close()


def test_a_cell_that_runs_again_replaces_the_one_it_made(paged: CellWriter, page: FakePage) -> None:
    assert paged.write(["a = 1"]) == "the code is in a new cell below"
    for number in (2, 3):
        said = paged.write([f"a = {number}"])
        assert said == (  # Run All has sent what was there to the kernel already
            "the code is below, in place of what this cell made before; run it again, also after"
            " Run All"
        )
        assert page.sources == [f"a = {number}"]
    assert "the code is the same as before" in paged.write(["a = 3"])


def test_the_same_code_stays_the_same_cell_whatever_its_mark_says(
    paged: CellWriter, page: FakePage
) -> None:
    first = mark("a = 1", "m", "0123456789ab")
    paged.write([first], metadata=[{"jupyter_llm": {"digest": "0123456789ab"}}])
    paged.write([mark("a = 1", "m", "ba9876543210")])
    assert page.sources == [first]
    assert page.cells["new 0"].metadata["jupyter_llm"] == {"digest": "0123456789ab"}


def test_a_cell_that_the_user_has_changed_stays_and_that_is_said(
    paged: CellWriter, page: FakePage
) -> None:
    paged.write(["a = 1"])
    page.edit("new 0", "a = 1  # mine")
    said = paged.write(["a = 2"])
    assert said == "the code is in a new cell below; 1 other cell that it made stays"
    assert page.sources == ["a = 1  # mine", "a = 2"]
    assert "; 1 other cell that it made stays; run it again" in paged.write(["a = 3"])
    assert page.sources == ["a = 1  # mine", "a = 3"]


def test_more_or_fewer_pieces_than_before_are_said(paged: CellWriter, page: FakePage) -> None:
    assert paged.write(["a", "b"]) == "the 2 pieces of code are in 2 new cells below"
    said = paged.write(["c", "d", "e"])
    place = "below, in place of what this cell made before, and in 1 new cell; run it again"
    assert said.startswith(f"the 3 pieces of code are {place}")
    assert page.sources == ["c", "d", "e"]
    assert "; 2 other cells that it made stay; run it again" in paged.write(["f"])
    assert page.sources == ["f", "d", "e"]  # nothing of a notebook is taken out


def test_without_a_page_cells_are_added(
    paged: CellWriter, page: FakePage, shell: InteractiveShell
) -> None:
    page.is_gone = True
    assert paged.write(["a = 1"]) == "the code is in a new cell below"
    assert paged.write(["a = 2"]) == "the code is in a new cell below"
    assert shell.rl_next_input == "a = 2"
    assert paged.change("asks", "%%llm", "a = 3", {}) is False


def test_another_cell_is_changed_where_it_is_what_it_was(paged: CellWriter, page: FakePage) -> None:
    paged.write(["a = 1 / 0"])
    assert paged.change("new 0", "a = 1 / 0", "a = 1", {"by": "us"})
    assert page.sources == ["a = 1"]
    assert not paged.change("new 0", "a = 1 / 0", "a = 2", {})
    assert page.sources == ["a = 1"]
