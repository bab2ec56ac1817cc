"""Generated code lands in cells, marked, and never runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.kernel import Execution, Kernel, running_kernel
from support.shell import run

from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.code.landing import (
    CellWriter,
    Insertion,
    Landing,
    NewCell,
    NextInput,
)
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.tasks.placing import change


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
        "inserted the first of 3 cells in place of this cell; run it to insert the next"
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
    """A page that says what has come of the code that it is told, one answer after another."""

    answers: list[Landing | None] = field(default_factory=list)
    told: list[tuple[str, list[str], str | None]] = field(default_factory=list)

    def land(
        self, cell_id: str, cells: Sequence[NewCell], before: str | None = None
    ) -> Landing | None:
        self.told.append((cell_id, [cell.body for cell in cells], before))
        return self.answers.pop(0)

    def show_fix(self, _cell_id: str) -> None:
        """No cell failed."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def page() -> FakePage:
    return FakePage()


@pytest.fixture
def paged(shell: InteractiveShell, page: FakePage) -> Iterator[CellWriter]:
    writer = CellWriter(shell, lambda: page, lambda: ("asks", "%%llm --replace"))
    yield writer
    writer.close()


@pytest.mark.parametrize(
    ("num", "landing", "said"),
    [
        (1, Landing(), "inserted below"),
        (2, Landing(), "inserted 2 cells below"),
        (1, Landing(is_same=True), "the code below is unchanged"),
        (
            1,
            Landing(num_staying=1),
            "inserted below; 1 other cell of an earlier run stays",
        ),
        (
            3,
            Landing(num_replaced=2, num_staying=2),
            (
                "inserted 3 cells below, in place of the 2 cells of an earlier run; 2 other cells"
                " of an earlier run stay; run them again, also after Run All"
            ),
        ),
    ],
)
def test_where_a_page_has_put_code_is_said(
    paged: CellWriter, page: FakePage, num: int, landing: Landing, said: str
) -> None:
    page.answers = [landing]
    sources = [mark(f"a = {number}", "m", "0123456789ab") for number in range(num)]
    assert paged.write(sources) == Insertion(said, has_metadata=True)
    assert page.told == [("asks", [f"a = {number}" for number in range(num)], None)]


def test_a_cell_that_is_not_to_be_replaced_stays_and_the_code_is_below(
    paged: CellWriter, page: FakePage
) -> None:
    page.answers = [Landing(num_replaced=1)]
    assert paged.write(["a", "b"], replace=True).words == (
        "inserted in place of this cell and below"
    )
    assert page.told == [("asks", ["a", "b"], "%%llm --replace")]
    page.answers = [Landing(refusal="cell"), Landing()]
    said = "inserted below: this cell is read-only"
    assert paged.write(["a"], replace=True) == Insertion(said, has_metadata=True)


def test_nothing_is_put_into_a_read_only_notebook(
    paged: CellWriter, page: FakePage, shell: InteractiveShell
) -> None:
    shell.rl_next_input = None
    page.answers = [Landing(refusal="notebook")]
    said = "not inserted: this cell is in a read-only notebook"
    assert paged.write(["a"], replace=True) == Insertion(said, is_landed=False)
    assert shell.rl_next_input is None


def test_a_change_that_lands_nowhere_is_said_once(paged: CellWriter, page: FakePage) -> None:
    page.answers = [Landing(refusal="notebook")] * 2
    failed = CellEvent(number=1, source="a = 1 / 0", cell_id="failed", execution_count=3)
    place, _ = change(paged, failed, "a = 1", None)
    assert place == Insertion("not inserted: this cell is in a read-only notebook", is_landed=False)


def test_without_a_page_cells_are_added(
    paged: CellWriter, page: FakePage, shell: InteractiveShell
) -> None:
    page.answers = [None, None]
    assert paged.write(["a = 2"]).words == "inserted below"
    assert shell.rl_next_input == "a = 2"
    assert paged.change("asks", "%%llm", "a = 3", {}) == "cannot be changed from here"


def test_why_another_cell_is_not_changed_is_said(paged: CellWriter, page: FakePage) -> None:
    page.answers = [Landing(num_replaced=1), Landing(refusal="changed")]
    assert paged.change("failed", "a = 1 / 0", "a = 1", {}) == ""
    assert paged.change("failed", "a = 1 / 0", "a = 1", {}) == "has changed meanwhile"
    assert page.told[0] == ("failed", ["a = 1"], "a = 1 / 0")
