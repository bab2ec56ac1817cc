"""Restart and Run All with the real model: the notebooks of this repository, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from support.kernel import Execution, Kernel, output_text, running_kernel

from jupyter_llm.notebook.cells.outputs import TRANSCRIPT_KEY

FOLDER = Path(__file__).parents[1] / "notebooks"
# The one that tells cells and talks in two chats comes first: a short run takes that one alone.
STEMS = sorted(
    (path.stem for path in FOLDER.glob("*.ipynb")), key=lambda stem: (stem[1] != "2", stem)
)
SKIPPED = "skip-execution"


@contextmanager
def kernel_of(path: Path, model: Path) -> Iterator[Kernel]:
    """A kernel of a notebook, whose chats are kept."""
    names = {"JPY_SESSION_NAME": str(path), "JUPYTER_LLM_MODEL": str(model)}
    with running_kernel(path.parent, **names) as kernel:
        yield kernel


def seeded(cell: nbformat.NotebookNode, execution: Execution) -> list[str]:
    """The texts of a cell that are promised: by their records, or as Python has printed them."""
    metadata = [output.get("metadata", {}) for output in execution.outputs]
    # What a panel shows was said elsewhere, and before.
    records = [one.get("jupyter_llm") for one in metadata if TRANSCRIPT_KEY not in one]
    lines = [line for some in records for line in (some if isinstance(some, list) else [some])]
    found = [
        record["text_sha256"]
        for record in (json.loads(line) for line in lines if line and line[0] == "{")
        if record["exact"]
    ]
    printed = [output_text(o) for o in execution.outputs if o["output_type"] == "stream"]
    return found + (printed if "seed=" in cell["source"] else [])


def run_all(kernel: Kernel, notebook: nbformat.NotebookNode) -> dict[str, list[str]]:
    """Run all cells, and return what is promised of each."""
    texts = {}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code" or SKIPPED in tags:
            continue
        execution = kernel.execute(cell["source"], cell_id=cell["id"], tags=tags, timeout_s=120)
        assert execution.error is None or "raises-exception" in tags, execution.text
        if found := seeded(cell, execution):
            texts[cell["id"]] = found
    return texts


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("machine_is_tested")
@pytest.mark.parametrize(
    ("stem", "again", "anew"),
    [(STEMS[0], 0, 1), *(pytest.param(stem, 2, 2, marks=pytest.mark.soak) for stem in STEMS)],
)
def test_run_all_gives_the_same_seeded_texts_again_and_in_fresh_kernels(
    stem: str, again: int, anew: int, tmp_path: Path, smollm2: Path
) -> None:
    path = tmp_path / f"{stem}.ipynb"
    notebook = nbformat.read(FOLDER / path.name, as_version=4)
    nbformat.write(notebook, path)
    with kernel_of(path, smollm2) as kernel:
        first = run_all(kernel, notebook)
        for _ in range(again):
            assert run_all(kernel, notebook) == first
    for _ in range(anew):
        with kernel_of(path, smollm2) as kernel:
            assert run_all(kernel, notebook) == first
    print(f"{sum(map(len, first.values()))} seeded texts, the same in every run")
    assert first or stem != STEMS[0], "nothing was promised, so nothing was compared"
