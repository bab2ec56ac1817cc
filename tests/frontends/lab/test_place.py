"""The kernel knows its notebook's file by what the page says of its path."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.waiting import until

from jupyter_llm.frontends.lab import session
from jupyter_llm.frontends.lab.session import NotebookPlace, find_notebook
from jupyter_llm.notebook.cells.path import NotebookIdentity, PathChange


@pytest.fixture
def started_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook that this kernel was started for, two folders below the server's root."""
    path = tmp_path / "root" / "work" / "first.ipynb"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(session, "notebook_path", lambda: path)
    return path


@pytest.mark.parametrize("path", ["no such.ipynb", "", "work", "../root/work"])
def test_what_is_no_file_is_nothing(path: str, started_for: Path) -> None:
    assert find_notebook(path, started_for) is None


def test_what_may_be_either_of_two_files_is_nothing(started_for: Path) -> None:
    for folder in started_for.parents[:2]:
        (folder / "second.ipynb").touch()
    assert find_notebook("second.ipynb", started_for) is None


class Watched:
    """An identity, and what it tells those who watch it."""

    def __init__(self) -> None:
        self.identity = NotebookIdentity()
        self.changes: list[PathChange] = []
        self.identity.watch(self.changes.append)
        self.place = NotebookPlace(self.identity)

    def say(self, path: str) -> None:
        self.place.take(path)
        until(lambda: self.place._chore.wait(1))


def test_a_rename_is_followed(started_for: Path) -> None:
    watched = Watched()
    watched.say("work/first.ipynb")
    assert watched.identity.path == started_for
    second = started_for.rename(started_for.with_name("second.ipynb"))
    watched.say("work/second.ipynb")
    assert watched.changes[-1] == PathChange(started_for, second, is_rename=True)
    third = second.rename(started_for.parents[1] / "third.ipynb")
    watched.say("third.ipynb")
    assert watched.changes[-1] == PathChange(second, third, is_rename=True)


def test_another_notebook_in_the_same_kernel_does_not_take_its_place(started_for: Path) -> None:
    other = started_for.with_name("other.ipynb")
    other.touch()
    watched = Watched()
    watched.say("work/other.ipynb")
    assert watched.identity.path == started_for
    other.rename(started_for.with_name("renamed.ipynb"))
    watched.say("work/renamed.ipynb")
    assert watched.identity.path == started_for
