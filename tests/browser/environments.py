"""Environments of other packages than this one's, for JupyterLab as others have it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def environment_with(folder: Path, *packages: str) -> str:
    """Return the Python of an environment that has these, and all else from this one."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(venv)})
    # With what .pth files there say, as an editable installation of ours is such a file.
    beside = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    Path(purelib, "beside.pth").write_text(beside, "utf-8")
    python = venv / Path(sys.executable).relative_to(sys.prefix)
    install = ("install", "--quiet", "--no-deps", "--ignore-installed", "--only-binary=:all:")
    command = [sys.executable, "-m", "pip", "--python", str(python), *install, *packages]
    subprocess.run(command, check=True)
    return str(python)
