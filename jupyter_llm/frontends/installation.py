"""Checks JupyterLab's extension, and installs it in an environment without jupyter_llm."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from jupyter_llm._version import __version__
from jupyter_llm.errors import LabExtensionError

PLACE: Final = Path("share", "jupyter", "labextensions", "jupyter-llm")
OLDEST_LAB: Final = (4, 6)

# A wheel installs the files where JupyterLab searches; a clone has them in its folder.
SOURCES = (Path(__file__).parent / "lab" / "static", Path(sys.prefix) / PLACE)


class NoLabError(LabExtensionError):
    """There is no JupyterLab here; it may run in another environment."""


def check() -> str:
    """Return the versions of JupyterLab and the extension.

    Raise `LabExtensionError` if they do not fit.
    """
    try:
        lab = version("jupyterlab")
    except PackageNotFoundError:
        raise NoLabError(
            "There is no JupyterLab in this environment. If it runs in another one: "
            "jupyter llm lab --install PREFIX"
        ) from None
    if tuple(int(part) for part in lab.split(".")[:2]) < OLDEST_LAB:
        oldest = ".".join(map(str, OLDEST_LAB))
        raise LabExtensionError(
            f"This is JupyterLab {lab}, and the extension needs {oldest} or newer: "
            f'pip install "jupyterlab>={oldest}"'
        )
    extension = _version_at(Path(sys.prefix) / PLACE)
    if extension is None:
        raise LabExtensionError(
            "This environment lacks the extension. Install jupyter_llm here, from a clone: "
            f"{Path(sys.executable).name} -m pip install --force-reinstall --no-deps ."
        )
    if extension != __version__:
        raise LabExtensionError(
            f"The extension is {extension}, but jupyter_llm is {__version__}: install it again"
        )
    return f"JupyterLab {lab} has the extension {extension}, the version of jupyter_llm."


def install(prefix: Path) -> str:
    """Copy the extension into an environment; return its place."""
    if not (prefix / "share").is_dir() and not (prefix / "pyvenv.cfg").is_file():
        raise LabExtensionError(
            f"{prefix} is not a Python environment. JupyterLab's Python shows its own: "
            'python -c "import sys; print(sys.prefix)"'
        )
    target = prefix / PLACE
    if _version_at(target) == __version__:
        return f"{target} already has the extension {__version__}."
    source = next((path for path in SOURCES if _version_at(path) == __version__), None)
    if source is None:
        raise LabExtensionError(
            f"The extension {__version__} is missing here too: install jupyter_llm again"
        )
    try:
        if target.is_symlink():
            target.unlink()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    except OSError as error:
        raise LabExtensionError(f"{target} cannot be written: {error.strerror}") from None
    return f"The extension {__version__} is in {target}. Reload JupyterLab's page."


def _version_at(folder: Path) -> str | None:
    """Return the version of the extension in a folder, None if there is none."""
    try:
        stated = json.loads((folder / "package.json").read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stated if isinstance(stated, str) else None
