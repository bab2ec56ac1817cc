"""The path of this kernel's notebook: from the environment, or reported by a front end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


def notebook_path(namespace: Mapping[str, object] | None = None) -> Path | None:
    """Return the path of the notebook for which this kernel started; None if it is unknown.

    VS Code stores it in the user's `namespace`, Jupyter servers in the environment. Colab's
    notebooks are not on the kernel's disk.
    """
    if "COLAB_RELEASE_TAG" in os.environ:
        return None
    vscode_path = (namespace or {}).get("__vsc_ipynb_file__")
    if isinstance(vscode_path, str):
        path = Path(vscode_path)
        # All unsaved notebooks have the same path.
        return path if path.is_absolute() and path.is_file() else None
    path = Path(name := os.environ.get("JPY_SESSION_NAME", ""))
    # A console has a session, too. A notebook may be missing because it was renamed.
    is_document = path.is_absolute() and (path.suffix == ".ipynb" or path.is_file())
    return path if is_document and not _is_inherited(name) else None


def _is_inherited(name: str) -> bool:
    """Whether the session belongs to another kernel that started this one, as nbclient does."""
    import psutil

    try:
        environment = psutil.Process(os.getppid()).environ()
    except (psutil.Error, OSError):  # not accessible, or ended
        return False
    return environment.get("JPY_SESSION_NAME") == name


@dataclass(frozen=True, slots=True)
class PathChange:
    """A notebook's old and new path.

    With `is_rename` the notebook was moved; otherwise the old path was wrong.
    """

    old: Path | None
    new: Path
    is_rename: bool


class NotebookIdentity:
    """The path of this kernel's notebook, if it is known. Any thread may use it."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._watchers: list[Callable[[PathChange], None]] = []
        self._lock = threading.Lock()

    @property
    def path(self) -> Path | None:
        """Return the notebook's path, None while it is unknown."""
        return self._path

    def watch(self, watcher: Callable[[PathChange], None]) -> None:
        """Call `watcher` with every change of the path, on the thread that reports it."""
        with self._lock:
            self._watchers.append(watcher)

    def report(self, path: Path) -> None:
        """Accept the path that a front end reports.

        If no file exists under the previous path any more, the notebook was renamed.
        """
        with self._lock:
            is_missing = self._path is not None and not self._path.exists()
        self._change(path, is_rename=is_missing and path.exists())

    def moved(self, old: Path, new: Path) -> None:
        """Follow a rename; renames of other notebooks are ignored."""
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
    """Return a path in the form in which paths are compared here; links are not followed."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  pathlib's keeps `..`


def path_key(path: Path) -> bytes:
    """Return the key of a path in a store."""
    return os.fsencode(absolute(path))
