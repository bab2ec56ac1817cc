"""Plays a notebook in a real kernel with the real model, and asks about it between its cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from support.kernel import Execution, Kernel, running_kernel
from support.paths import DATA

FOLDER = DATA / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
# Whoever asks has looked at the output before, while the engine read what is new.
READ_AHEAD = """\
import time as _time
while (_now := llm.current.resident and llm.current.resident.status()) and (
    _now.num_running or _now.num_waiting
):
    _time.sleep(0.01)
"""
_USAGE = re.compile(r"(?P<whole>\d+) prompt tokens \((?P<cached>\d+) cached\)")
_ROW = re.compile(r"^\| (?P<name>.*) \| (?P<place>in|out) \|", re.MULTILINE)


@dataclass(slots=True)
class Session:
    """A kernel with the extension, and how many prompt tokens were cached so far."""

    kernel: Kernel
    usages: list[tuple[int, int]] = field(default_factory=list)  # cached, all
    notes: list[str] = field(default_factory=list)

    def run(self, cell: nbformat.NotebookNode) -> Execution:
        """Run a cell as a front end does; one that is to fail fails."""
        tags = cell["metadata"].get("tags", [])
        execution = self.kernel.execute(cell["source"], cell_id=cell["id"], tags=tags)
        assert (execution.error is not None) is ("raises-exception" in tags), execution.text
        return execution

    def ask(self, prompt: str, options: str = "") -> str:
        """Let the engine read ahead, ask, and count what was read; return the answer's text."""
        assert self.kernel.execute(READ_AHEAD, silent=True).error is None
        execution = self.kernel.execute(f"%llm -n 12 --ignore-eos --stats {options} {prompt}")
        assert execution.error is None, execution.text
        self.notes.append(execution.text)
        found = _USAGE.search(execution.text)
        assert found is not None, execution.text
        self.usages.append((int(found["cached"]), int(found["whole"])))
        return execution.text

    def share_cached(self, last: int) -> float:
        """Return the share of the last prompts' tokens that were resident."""
        usages = self.usages[-last:]
        return sum(cached for cached, _ in usages) / sum(whole for _, whole in usages)

    def context(self) -> list[tuple[str, bool]]:
        """Return the rows of `/context`: a name, and whether it is told."""
        text = self.kernel.execute("%llm /context").text
        return [(found["name"], found["place"] == "in") for found in _ROW.finditer(text)]


@contextmanager
def session(folder: Path, model: Path, *options: str) -> Iterator[Session]:
    """Start a kernel, load the extension and choose how the model is loaded."""
    with running_kernel(folder, JUPYTER_LLM_MODEL=str(model)) as kernel:
        for code in ("%load_ext jupyter_llm", "from jupyter_llm import llm", *options):
            assert kernel.execute(code).error is None
        yield Session(kernel)


def code_cells(name: str) -> list[Any]:
    """Return the code cells of one of the five notebooks, without the one that loads us."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in cells if cell["source"] != "%load_ext jupyter_llm"]
