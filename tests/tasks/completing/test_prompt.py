"""What a model reads for ghost text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import ScriptedEngine

from jupyter_llm.engine.info import FimTokens, NotebookTokens
from jupyter_llm.engine.request import Special
from jupyter_llm.notebook.cells.document import DocumentCell
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.tasks.completing.prompt import (
    CellText,
    PromptWriter,
    Visit,
    first_kept,
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
    return PromptWriter(replace(INFO, fim=fim, notebook=notebook), lambda text: len(text) // 3)


def text_for(writer: PromptWriter, prefix: str, suffix: str = "", names: str = "") -> str:
    cell = CellText.of("code", prefix, suffix)
    assert cell is not None
    visit = Visit("d", names, *writer.fixed(cell))
    return writer.write(writer.above(CELLS), cell, visit).parts.text


def test_notebook_tokens_make_cells() -> None:
    text = text_for(writer_of(notebook=NOTEBOOK), "y = x +")
    assert text == (
        "<start><code>import math\n<text># Title\n<code>x = math.pi\n<code>y = x"
    )  # fmt: skip


def test_without_them_prose_is_a_comment() -> None:
    text = text_for(writer_of(), "y = x +", names="# names\n")
    assert text == "import math\n\n# # Title\n\nx = math.pi\n\n# names\ny = x"


def test_what_grows_with_every_key_comes_last_where_the_model_fills_in() -> None:
    text = text_for(writer_of(FIM), "if x:\n    y = x +", "\nz = 1")
    assert text == (
        "<pre>import math\n\n# # Title\n\nx = math.pi\n\nif x:\n<suf>\nz = 1<mid>    y = x"
    )  # fmt: skip


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


@given(st.text())
def test_nothing_is_lost_by_that(text: str) -> None:
    assert "".join(healed(text)) == text


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(60, 200))
def test_what_is_kept_fits(counts: list[int], budget: int) -> None:
    assert sum(counts[first_kept(counts, budget) :]) <= budget


def test_much_is_left_out_at_once_and_seldom() -> None:
    starts = [first_kept([10] * number, 100) for number in range(100)]
    assert len(set(starts)) <= 1 + 990 // 50
    assert starts == sorted(starts)


def test_a_long_notebook_fits_the_budget() -> None:
    engine = ScriptedEngine()
    writer = PromptWriter(engine.info, lambda text: len(text) // 3)
    cells = [DocumentCell(str(n), "code", f"value_{n} = {n}\n" * 40) for n in range(60)]
    long = "".join(f"line_{n} = {n}\n" for n in range(500))
    cell = CellText.of("code", long, "")
    assert cell is not None
    visit = Visit("d", "", *writer.fixed(cell))
    text = writer.write(writer.above(cells), cell, visit).parts.text
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
    for writer in (writer_of(), writer_of(FIM), writer_of(notebook=NOTEBOOK)):
        cell = CellText.of(
            "code", f'key = "{SECRET}"\nx = ', f'\npassword = "hunter2"\ny("{SECRET}")'
        )
        assert cell is not None
        visit = Visit("d", "", *writer.fixed(cell))
        text = writer.write(writer.above(cells), cell, visit).parts.text
        assert SECRET not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "line", [f'api_key = "{SECRET}', 'password = "hunter2"', f"print('{SECRET}')"]
)
def test_nothing_is_written_on_the_line_of_a_secret(line: str) -> None:
    assert CellText.of("code", f"x = 1\n{line}", "") is None
    assert CellText.of("code", "x = 1", line) is None


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ('password = """\nhunter2\nabc', '\n"""\ny = 1'),
        ('password = """\n', '\nhunter2\n"""\ny = 1'),
        ('private_key = """\nMIIEpAIB\n', '\nAAKCAQEA\n"""'),
        ('login(\n    password="""a1b2\nc3', '""")'),
    ],
)
def test_nothing_is_written_within_a_secret_of_several_lines(prefix: str, suffix: str) -> None:
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
