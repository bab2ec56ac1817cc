"""A cell is split by the structure of its code, and no line of it is lost."""

from __future__ import annotations

import nbformat
import pytest
from support.paths import ROOT

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.tasks.splitting import parts, split
from jupyter_llm.tasks.target import ShownCell


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\nimport a\n\nimport b\n\n\nx = 1", 2),
        ("import a\nx = a.b\n\ny = 2  # two\n\n# three\n\nz = 3\n# end\n", 3),
        ("import a\nx = 1\ny = 2", 2),
        ("def f():\n    x = 1\n\n    return x\n\n\n@g\ndef h():\n    pass\nf()\n\nh()", 2),
        ("def f():\n    pass\n\n\ndef g():\n    pass", 2),
        ("x = '''\n\n'''\ny = 1; z = (2,\n\n3)", 1),
        ("!ls\n\nx = %timeit -o 1\n \ny?", 3),
        ("x = 1\n\nfor n in", 1),
    ],
)
def test_a_part_is_a_paragraph_or_all_imports_or_all_definitions(
    source: str, expected: int
) -> None:
    assert len(parts(source)) == expected


CELLS = [
    cell.source
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    for cell in nbformat.read(path, as_version=4).cells
    if cell.cell_type == "code" and not cell.source.startswith("%%")
]


def test_a_magic_over_several_lines_is_never_cut() -> None:
    install = "!pip install numpy \\\n    pandas"
    assert parts(f"{install}\nimport os\nx = f(1,\n\n2)") == [
        install,
        "import os",
        "x = f(1,\n\n2)",
    ]
    assert parts(f"{install}\n\nimport os\nx = 1") == [install, "import os\nx = 1"]


def test_the_parts_of_a_cell_are_all_of_its_lines_and_each_is_code() -> None:
    whole = "\n\n".join(CELLS)
    found = parts(whole)
    assert len(found) > len(CELLS) / 2
    assert [line for part in found for line in part.split("\n") if line.strip()] == [
        line for line in whole.split("\n") if line.strip()
    ]
    assert all(parse_cell(part) is not None for part in found)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\ny = 2", "only one part. Put a blank line"),
        ("%%time\nx = 1\n\ny = 2", "%%time applies to"),
    ],
)
def test_a_cell_that_cannot_be_split_says_why(source: str, reason: str) -> None:
    with pytest.raises(MagicUsageError, match=reason):
        split(ShownCell(cell_id="c", source=source))
