"""Records reach the saved notebook, through a real kernel, and another kernel replays them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from support.kernel import Kernel, running_kernel

from jupyter_llm import llm
from jupyter_llm.engine.provenance import METADATA_KEY, Provenance, text_sha256
from jupyter_llm.records.audit import audit

pytestmark = pytest.mark.slow

LOAD = "%load_ext jupyter_llm\nfrom jupyter_llm import llm\nllm.use(n_threads=1);"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory, tiny_gguf: Path) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    with running_kernel(folder, HOME=str(folder), JUPYTER_LLM_MODEL=str(tiny_gguf)) as kernel:
        kernel.execute(LOAD)
        yield kernel


def record_of(output: dict[str, Any]) -> Provenance:
    return Provenance.from_json(output["metadata"][METADATA_KEY])


def test_the_last_state_of_an_answer_carries_its_record(kernel: Kernel) -> None:
    cell = kernel.execute("%%llm -n 40 --seed 3 --ignore-eos --stats\nHello there")
    (output,) = cell.outputs
    made = record_of(output)
    assert not made.is_altered
    assert made.params.seed == 3
    assert made.exact
    assert made.completion_tokens == 40
    text = output["data"]["text/plain"].rpartition("\n\n(")[0]  # without the statistics
    assert made.text_sha256 == text_sha256(text)
    states = [event.content["metadata"] for event in cell.events if "data" in event.content]
    assert len(states) > 1
    assert all(state == {} for state in states[:-1])


def test_what_a_cell_returns_carries_its_record(kernel: Kernel) -> None:
    (output,) = kernel.execute("llm('Hello', max_tokens=5, seed=4)").outputs
    assert output["output_type"] == "execute_result"
    assert record_of(output).params.seed == 4
    assert kernel.execute("llm.verify().all_same").text == "True"


def test_a_notebook_that_ran_elsewhere_is_audited_and_replayed(
    tmp_path: Path, tiny_gguf: Path, fresh_llm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_LLM_MODEL", str(tiny_gguf))
    cells = [
        new_code_cell(LOAD),
        new_code_cell("%%llm -n 9 -t 0\nHello there"),
        new_code_cell("llm('Why?', max_tokens=9, seed=5)"),
        new_code_cell("1 + 1"),
    ]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    path = tmp_path / "ran.ipynb"
    nbformat.write(notebook, path)
    nbformat.validate(nbformat.read(path, as_version=4))
    items = audit(path)
    assert [(item.cell, item.model, item.state) for item in items] == [
        (2, "tiny", "recorded"),
        (3, "tiny", "recorded"),
    ]
    llm.use(n_threads=1)
    by_place = {row.place: row for row in llm.verify(path).rows}
    assert by_place["cell 3 [3]"].result == "same"
