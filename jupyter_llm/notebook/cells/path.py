"""Which notebook this kernel runs for: what it was told when it started, or a front end says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


def notebook_path(namespace: Mapping[str, object] | None = None) -> Path | None:
    """The path of the notebook this kernel was started for; None if nobody told us.

    `namespace` is the user's: VS Code leaves the path there, Jupyter servers in the environment.
    Colab keeps notebooks elsewhere than on the kernel's disk.
    """
    if "COLAB_RELEASE_TAG" in os.environ:
        return None
    told_by_vscode = (namespace or {}).get("__vsc_ipynb_file__")
    if isinstance(told_by_vscode, str):
        path = Path(told_by_vscode)
        # A notebook that was never saved goes by the name of many others.
        return path if path.is_absolute() and path.is_file() else None
    path = Path(name := os.environ.get("JPY_SESSION_NAME", ""))
    # A console has a session too; a notebook may be gone because it was renamed since.
    is_document = path.is_absolute() and (path.suffix == ".ipynb" or path.is_file())
    return path if is_document and not _is_inherited(name) else None


def _is_inherited(name: str) -> bool:
    """Tell whether the session is another kernel's, which started this one (as nbclient does)."""
    import psutil

    try:
        environment = psutil.Process(os.getppid()).environ()
    except (psutil.Error, OSError):  # not ours to look into, or gone
        return False
    return environment.get("JPY_SESSION_NAME") == name


@dataclass(frozen=True, slots=True)
class PathChange:
    """A notebook's path as it was known and as it is.

    With `is_rename` the notebook was moved; otherwise it is another one than was thought.
    """

    old: Path | None
    new: Path
    is_rename: bool


class NotebookIdentity:
    """The notebook of this kernel, as far as it is known. Safe from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._watchers: list[Callable[[PathChange], None]] = []
        self._lock = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The notebook's path, or None while nobody knows."""
        return self._path

    def watch(self, watcher: Callable[[PathChange], None]) -> None:
        """Call `watcher` with every change of the path, on the thread that reports it."""
        with self._lock:
            self._watchers.append(watcher)

    def report(self, path: Path) -> None:
        """Take the word of a front end for where the notebook is now.

        If it was known under a path where there is no file any more, it was renamed meanwhile.
        """
        with self._lock:
            is_gone = self._path is not None and not self._path.exists()
        self._change(path, is_rename=is_gone and path.exists())

    def moved(self, old: Path, new: Path) -> None:
        """Follow a rename; one of another notebook is ignored."""
        if self._path is None or absolute(self._path) == absolute(old):
            self._change(new, is_rename=self._path is not None)

    def _change(self, new: Path, *, is_rename: bool) -> None:
        with self._lock:
            old, self._path = self._path, new
            watchers = list(self._watchers)
        if old is None or absolute(old) != absolute(new):
            for watcher in watchers:
                watcher(PathChange(old, new, is_rename))


def absolute(path: Path) -> str:
    """The one way a path is written here; links are not followed."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  pathlib's keeps `..`


def path_key(path: Path) -> bytes:
    """What a path is known by in a store."""
    return os.fsencode(absolute(path))
