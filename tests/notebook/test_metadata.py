"""The metadata of notebook files, and nothing else of them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.metadata import _put, read_metadata, write_metadata

NAMES = ("jupyter_llm", "chats")
VALUE = {"default": {"turns": [{"text": "é\n$x$", "seed": 7}]}}


def notebook_with(**metadata: Any) -> dict[str, Any]:
    cell = nbformat.v4.new_code_cell("x = 1.50\nprint('é')")
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=metadata)
    document: dict[str, Any] = json.loads(nbformat.writes(notebook))
    return document


def write(path: Path, document: dict[str, Any], **layout: Any) -> Path:
    path.write_text(json.dumps(document, **layout) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ipynb"


LAYOUTS = {
    "nbformat's": {"indent": 1, "sort_keys": True, "ensure_ascii": False},
    "four blanks": {"indent": 4},
    "tabs": {"indent": "\t"},
    "one line": {},
    "compact": {"separators": (",", ":")},
}
METADATA: dict[str, dict[str, Any]] = {
    "empty": {},
    "another's": {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "z": 1},
    "ours without chats": {"jupyter_llm": {"model": "tiny"}},
    "ours, empty": {"jupyter_llm": {}, "a": 1},
    "older chats": {"jupyter_llm": {"chats": {"old": {}}, "model": "tiny"}, "z": [1]},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA.keys())
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_only_the_value_is_added(
    path: Path, layout: dict[str, Any], metadata: dict[str, Any]
) -> None:
    document = notebook_with(**metadata)
    before = write(path, document, **layout).read_text(encoding="utf-8")
    write_metadata(path, NAMES, VALUE)
    after = path.read_text(encoding="utf-8")
    document["metadata"].setdefault("jupyter_llm", {})["chats"] = VALUE
    assert json.loads(after) == document
    assert read_metadata(path, NAMES) == VALUE
    nbformat.validate(nbformat.reads(after, as_version=4))
    if "chats" not in metadata.get("jupyter_llm", {}):
        remaining = iter(after.split("\n"))
        lines = [line for line in before.split("\n") if "metadata" not in line]
        lines = [line for line in lines if "jupyter_llm" not in line]
        assert all(line in remaining for line in lines if layout.get("indent")), "in this order"


def test_a_file_as_jupyter_writes_it_stays_one(path: Path) -> None:
    path.write_text(nbformat.writes(nbformat.from_dict(notebook_with(z=1))) + "\n", "utf-8")
    write_metadata(path, NAMES, VALUE)
    text = path.read_text(encoding="utf-8")
    assert nbformat.writes(nbformat.reads(text, as_version=4)) + "\n" == text


def test_numbers_blanks_and_line_ends_stay_as_they_are(path: Path) -> None:
    text = (
        '{ "nbformat":4,\r\n  "nbformat_minor": 5, "cells" : [ ],\r\n'
        '  "metadata": {"x": 1.50e+0, "y": 12345678901234567890123, "é": "\\u00e9"}\r\n}'
    )
    path.write_bytes(text.encode())
    write_metadata(path, ("jupyter_llm",), 1)
    after = path.read_bytes().decode()
    begin = text.index('{"x"') + 1
    assert after[:begin] == text[:begin]
    assert after.endswith(text[begin:])
    assert json.loads(after)["metadata"]["jupyter_llm"] == 1


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
    assert json.loads(_put(text, names, value)) == expected


def test_a_text_that_is_no_unicode_does_not_spoil_the_notebook(path: Path) -> None:
    write(path, notebook_with())
    write_metadata(path, NAMES, {"\ud800": "a\udfff", "pair": "😀"})
    assert read_metadata(path, NAMES) == {"\ufffd": "a\ufffd", "pair": "😀"}


REFUSED = {
    "not there": None,
    "empty": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "no object": b"[]",
    "no notebook": b"{}",
    "deep": b"[" * 100_000,
    "old": b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
    "not valid": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
    "metadata is a list": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": []}',
    "ours is text": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {"jupyter_llm": ""}, '
    b'"cells": []}',
    "twice": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [], '
    b'"metadata": {"a": 1}}',
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_sound_notebook_is_left_alone(path: Path, data: bytes | None) -> None:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(NotebookFileError) as caught:
        write_metadata(path, NAMES, VALUE)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if data is not None else None) == data
    assert len(list(path.parent.iterdir())) == (data is not None)


def test_the_file_keeps_its_mode_and_a_link_stays_a_link(path: Path) -> None:
    write(path, notebook_with())
    path.chmod(0o640)
    link = path.with_name("link.ipynb")
    link.symlink_to(path)
    write_metadata(link, NAMES, VALUE)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_metadata(path, NAMES) == VALUE


def test_what_was_saved_meanwhile_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, notebook_with())
    saved = write(path.with_name("saved"), notebook_with(z=1)).read_bytes()

    def validate(_document: object) -> None:
        path.write_bytes(saved)

    monkeypatch.setattr(nbformat, "validate", validate)  # as slow as somebody needs to save
    with pytest.raises(NotebookFileError, match="just changed"):
        write_metadata(path, NAMES, VALUE)
    assert path.read_bytes() == saved


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_in_one_line(path: Path) -> None:
    write(path, notebook_with())
    path.parent.chmod(0o500)
    try:
        with pytest.raises(NotebookFileError, match="cannot be written"):
            write_metadata(path, NAMES, VALUE)
    finally:
        path.parent.chmod(0o700)


def test_nothing_stands_under_a_name_that_is_not_there(path: Path) -> None:
    write(path, notebook_with(jupyter_llm=[]))
    assert read_metadata(path, NAMES) is None
