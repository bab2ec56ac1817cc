"""Notebook files: read whatever they are, written without touching what is not ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from support.recorded import saved

from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.files import add_cell_metadata, find_notebooks, read_notebook

CELLS = [new_markdown_cell("# Ünïcode\n\n*text*"), new_code_cell("x = 1\ny = 2")]
ADDED = {"jupyter_llm": {"note": "é"}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no notebook"),
        (b"\xff\xfe\x00", "is no notebook"),
        (b"<!doctype html>", "is no notebook"),
        (b"[]", "is no notebook"),
        (b"5", "is no notebook"),
        (b"{}", "is no notebook"),
        (b"[" * 100_000, "is no notebook"),
        (b'{"nbformat": 99, "cells": []}', "is no notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5}', "is"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": 5}', "is"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": [5]}', "is"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": [{"source": 5}]}', "is"),
        (
            b'{"nbformat": 4, "nbformat_minor": 5, "cells": [{"source": "", "outputs": [5]}]}',
            "is",
        ),
    ],
)
def test_what_is_no_notebook_is_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookFileError, match=says) as caught:
        read_notebook(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 80


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(NotebookFileError, match="No such file or directory"):
        read_notebook(tmp_path / "a.ipynb")
    with pytest.raises(NotebookFileError, match="Is a directory"):
        read_notebook(tmp_path)


def test_an_old_notebook_is_read(tmp_path: Path) -> None:
    old = nbformat.v3.new_notebook(
        worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell("x = 1")])]
    )
    path = tmp_path / "old.ipynb"
    path.write_text(nbformat.v3.writes_json(old), encoding="utf-8")
    (cell,) = read_notebook(path)["cells"]
    assert cell["source"] == "x = 1"
    before = path.read_bytes()
    with pytest.raises(NotebookFileError, match="old format"):
        add_cell_metadata(path, lambda _: {0: ADDED})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "layout",
    [
        {"indent": 1, "ensure_ascii": False},
        {"indent": 1, "ensure_ascii": True},
        {"indent": 2, "ensure_ascii": False},
        {"indent": 4, "ensure_ascii": False},
        {"ensure_ascii": False},
        {"ensure_ascii": False, "separators": (",", ":")},
    ],
    ids=str,
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_nothing_else_in_the_file_changes(
    tmp_path: Path, layout: dict[str, Any], end: str, *, is_sorted: bool
) -> None:
    document = json.loads(nbformat.writes(new_notebook(cells=CELLS)))
    document["metadata"] = {"kernelspec": {"name": "x", "display_name": "X"}, "authors": ["é"]}
    document["cells"][1]["metadata"] = {"tags": ["a"], "editable": True}
    path = tmp_path / "a.ipynb"

    def laid_out() -> bytes:
        text = json.dumps(document, sort_keys=is_sorted, **layout) + end.strip("\r")
        return text.replace("\n", "\r\n" if end == "\r\n" else "\n").encode()

    path.write_bytes(laid_out())
    add_cell_metadata(path, lambda _: {1: ADDED})
    document["cells"][1]["metadata"] |= ADDED
    assert path.read_bytes() == laid_out()


def test_the_next_save_by_jupyter_changes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    add_cell_metadata(path, lambda _: {1: ADDED})
    after = path.read_bytes()
    nbformat.write(nbformat.read(path, as_version=4), path)
    assert path.read_bytes() == after
    assert b"jupyter_llm" in after


def test_a_file_that_no_program_laid_out_keeps_all_it_says(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document, indent=3).replace(": ", ":  "), encoding="utf-8")
    add_cell_metadata(path, lambda _: {1: ADDED})
    document["cells"][1]["metadata"] |= ADDED
    assert json.loads(path.read_bytes()) == document


def test_what_to_add_is_chosen_by_what_stands_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    before = path.stat()
    assert add_cell_metadata(path, lambda _: {}) == 0
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

    def choose(notebook: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        return {
            index: ADDED
            for index, cell in enumerate(notebook["cells"])
            if "y = 2" in cell["source"]
        }

    assert add_cell_metadata(path, choose) == 1
    notebook = nbformat.read(path, as_version=4)
    assert [cell["metadata"] for cell in notebook["cells"]] == [{}, ADDED]


def test_a_link_stays_a_link_and_modes_stay(tmp_path: Path) -> None:
    target = saved(tmp_path / "real.ipynb", CELLS)
    target.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)
    add_cell_metadata(link, lambda _: {0: ADDED})
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert nbformat.read(target, as_version=4)["cells"][0]["metadata"] == ADDED
    assert {file.name for file in tmp_path.iterdir()} == {"real.ipynb", "link.ipynb"}


def test_an_invalid_notebook_is_not_written(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"][0]["cell_type"] = "sculpture"
    path.write_text(json.dumps(document), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(NotebookFileError, match="not valid"):
        add_cell_metadata(path, lambda _: {1: ADDED})
    assert path.read_bytes() == before


def test_a_notebook_that_is_saved_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)

    def save_too(*_args: object) -> None:
        saved(path, [])

    monkeypatch.setattr("jupyter_llm.notebook.files._check", save_too)
    with pytest.raises(NotebookFileError, match="just changed"):
        add_cell_metadata(path, lambda _: {1: ADDED})
    assert nbformat.read(path, as_version=4)["cells"] == []
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)

    def refuse(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("jupyter_llm.notebook.files.tempfile.mkstemp", refuse)
    with pytest.raises(NotebookFileError, match=r"cannot be written: Permission denied\."):
        add_cell_metadata(path, lambda _: {1: ADDED})


class TestFind:
    @pytest.fixture(autouse=True)
    def tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            *("b.ipynb", "a.ipynb", "notes.txt", "deep/er/c.ipynb"),
            *(".ipynb_checkpoints/a-checkpoint.ipynb", "deep/.ipynb_checkpoints/x.ipynb"),
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (tmp_path / "deep" / "loop").symlink_to(tmp_path)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("a.ipynb", ["a.ipynb"]),
            ("gone.ipynb", ["gone.ipynb"]),
            (".", ["a.ipynb", "b.ipynb", "deep/er/c.ipynb"]),
            ("deep", ["deep/er/c.ipynb"]),
            ("*.ipynb", ["a.ipynb", "b.ipynb"]),
            ("d*", ["deep/er/c.ipynb"]),
        ],
    )
    def test_a_name_is_a_file_a_folder_or_a_pattern(self, name: str, found: list[str]) -> None:
        assert [path.as_posix() for path in find_notebooks(name)] == found

    def test_a_pattern_without_a_match_is_told(self) -> None:
        with pytest.raises(NotebookFileError, match="matches no file"):
            list(find_notebooks("*.nothing"))

    def test_a_file_whose_name_looks_like_a_pattern_is_that_file(self, tmp_path: Path) -> None:
        (tmp_path / "a[1].ipynb").touch()
        assert [path.name for path in find_notebooks("a[1].ipynb")] == ["a[1].ipynb"]

    def test_a_folder_that_cannot_be_read_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr("os.scandir", refuse)
        with pytest.raises(NotebookFileError, match="deep cannot be read: Permission denied"):
            list(find_notebooks("deep"))
