"""Where the notebook of a page lies, which knows it by its path below the server's root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.workers import Chore
from jupyter_llm.notebook.cells.path import notebook_path

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_llm.notebook.cells.path import NotebookIdentity


def find_notebook(path: str, started_for: Path | None) -> Path | None:
    """The file that the server calls `path`; None where that is not sure.

    The server's root lies somewhere above the notebook that the kernel was started for.
    """
    if started_for is None:
        return None
    files = [file for root in started_for.parents if (file := root / path).is_file()]
    if started_for in files:
        return started_for
    return files[0] if len(files) == 1 else None


class NotebookPlace:
    """Keeps the kernel's one notebook true to what a page says of its path."""

    def __init__(self, identity: NotebookIdentity) -> None:
        self._identity = identity
        self._path = ""
        self._file: Path | None = None
        # Beside the comm: a disk may be slow, and chats move along with their notebook.
        self._chore = Chore(self._report, "jupyter-llm-lab-place")

    def take(self, path: str) -> None:
        """Take in where the notebook is now. Returns at once."""
        self._path = path
        self._chore.ask()

    def _report(self) -> tuple[float, bool]:
        started_for = notebook_path()
        file = find_notebook(self._path, started_for)
        if started_for is not None and file is not None:
            if self._identity.path is None:
                self._identity.report(started_for)  # so that a rename since is seen to be one
            if self._file is not None:
                self._identity.moved(self._file, file)
            elif not (self._identity.path or started_for).exists():
                self._identity.report(file)
            self._file = file
        return 0, False
