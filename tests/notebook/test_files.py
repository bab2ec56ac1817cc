"""Notebook files: read whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.files import find_notebooks, read_notebook


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *((text, "is no notebook") for text in (b"", b"\xff\xfe\x00", b"<p>", b"[]", b"5", b"{}")),
        *((text, "is no notebook") for text in (b"[" * 100_000, b'{"nbformat": 99, "cells": []}')),
        (b'{"nbformat": 3, "worksheets": []}', "old format"),
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
