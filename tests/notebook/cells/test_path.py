"""Which notebook a kernel runs for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_llm.notebook.cells.path import NotebookIdentity, PathChange, notebook_path


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "a.ipynb"
    path.write_text("{}", encoding="utf-8")
    return path


def test_without_a_notebook_there_is_no_path() -> None:
    assert notebook_path() is None
    assert notebook_path({}) is None


def test_the_session_of_a_server_names_the_notebook(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    assert notebook_path() == notebook


def test_a_notebook_that_was_renamed_keeps_its_old_name_until_told(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    notebook.rename(notebook.with_name("b.ipynb"))
    assert notebook_path() == notebook


@pytest.mark.parametrize("name", ["", "a.ipynb", "/somewhere/console-1-d41d8c", "/"])
def test_other_sessions_are_no_notebooks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    assert notebook_path() is None


def test_a_notebook_in_another_format_counts_if_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.md"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook_path() is None
    path.touch()
    assert notebook_path() == path


def test_a_kernel_that_a_notebook_starts_is_not_that_notebooks(notebook: Path) -> None:
    inner = "from jupyter_llm.notebook.cells.path import notebook_path; print(notebook_path())"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    environment = {**os.environ, "JPY_SESSION_NAME": str(notebook)}

    def printed_by(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert printed_by(inner) == str(notebook)
    assert printed_by(outer) == "None"


def test_vscode_leaves_the_path_in_the_namespace(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A remote session's name is made up.
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook.with_name("a-jvsc-d41d8c.ipynb")))
    assert notebook_path({"__vsc_ipynb_file__": str(notebook)}) == notebook


@pytest.mark.parametrize("name", ["", "a.ipynb", "/Untitled-1.ipynb", "\0", "/a\0b"])
def test_a_notebook_that_was_never_saved_has_no_path(name: str) -> None:
    assert notebook_path({"__vsc_ipynb_file__": name}) is None


def test_a_variable_of_that_name_does_no_harm() -> None:
    assert notebook_path({"__vsc_ipynb_file__": 7}) is None


def test_colab_has_none(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-20260101")
    assert notebook_path() is None


def watched(path: Path | None) -> tuple[NotebookIdentity, list[PathChange]]:
    identity = NotebookIdentity(path)
    changes: list[PathChange] = []
    identity.watch(changes.append)
    return identity, changes


def test_a_rename_is_passed_on(notebook: Path) -> None:
    identity, changes = watched(notebook)
    new = notebook.with_name("b.ipynb")
    identity.moved(notebook, new)
    assert identity.path == new
    assert changes == [PathChange(notebook, new, is_rename=True)]


def test_the_rename_of_another_notebook_is_ignored(notebook: Path) -> None:
    identity, changes = watched(notebook)
    identity.moved(notebook.with_name("other.ipynb"), notebook.with_name("b.ipynb"))
    assert identity.path == notebook
    assert not changes


def test_a_path_that_was_not_known_is_no_rename(notebook: Path) -> None:
    identity, changes = watched(None)
    identity.report(notebook)
    identity.report(notebook.parent / "sub" / ".." / notebook.name)  # the same again
    assert changes == [PathChange(None, notebook, is_rename=False)]


def test_a_report_after_an_unseen_rename_is_a_rename(notebook: Path) -> None:
    identity, changes = watched(notebook)
    new = notebook.rename(notebook.with_name("b.ipynb"))
    identity.report(new)
    assert changes == [PathChange(notebook, new, is_rename=True)]


def test_a_report_of_another_notebook_is_no_rename(notebook: Path) -> None:
    identity, changes = watched(notebook)
    copy = notebook.with_name("copy.ipynb")
    copy.write_bytes(notebook.read_bytes())
    identity.report(copy)
    assert identity.path == copy
    assert changes == [PathChange(notebook, copy, is_rename=False)]
