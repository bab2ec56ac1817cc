"""`jupyter llm lab` says whether JupyterLab has the extension, and takes it to where it runs."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from jupyter_llm import __version__
from jupyter_llm.frontends import cli, installation


def write_extension(folder: Path, version: str = __version__) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with JupyterLab and the extension, which this Python seems to be in."""
    prefix = tmp_path / "environment"
    write_extension(prefix / installation.PLACE)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(installation, "SOURCES", (prefix / installation.PLACE,))
    monkeypatch.setattr(installation, "version", lambda _: "4.6.6")
    return prefix


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another environment."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyvenv.cfg").touch()
    return other


def test_all_is_well(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab"]) == 0
    assert f"JupyterLab 4.6.6 has the extension {__version__}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lab", "extension", "said"),
    [
        (None, __version__, "no JupyterLab in this environment"),
        ("4.5.9", __version__, "needs 4.6 or newer"),
        ("4.6.0", None, "from a clone: python"),
        ("4.6.0", "0.0.1", "The extension is 0.0.1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    lab: str | None,
    extension: str | None,
    said: str,
    prefix: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def version(name: str) -> str:
        if lab is None:
            raise PackageNotFoundError(name)
        return lab

    monkeypatch.setattr(installation, "version", version)
    package = prefix / installation.PLACE / "package.json"
    if extension is None:
        package.write_text("{")
    else:
        write_extension(package.parent, extension)
    assert cli.main(["lab"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_extension_is_copied_to_where_jupyterlab_runs_once(
    prefix: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = other / installation.PLACE
    write_extension(target, "0.0.1")
    (target / "stale.js").touch()
    for said in (f"The extension {__version__} is in {target}", "already"):
        assert cli.main(["lab", "--install", str(other)]) == 0
        assert said in capsys.readouterr().out
    assert [path.name for path in target.iterdir()] == ["package.json"]


@pytest.mark.parametrize("kind", ["nothing", "no environment", "in the way"])
def test_where_it_cannot_be_installed_one_line_says_why(
    kind: str, prefix: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "is not a Python environment"
    if kind == "nothing":
        other = other / "no such folder"
    elif kind == "no environment":
        os.remove(other / "pyvenv.cfg")  # noqa: PTH107
    else:
        (other / "share").touch()
        said = "cannot be written"
    assert cli.main(["lab", "--install", str(other)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
