"""Plays a notebook in the terminal, each cell and what it gives: `python3 dev.py run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping


def play(path: Path) -> int:
    """Execute a notebook and print it as it goes; 1 if a cell failed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # ipykernel warns of loopback TCP at every start
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            mark = "> " if cell.cell_type == "code" else ""
            print("\n" + "\n".join(mark + line for line in cell.source.splitlines()), flush=True)
            status = 0
            try:
                client.execute_cell(cell, index)
            except CellExecutionError:
                status = 1
            for output in cell.get("outputs", []):
                print(output_text(output), flush=True)
            if status:
                return status
    return 0


def output_text(output: Mapping[str, Any]) -> str:
    """An output as text: the Markdown that the model wrote rather than its repr."""
    if output["output_type"] == "stream":
        return str(output["text"]).rstrip("\n")
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    data = output["data"]
    return str(data.get("text/markdown", data.get("text/plain", "")))


if __name__ == "__main__":
    raise SystemExit(play(Path(sys.argv[1])))
