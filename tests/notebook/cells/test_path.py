"""Which notebook a kernel runs for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
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


@pytest.mark.parametrize(
    "namespace",
    [
        *(None, {}, {"__vsc_ipynb_file__": 7}),
        *({"__vsc_ipynb_file__": n} for n in ("", "a.ipynb", "/Untitled-1.ipynb", "\0", "/a\0b")),
    ],
)
def test_without_a_notebook_on_disk_there_is_no_path(
    namespace: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("", "a.ipynb", "/somewhere/console-1-d41d8c", "/"):
        monkeypatch.setenv("JPY_SESSION_NAME", name)
        assert notebook_path(namespace) is None


def test_the_session_names_the_notebook_after_a_rename_too_until_told(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    assert notebook_path() == notebook
    notebook.rename(notebook.with_name("b.ipynb"))
    assert notebook_path() == notebook
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-20260101")
    assert notebook_path() is None


def test_a_kernel_that_a_notebook_starts_is_not_that_notebooks(notebook: Path) -> None:
    inner = "from jupyter_llm.notebook.cells.path import notebook_path; print(notebook_path())"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    environment = {**os.environ, "JPY_SESSION_NAME": str(notebook)}
    for code, told in ((inner, str(notebook)), (outer, "None")):
        printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert printed.strip() == told


def test_vscode_leaves_the_path_in_the_namespace(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A remote session's name is made up.
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook.with_name("a-jvsc-d41d8c.ipynb")))
    assert notebook_path({"__vsc_ipynb_file__": str(notebook)}) == notebook


# What was known, what a front end says, and whether that is told as a rename; files end with "!".
@pytest.mark.parametrize(
    ("known", "says", "is_rename"),
    [
        ("a!", lambda identity, new: identity.moved(identity.path, new), True),
        ("a", lambda identity, new: identity.report(new), True),  # it is not there any more
        ("a!", lambda identity, new: identity.report(new), False),  # another one
        (None, lambda identity, new: identity.report(new), False),
        (None, lambda identity, new: identity.moved(new.with_name("c.ipynb"), new), False),
    ],
    ids=["a rename", "an unseen rename", "another notebook", "the first word", "a first rename"],
)
def test_a_change_of_the_path_is_passed_on_once(
    tmp_path: Path,
    known: str | None,
    says: Callable[[NotebookIdentity, Path], None],
    *,
    is_rename: bool,
) -> None:
    old = tmp_path / f"{known.rstrip('!')}.ipynb" if known is not None else None
    new = tmp_path / "b.ipynb"
    new.touch()
    if old is not None and known is not None and known.endswith("!"):
        old.touch()
    identity = NotebookIdentity(old)
    changes: list[PathChange] = []
    identity.watch(changes.append)
    says(identity, new)
    identity.report(tmp_path / "sub" / ".." / new.name)  # the same again
    identity.moved(tmp_path / "other.ipynb", tmp_path / "c.ipynb")  # of no concern
    assert changes == [PathChange(old, new, is_rename)]
    assert identity.path is not None
    assert identity.path.name == new.name
