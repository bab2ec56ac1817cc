"""Every notebook in notebooks/ runs from top to bottom with the real model."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_llm import llm

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LOOKED_AT = ("01_first_prompt", "02_notebook_context", "06_chat")  # in tests of their own, below


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
@pytest.mark.parametrize("stem", [path.stem for path in NOTEBOOKS if path.stem not in LOOKED_AT])
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


@pytest.mark.slow
@pytest.mark.usefixtures("machine_is_tested")
def test_below_a_panel_stands_what_cells_and_python_said_in_its_chat(
    tmp_path: Path, smollm2: Path
) -> None:
    notebook = executed(FOLDER / "06_chat.ipynb", tmp_path)

    def transcript(part: str) -> str:
        view, below = cell_with(notebook, part)["outputs"]
        assert "application/vnd.jupyter.widget-view+json" in view["data"]
        assert "jupyter_llm_transcript" in below["metadata"]
        return str(below["data"]["text/plain"])

    answers = [output(cell_with(notebook, part)) for part in ("Peru", "language", "after=")]
    first, second, other = (re.split(r"\n\n[*(]", answer)[0] for answer in answers)  # without notes
    said = transcript('ChatPanel("ideas"')
    assert "> What is the capital of Peru?\n" in said
    assert "> Which language do people speak there?\n" in said
    assert said.index(first) < said.index(second)
    assert other not in said  # another branch was chosen
    assert "empty chat" in transcript("%llm /chat")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("machine_is_tested")
def test_seeded_answers_of_a_saved_notebook_come_out_the_same_and_an_edited_seed_does_not(
    tmp_path: Path, smollm2: Path, fresh_llm: None
) -> None:
    path = tmp_path / "executed.ipynb"
    notebook = executed(FOLDER / "02_notebook_context.ipynb", tmp_path)
    nbformat.write(notebook, path)
    report = llm.verify(path)
    assert [row.result for row in report.rows if row.is_promised] == ["same"] * 3, str(report)
    assert report.num_not_replayable == 0

    for cell in notebook["cells"]:
        for shown in cell.get("outputs", []):
            if "jupyter_llm" in shown.get("metadata", {}):
                shown["metadata"]["jupyter_llm"]["seed"] += 1
    nbformat.write(notebook, path)
    edited = llm.verify(path)
    assert edited.num_different == 3, str(edited)
    assert all(row.is_altered for row in edited.rows)
