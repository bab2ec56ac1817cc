"""Cells as the model reads them."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.cells.events import CellEvent, Output, OutputKind
from jupyter_llm.notebook.cells.rendering import render_cell
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.notebook.values import redaction
from jupyter_llm.notebook.values.secrets import HIDDEN


def shown(cell: CellEvent) -> str:
    return render_cell(cell, source_chars=300, output_chars=100)


def cell(source: str, *outputs: Output, count: int | None = 3) -> CellEvent:
    return CellEvent(number=1, source=source, execution_count=count, outputs=outputs)


ERROR = "KeyError: 'price'\n  In [2], line 1, in f: d[x]"


@pytest.mark.parametrize(
    ("source", "outputs", "text"),
    [
        ("\nx = 1\n\n", [], "In [3]:\nx = 1\n"),
        (
            "df",
            [("stdout", "loading\n"), ("stderr", "careful\n"), ("result", "   a\n0  1")],
            "In [3]:\ndf\nOut [3]:\nloading\nstderr: careful\n   a\n0  1\n",
        ),
        ("f()", [("error", ERROR)], f"In [3]:\nf()\nOut [3]:\n{ERROR}\n"),
        (mark("x = 1", "a model", "0123456789ab"), [], "In [3]:\nx = 1\n"),  # the mark is not told
    ],
)
def test_a_cell_is_its_source_and_what_it_showed(
    source: str, outputs: list[tuple[OutputKind, str]], text: str
) -> None:
    assert shown(cell(source, *(Output(kind, told) for kind, told in outputs))) == text


def test_source_and_outputs_are_cut_with_numbers() -> None:
    text = shown(cell("x = 1\n" * 500, Output("stdout", "y" * 5000)))
    assert len(text) < 300 + 100 + 120
    assert text.count("characters left out …]") == 2
    assert "4,900" in text


def test_a_cell_that_was_not_counted_has_no_number() -> None:
    assert shown(cell("x", count=None)).startswith("In [ ]:\n")


def test_a_secret_is_not_told_and_what_was_told_once_costs_nothing_more() -> None:
    cells = [
        cell(f"password = 'S02x9-{n}'\nx = {n}\nprint(x)", Output("stdout", f"{n}\npw: S02x9-{n}"))
        for n in range(100)
    ]
    first = [shown(one) for one in cells]
    assert first[7] == (
        f"In [3]:\npassword = '{HIDDEN}'\nx = 7\nprint(x)\nOut [3]:\n7\npw: {HIDDEN}\n"
    )
    num_read = redaction._redact_source.cache_info().misses
    assert [shown(one) for one in cells] == first
    assert redaction._redact_source.cache_info().misses == num_read


def test_lines_that_load_set_and_ask_are_not_told() -> None:
    source = "%load_ext jupyter_llm\nimport json\n%config LLMMagics.seed = 1\n%time x = 1\n%llm hi"
    assert shown(cell(source)) == "In [3]:\nimport json\n%time x = 1\n"
    assert shown(cell("%load_ext nothing")) == "In [3]:\n%load_ext nothing\n"  # it failed
    assert shown(cell("def f():\n    %llm hi")) == "In [3]:\ndef f():\n    %llm hi\n"
