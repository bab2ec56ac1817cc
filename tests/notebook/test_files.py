"""Notebook files: read whatever they are, written without touching what is not ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from support.recorded import saved

from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.files import (
    add_cell_metadata,
    find_notebooks,
    read_notebook,
)

CELLS = [new_markdown_cell("# Ünïcode\n\n*text*"), new_code_cell("x = 1\ny = 2")]
ADDED = {"jupyter_llm": {"note": "é"}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *((text, "is no notebook") for text in (b"", b"\xff\xfe\x00", b"<p>", b"[]", b"5", b"{}")),
        *((text, "is no notebook") for text in (b"[" * 100_000, b'{"nbformat": 99, "cells": []}')),
        *(
            (b'{"nbformat": 4, "nbformat_minor": 5' + rest, "is")
            for rest in (
                *(b"}", b', "cells": 5}', b', "cells": [5]}', b', "cells": [{"source": 5}]}'),
                b', "cells": [{"source": "", "outputs": [5]}]}',
            )
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


def add_to_cell(path: Path) -> None:
    add_cell_metadata(path, lambda _: {1: ADDED})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_nothing_else_in_a_file_changes_that_jupyter_has_saved(tmp_path: Path, end: str) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.replace("\n", end).encode())
    add_to_cell(path)
    lines = path.read_bytes().decode().split(end)
    changed = [line.strip() for line in text.split("\n") if line not in lines]
    assert changed in ([], ['"metadata": {},'])
    document = json.loads(text)
    document["cells"][1]["metadata"] |= ADDED
    assert json.loads("".join(lines)) == document


def test_the_next_save_by_jupyter_changes_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    add_to_cell(path)
    after = path.read_bytes()
    nbformat.write(nbformat.read(path, as_version=4), path)
    assert path.read_bytes() == after
    assert b"jupyter_llm" in after


def test_what_to_add_is_chosen_by_what_stands_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", [*CELLS, new_code_cell("y = 2")])
    before = path.stat()
    assert add_cell_metadata(path, lambda _: {}) == 0
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

    def choose(notebook: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        cells = enumerate(notebook["cells"])
        return {index: ADDED for index, cell in cells if "y = 2" in cell["source"]}

    assert add_cell_metadata(path, choose) == 2
    notebook = nbformat.read(path, as_version=4)
    assert [cell["metadata"] for cell in notebook["cells"]] == [{}, ADDED, ADDED]


def test_a_link_stays_a_link_and_modes_stay(tmp_path: Path) -> None:
    target = saved(tmp_path / "real.ipynb", CELLS)
    target.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)
    add_to_cell(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert b"jupyter_llm" in target.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"real.ipynb", "link.ipynb"}


START = b'{"nbformat": 4, "nbformat_minor": 5, '
CELL = b'{"cell_type": "raw", "id": "a", "source": "", "metadata": {}}'
REFUSED = {
    "not there": None,
    "no JSON": b"{",
    "no notebook": b"{}",
    "old": b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
    "not valid": START + b'"metadata": {}, "cells": [{"source": ""}, {"source": ""}]}',
    "metadata is a list": START + b'"metadata": [], "cells": [' + CELL + b', {"metadata": []}]}',
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_sound_notebook_is_left_alone(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "a.ipynb"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(NotebookFileError) as caught:
        add_to_cell(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if data is not None else None) == data
    assert len(list(tmp_path.iterdir())) == (data is not None)


def test_a_notebook_that_is_saved_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    # As slow as somebody needs to save.
    monkeypatch.setattr(nbformat, "validate", lambda _document: path.write_text("saved"))
    with pytest.raises(NotebookFileError, match="just changed"):
        add_to_cell(path)
    assert path.read_text(encoding="utf-8") == "saved"
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)

    def refuse(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(NotebookFileError, match=r"cannot be written: Permission denied\."):
        add_to_cell(path)


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
            ("*.ipynb", ["a.ipynb", "b.ipynb"]),
            ("d*", ["deep/er/c.ipynb"]),
        ],
    )
    def test_a_name_is_a_file_a_folder_or_a_pattern(self, name: str, found: list[str]) -> None:
        assert [path.as_posix() for path in find_notebooks(name)] == found

    def test_a_pattern_without_a_match_and_a_folder_that_cannot_be_read_are_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        with pytest.raises(NotebookFileError, match="matches no file"):
            list(find_notebooks("*.nothing"))
        monkeypatch.setattr("os.scandir", refuse)
        with pytest.raises(NotebookFileError, match="deep cannot be read: Permission denied"):
            list(find_notebooks("deep"))
