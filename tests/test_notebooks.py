"""Every notebook in notebooks/ runs from top to bottom with the real model."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# The first has a test of its own, below; the second is run three times by test_run_all.py.
ELSEWHERE = ("01_first_prompt", "02_notebook_context")


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def cell_with(notebook: nbformat.NotebookNode, part: str) -> nbformat.NotebookNode:
    cell: nbformat.NotebookNode
    (cell,) = (c for c in notebook["cells"] if c["cell_type"] == "code" and part in c["source"])
    return cell


def output(cell: nbformat.NotebookNode) -> str:
    return "".join(
        out.get("text") or out["data"].get("text/markdown") or out["data"]["text/plain"]
        for out in cell["outputs"]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("machine_is_tested")
@pytest.mark.parametrize("stem", [path.stem for path in NOTEBOOKS if path.stem not in ELSEWHERE])
def test_every_notebook_runs(stem: str, tmp_path: Path, smollm2: Path) -> None:
    executed(FOLDER / f"{stem}.ipynb", tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook["cells"])


@pytest.mark.slow
@pytest.mark.usefixtures("machine_is_tested")
def test_the_first_prompt_notebook_shows_what_it_says(tmp_path: Path, smollm2: Path) -> None:
    notebook = executed(FOLDER / "01_first_prompt.ipynb", tmp_path)

    def shown(part: str) -> str:
        return output(cell_with(notebook, part))

    first, follow_up = shown("what is a Jupyter notebook"), shown("say it to a child")
    assert "(0 cached)" in first
    assert "(0 cached)" not in follow_up
    assert shown("{{temperatures[warmest]}}")
    assert shown("headline <<") == ""
    assert "completion" not in shown("headline.text")
    assert len(shown("headline.text").splitlines()) >= 2
    assert shown("for city in temperatures").count(" - ") >= 3
    assert shown("Invent a name").rstrip().endswith("seed 7")
    assert shown("interrupted.finish_reason").startswith("cancelled after")
    assert "smollm2" in shown("%llm /status")
