"""A notebook's cells as a front end tells them, edit by edit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.errors import DocumentError
from jupyter_llm.notebook.cells.document import Document, DocumentCell


def cell(name: str) -> DocumentCell:
    return DocumentCell(name, "code", f"x = {name!r}")


ABC = Document((cell("a"), cell("b"), cell("c")))


@given(st.data())
def test_edits_do_what_a_list_does(data: st.DataObject) -> None:
    document, plain = ABC, [*ABC.cells]
    for number in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(plain)))
        remove = data.draw(st.integers(0, len(plain) - at))
        insert = [cell(f"{number}-{one}") for one in range(data.draw(st.integers(0, 3)))]
        document = document.edited(at, remove, insert)
        plain[at : at + remove] = insert
        assert document.cells == tuple(plain)
        assert document.revision == number + 1


@pytest.mark.parametrize(("at", "remove"), [(4, 0), (2, 2), (-1, 0), (0, -1)])
def test_an_edit_of_cells_that_are_not_there_says_so(at: int, remove: int) -> None:
    with pytest.raises(DocumentError, match="Send all of them again"):
        ABC.edited(at, remove, [])


def test_above_a_cell_are_those_before_it() -> None:
    assert ABC.above("c") == ABC.cells[:2]
    assert ABC.above("new") == ABC.cells
