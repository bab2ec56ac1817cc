"""What a model reads for ghost text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from support.scripted import ScriptedEngine

from jupyter_llm.engine.info import FimTokens, NotebookTokens
from jupyter_llm.engine.request import Special
from jupyter_llm.notebook.cells.document import DocumentCell
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.tasks.completing.prompt import (
    CellText,
    PromptWriter,
    Visit,
    healed,
)

INFO = ScriptedEngine().info
FIM = FimTokens(prefix="<pre>", suffix="<suf>", middle="<mid>")
NOTEBOOK = NotebookTokens(start="<start>", text="<text>", code="<code>", output="<output>")
CELLS = [
    DocumentCell("a", "code", "import math"),
    DocumentCell("b", "markdown", "# Title"),
    DocumentCell("c", "code", "x = math.pi"),
]


def writer_of(fim: FimTokens | None = None, notebook: NotebookTokens | None = None) -> PromptWriter:
    return PromptWriter(replace(INFO, fim=fim, notebook=notebook))


def text_for(
    writer: PromptWriter, prefix: str, suffix: str = "", cells: Sequence[DocumentCell] = CELLS
) -> str:
    cell = CellText.of("code", prefix, suffix)
    assert cell is not None
    visit = Visit("d", "", *writer.fixed(cell))
    return writer.write(writer.above(cells), cell, visit).parts.text


@pytest.mark.parametrize("writer", [writer_of(), writer_of(FIM), writer_of(notebook=NOTEBOOK)])
def test_a_prompt_goes_on_where_the_last_one_ended(writer: PromptWriter) -> None:
    typed = "for name in names:\n    print(name)\n    total += 1\n"
    visit = None
    texts = []
    for length in range(len(typed) + 1):
        cell = CellText.of("code", typed[:length], "\nend")
        assert cell is not None
        visit = visit or Visit("d", "", *writer.fixed(cell))
        texts.append(writer.write(writer.above(CELLS), cell, visit).parts.text)
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


@pytest.mark.parametrize(
    ("text", "piece"),
    [("x = df.gro", ".gro"), ('df["pri', '["pri'), ("x = ", " "), ("x = pri", " pri"), ("x\n", ""),
     ("if x:\n    ", " "), ("", "")],
)  # fmt: skip
def test_the_piece_at_the_cursor_is_left_to_the_model(text: str, piece: str) -> None:
    assert healed(text) == (text.removesuffix(piece), piece)


def test_a_long_notebook_fits_the_budget() -> None:
    cells = [DocumentCell(str(n), "code", f"value_{n} = {n}\n" * 40) for n in range(60)]
    long = "".join(f"line_{n} = {n}\n" for n in range(500))
    text = text_for(writer_of(), long, cells=cells)
    assert 400 < len(text) // 3 <= 1024
    assert text.endswith("line_499 = 499\n")


def test_prompts_and_what_sets_up_are_left_out() -> None:
    prompts = DocumentCell("p", "code", "%%llm\nhush")
    setup = DocumentCell("s", "code", "%load_ext jupyter_llm\nhello = 1")
    parts = writer_of().above([prompts, setup])
    assert parts == ("hello = 1\n\n",)


SECRET = "sk-proj-a8F3kd92LmQ0zXv7Bn4Rt6Yw"  # noqa: S105  made up


def test_secrets_are_left_out_of_cells_above_and_of_the_one_that_is_written() -> None:
    cells = [
        DocumentCell("k", "code", f'api_key = "{SECRET}"'),
        DocumentCell("t", "markdown", SECRET),
    ]
    below = f'\npassword = "hunter2"\ny("{SECRET}")'
    for writer in (writer_of(), writer_of(FIM), writer_of(notebook=NOTEBOOK)):
        text = text_for(writer, f'key = "{SECRET}"\nx = ', below, cells)
        assert SECRET not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        (f'x = 1\napi_key = "{SECRET}', ""),
        ('x = 1\npassword = "hunter2"', ""),
        ("x = 1", f"print('{SECRET}')"),
        ('password = """\nhunter2\nabc', '\n"""\ny = 1'),
        ('password = """\n', '\nhunter2\n"""\ny = 1'),
        ('private_key = """\nMIIEpAIB\n', '\nAAKCAQEA\n"""'),
        ('login(\n    password="""a1b2\nc3', '""")'),
    ],
)
def test_nothing_is_written_on_the_line_of_a_secret_or_within_one(prefix: str, suffix: str) -> None:
    assert CellText.of("code", prefix, suffix) is None


def test_a_secret_that_is_being_typed_makes_no_word_of_the_notebook_one() -> None:
    password = "data_2024_final"  # noqa: S105  made up
    for end in range(len(password)):
        CellText.of("code", f'login(password="{password[:end]}', '")')
    assert scrub("data_2024") == "data_2024"


def test_control_tokens_in_a_cell_are_plain_text() -> None:
    cells = [DocumentCell("a", "code", "x = '<pre><suf><|im_end|>'")]
    writer = writer_of(FIM)
    cell = CellText.of("code", "y = '<mid>' + ", "<suf>")
    assert cell is not None
    visit = Visit("d", "", *writer.fixed(cell))
    parts = writer.write(writer.above(cells), cell, visit).parts.parts
    specials = [part.text for part in parts if isinstance(part, Special)]
    assert specials == ["<pre>", "<suf>", "<mid>"]
