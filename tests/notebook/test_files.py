"""Notebook files: read whatever they are, written without touching what is not ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from support.recorded import saved

from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.files import (
    _Layout,
    add_cell_metadata,
    find_notebooks,
    read_notebook,
    write_metadata,
)

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


def add_to_cell(path: Path) -> None:
    add_cell_metadata(path, lambda _: {1: ADDED})


def add_to_notebook(path: Path) -> None:
    write_metadata(path, ("jupyter_llm", "note"), "é")


Add = Callable[[Path], None]
either = pytest.mark.parametrize("add", [add_to_cell, add_to_notebook])


def added_to(document: dict[str, Any], add: Add) -> None:
    if add is add_to_cell:
        document["cells"][1]["metadata"] |= ADDED
    else:
        document["metadata"].setdefault("jupyter_llm", {})["note"] = "é"


@either
@pytest.mark.parametrize(
    "layout",
    [
        *({"indent": indent, "ensure_ascii": False} for indent in (1, 2, 4, "\t")),
        {"indent": 1, "ensure_ascii": True},
        {"ensure_ascii": False},
        {"ensure_ascii": False, "separators": (",", ":")},
    ],
    ids=str,
)
@pytest.mark.parametrize("end", ["", "\r\n"])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tags": ["a"], "editable": True},
        {"editable": True, "tags": ["a"]},
        {"jupyter_llm": {"model": "tiny"}, "z": 1},
        {"a": 1, "jupyter_llm": {}},
        {"a": 1, "jupyter_llm": {"note": [1], "z": {}}, "z": [1.0]},
    ],
)
def test_nothing_else_in_the_file_changes(
    tmp_path: Path, layout: dict[str, Any], end: str, metadata: dict[str, Any], add: Add
) -> None:
    document = json.loads(nbformat.writes(new_notebook(cells=CELLS)))
    document["metadata"] = deepcopy(metadata)
    document["cells"][1]["metadata"] = deepcopy(metadata)
    document["cells"][1]["outputs"] = []
    path = tmp_path / "a.ipynb"

    def laid_out() -> bytes:
        text = json.dumps(document, **layout) + end.strip("\r")
        return text.replace("\n", "\r\n" if end == "\r\n" else "\n").encode()

    path.write_bytes(laid_out())
    add(path)
    added_to(document, add)
    holder = document["cells"][1] if add is add_to_cell else document
    if list(metadata) == sorted(metadata):
        holder["metadata"] = dict(sorted(holder["metadata"].items()))
        holder["metadata"]["jupyter_llm"] = dict(sorted(holder["metadata"]["jupyter_llm"].items()))
    assert path.read_bytes() == laid_out()


@either
def test_the_next_save_by_jupyter_changes_nothing(tmp_path: Path, add: Add) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    add(path)
    after = path.read_bytes()
    nbformat.write(nbformat.read(path, as_version=4), path)
    assert path.read_bytes() == after
    assert b"jupyter_llm" in after


@either
def test_numbers_blanks_and_line_ends_stay_as_they_are(tmp_path: Path, add: Add) -> None:
    text = (
        '{ "nbformat":4,\r\n  "nbformat_minor": 5, "cells" : [\r\n'
        ' {"cell_type":"raw", "id": "a","source" :"", "metadata": {"n":  1e1, "nan": NaN}},\r\n'
        ' {"cell_type":"raw","id": "b", "source":"",  "metadata" : {"x": 1.50e+0} }  ] ,\r\n'
        '  "metadata": {"x": 1.50e+0, "y": 12345678901234567890123, "é": "\\u00e9"}\r\n}'
    )
    path = tmp_path / "a.ipynb"
    path.write_bytes(text.encode())
    add(path)
    after = path.read_bytes().decode()
    begin = text.index('{"x"' if add is add_to_cell else '{"x": 1.50e+0, "y"') + 1
    assert after[:begin] == text[:begin]
    assert after.endswith(text[begin:])
    document = json.loads(text)
    added_to(document, add)
    assert json.dumps(json.loads(after), sort_keys=True) == json.dumps(document, sort_keys=True)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@settings(max_examples=150)
@given(
    document=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        JSON_VALUES | st.dictionaries(st.sampled_from(["b", "c", '"\\']), JSON_VALUES),
    ),
    names=st.lists(st.sampled_from(["a", "b", '"\\']), min_size=1, max_size=3),
    value=JSON_VALUES,
    indent=st.sampled_from([None, 1, 2, "\t"]),
)
def test_a_value_can_be_put_anywhere(
    document: dict[str, Any], names: list[str], value: Any, indent: Any
) -> None:
    text = json.dumps(document, indent=indent)
    expected = json.loads(text)
    nested = expected
    for name in names[:-1]:
        if not isinstance(nested.setdefault(name, {}), dict):
            return  # refused before
        nested = nested[name]
    nested[names[-1]] = value
    assert json.loads(_Layout.of(text).put(text, names, value)) == expected


def test_a_text_that_is_no_unicode_does_not_spoil_the_notebook(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    write_metadata(path, ("a",), {"\ud800": "a\udfff", "pair": "😀"})
    assert json.loads(path.read_bytes())["metadata"]["a"] == {"\ufffd": "a\ufffd", "pair": "😀"}


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


@either
def test_a_link_stays_a_link_and_modes_stay(tmp_path: Path, add: Add) -> None:
    target = saved(tmp_path / "real.ipynb", CELLS)
    target.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)
    add(link)
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
    "twice": START
    + b'"metadata": {}, "cells": [%b, %b, "metadata": {"a": 1}}], "metadata": {"a": 1}}'
    % (CELL, CELL[:-1]),
}


@either
@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_sound_notebook_is_left_alone(
    tmp_path: Path, data: bytes | None, add: Add
) -> None:
    path = tmp_path / "a.ipynb"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(NotebookFileError) as caught:
        add(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if data is not None else None) == data
    assert len(list(tmp_path.iterdir())) == (data is not None)


def test_something_else_of_our_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(START + b'"metadata": {"jupyter_llm": ""}, "cells": []}')
    with pytest.raises(NotebookFileError, match="something else than an object as 'jupyter_llm'"):
        add_to_notebook(path)


@either
def test_a_notebook_that_is_saved_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: Add
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)
    # As slow as somebody needs to save.
    monkeypatch.setattr(nbformat, "validate", lambda _document: path.write_text("saved"))
    with pytest.raises(NotebookFileError, match="just changed"):
        add(path)
    assert path.read_text(encoding="utf-8") == "saved"
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


@either
def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: Add
) -> None:
    path = saved(tmp_path / "a.ipynb", CELLS)

    def refuse(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(NotebookFileError, match=r"cannot be written: Permission denied\."):
        add(path)


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
