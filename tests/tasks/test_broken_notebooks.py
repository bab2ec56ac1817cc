"""`/fix` on ten broken notebooks, executed in a real kernel."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.kernel import Kernel, running_kernel
from support.paths import DATA, ROOT, TESTS

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((DATA / "broken").glob("*.ipynb"))
WATCH = """
import sys
sys.path.append({tests!r})
from support.watch import Watch
watch = Watch(get_ipython())
"""
FIX = """
import json
from jupyter_llm.notebook.failures.causes import causing_cells
from jupyter_llm.tasks.fix import choose_target, fix, fix_prompt
task = watch.task({answer!r})
failure = task.failure()
causes = causing_cells(failure, task.cells)
prompt = fix_prompt(failure, causes, choose_target(causes, "", task))
found = fix(task)
is_rule = found.completion is None
assert is_rule or watch.prompts[-1].startswith(prompt)
print(json.dumps([prompt, found.cell.cell_id, found.source, is_rule]))
watch.close()
"""


@dataclass(frozen=True)
class Broken:
    """A broken notebook, and what its metadata say of it."""

    sources: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Fixed:
    prompt: str
    cell_id: str
    source: str
    is_rule: bool  # which needs no model


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("broken")
    for module in (DATA / "broken").glob("*.py"):
        shutil.copy(module, folder)
    with running_kernel(folder, PYTHONPATH=str(ROOT)) as kernel:
        yield kernel


def read(path: Path) -> Broken:
    notebook = nbformat.read(path, as_version=4)
    sources = {c.id: c.source for c in notebook.cells if c.cell_type == "code"}
    return Broken(sources, notebook.metadata.broken)


def run_until_it_fails(kernel: Kernel, broken: Broken) -> str | None:
    for cell_id, source in broken.sources.items():
        cell = kernel.start(source, cell_id=cell_id)
        is_last = cell_id == list(broken.sources)[-1]
        if broken.facts.get("interrupt") and is_last:
            cell.wait_until(lambda cell: "2\n" in cell.text)
            kernel.interrupt()
        error = cell.finish().error
        assert (error is not None) == is_last, cell.text
    return error


def fix(kernel: Kernel, answer: str) -> Fixed:
    cell = kernel.execute(FIX.format(answer=answer))
    assert cell.error is None, cell.text
    return Fixed(*json.loads(cell.text))


def told_of(variable: str, prompt: str) -> str:
    """Return what a prompt tells of a variable of the failing frame."""
    match = re.search(rf"^- {variable}\b.*?(?=^- |^$|\Z)", prompt, re.MULTILINE | re.DOTALL)
    assert match is not None, f"{variable} is not in the prompt:\n{prompt}"
    return match[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_prompt_holds_the_causing_cell_and_the_variables_and_the_change_mends_it(
    kernel: Kernel, path: Path
) -> None:
    broken = read(path)
    facts = broken.facts
    kernel.execute("%reset -f")
    kernel.execute(WATCH.format(tests=str(TESTS)))
    assert run_until_it_fails(kernel, broken) == facts["error"]

    fixed = fix(kernel, facts["answer"])
    assert fixed.cell_id == facts["cause"], fixed.prompt
    assert broken.sources[facts["cause"]] in fixed.prompt
    assert broken.sources[facts["raised_in"]] in fixed.prompt
    assert facts["error"] in fixed.prompt
    for name, fragments in facts["variables"].items():
        told = told_of(name, fixed.prompt)
        assert all(fragment in told for fragment in fragments), told
    assert all(text in fixed.prompt for text in facts.get("says", ())), fixed.prompt

    assert fixed.is_rule or fixed.source == facts["answer"]
    # The corrected notebook runs.
    assert kernel.execute("%reset -f").error is None
    for cell_id, source in broken.sources.items():
        cell = kernel.execute(fixed.source if cell_id == fixed.cell_id else source)
        assert cell.error is None, cell.text
