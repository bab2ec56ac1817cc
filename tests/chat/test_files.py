"""A file beside the notebook goes along with a prompt: what is told of it, and what never is."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_llm.chat import files
from jupyter_llm.chat.files import file_mentions, files_like, mention
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.frontends.prompt.commands import COMMANDS
from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.frontends.prompt.typed import read
from jupyter_llm.notebook.cells.timeline import Snapshot, Timeline
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.redaction import redact_source, scrub

SECRET = "Zq81xTfR7aB2m"  # noqa: S105  has the form of none
MARK = "told to nobody"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook in a folder with files, beside a folder that is not its business."""
    folder, outside = tmp_path / "work", tmp_path / "outside"
    (folder / "data").mkdir(parents=True)
    (folder / "my data").mkdir()
    outside.mkdir()
    (outside / "private.txt").write_text(MARK, "utf-8")
    (folder / "data" / "prices.csv").write_text(
        "city,price,when\nOslo,3,2020\nRome,,2021\nBern,4.5,2022\nKyiv,5,2023\n", "utf-8"
    )
    (folder / "my data" / "notes.txt").write_text("Sold by weight.\n", "utf-8")
    (folder / "units.py").write_text("def gram(kilo):\n    return 1000 * kilo\n", "utf-8")
    (folder / "Makefile").write_text("all:\n", "utf-8")
    (folder / ".env").write_text(f"API_KEY={SECRET}\n", "utf-8")
    path = folder / "prices.ipynb"
    path.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "utf-8")
    return path


def attached_file(path: str, notebook: Path, **how: bool) -> tuple[str, str]:
    return files.attached_file(path, notebook, Snapshot(), **how)


def asked(text: str, notebook: Path, **variables: object) -> ChatQuestion:
    options = Options(context="none")
    typed = read(
        text,
        commands=COMMANDS,
        namespace=variables,
        snapshot=Snapshot(),
        defaults=options,
        notebook=notebook,
    )
    assert isinstance(typed.what, ChatQuestion)
    return typed.what


@pytest.mark.parametrize(
    ("text", "prompt", "labels"),
    [
        ("Sum @data/prices.csv, then", "Sum data/prices.csv, then", ["data/prices.csv"]),
        ("See @units.py. And @units.py", "See units.py. And units.py", ["units.py"]),
        ('Why "@"my data/notes.txt"?', 'Why ""my data/notes.txt"?', ["my data/notes.txt"]),
        ("(@./Makefile) and @Makefile", "(./Makefile) and Makefile", ["./Makefile", "Makefile"]),
        ("me@units.py, `@units.py`, @scope/name", None, []),
        ('from "@/App.vue", "@/parts/A.vue", @angular/core.js, @4.x', None, []),
        ("@units.gram and @df.price", "units.gram and df.price", []),
    ],
)
def test_a_file_is_told_apart_from_variables_addresses_packages_and_code(
    text: str, prompt: str | None, labels: list[str], notebook: Path
) -> None:
    if "gram" in text:
        notebook = notebook.parent / "my data" / "other.ipynb"  # no units.py there
    what = asked(text, notebook, units=1, df=2)
    assert what.prompt == (text if prompt is None else prompt)
    assert [label for label, _ in what.attachments] == labels


def test_the_words_of_a_path_name_no_variable(notebook: Path) -> None:
    what = asked("Sum @data/prices.csv by price", notebook, data=1, prices=2, csv=3, price=4)
    assert what.named == ("price",)
    assert "data" not in (what.about or "")


def test_of_a_table_the_columns_and_the_first_rows_are_told_as_of_a_frame(notebook: Path) -> None:
    _, text = attached_file("data/prices.csv", notebook)
    assert text == (
        "65 B: 4 rows x 3 columns\n"
        "columns: city str, price float (1 null), when int\n"
        "first 3 rows:\ncity | price | when\n'Oslo' | 3.0 | 2020\n'Rome' | None | 2021\n"
        "'Bern' | 4.5 | 2022"
    )


def test_of_a_notebook_the_sources_are_told_but_not_of_cells_that_are_hidden(
    notebook: Path,
) -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Weights"]},
        {"cell_type": "code", "metadata": {}, "source": "w = 1", "outputs": [{"text": MARK}]},
        {"cell_type": "code", "metadata": {"tags": ["llm-off"]}, "source": MARK, "outputs": []},
    ]
    text = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
    (notebook.parent / "other.ipynb").write_text(text, "utf-8")
    told = attached_file("other.ipynb", notebook)[1]
    assert told == f"{len(text)} B\n\n# Weights\n\n```python\nw = 1\n```"
    with pytest.raises(OptionError, match="this notebook"):
        attached_file("prices.ipynb", notebook)


@pytest.mark.parametrize("name", ["n-Copy1.ipynb", "n.json"])
@pytest.mark.parametrize("has_ids", [True, False])
def test_a_copy_of_this_notebook_tells_no_cell_that_is_hidden_here(
    name: str, notebook: Path, *, has_ids: bool
) -> None:
    timeline = Timeline()
    timeline.append(MARK, execution_count=1, cell_id="a")
    timeline.hide(1)
    cells = [
        {"cell_type": "code", "source": f"{MARK}" + " since" * has_ids, "outputs": []},
        {"cell_type": "code", "source": "w = 1", "outputs": []},
    ]
    if has_ids:
        cells[0]["id"] = "a"
    (notebook.parent / name).write_text(json.dumps({"cells": cells, "nbformat": 4}), "utf-8")
    told = files.attached_file(name, notebook, timeline.snapshot())[1]
    assert MARK not in told
    assert "w = 1" in told


def test_a_file_of_very_many_secrets_hides_them_and_lets_none_be_forgotten(notebook: Path) -> None:
    seen_secrets.forget()
    redact_source(f"password = '{SECRET}'")
    keys = [f"Zk{number}-{number * 7919}q" for number in range(600)]
    text = "".join(f"api_key: {key}\nIt said {key} there.\n" for key in keys)
    (notebook.parent / "keys.txt").write_text(text + SECRET, "utf-8")
    told = attached_file("keys.txt", notebook)[1]
    assert SECRET not in told
    assert [key for key in keys[-400:] if key in told] == []
    assert SECRET not in scrub(f"It printed {SECRET}.")
    seen_secrets.forget()


@pytest.mark.parametrize("name", ["keys.csv", "settings.py", "notes.txt", "keys.ipynb", ".env"])
def test_a_secret_in_a_file_is_hidden_there_and_from_then_on(name: str, notebook: Path) -> None:
    cell = {"cell_type": "code", "source": f"api_key = '{SECRET}'", "outputs": []}
    texts = {
        "keys.csv": f"user,api_key\nann,{SECRET}\n",
        "settings.py": f"api_key = '{SECRET}'\n",
        "notes.txt": f"The api_key is {SECRET}\n",
        "keys.ipynb": json.dumps({"nbformat": 4, "metadata": {}, "cells": [cell]}),
        ".env": f"API_KEY={SECRET}\n",
    }
    (notebook.parent / name).write_text(texts[name], "utf-8")
    text = attached_file(name, notebook)[1]
    assert SECRET not in text
    assert "<hidden" in text
    assert SECRET not in scrub(f"It printed {SECRET}.")


def test_of_a_huge_file_the_start_is_read_up_to_a_whole_line(notebook: Path) -> None:
    (notebook.parent / "long.txt").write_text(f"{'x' * 99}\n" * 10_000, "utf-8")
    told = attached_file("long.txt", notebook)[1]
    assert told.startswith("1.0 MB, here the first 64.0 kB\n")
    assert len(told) == len("1.0 MB, here the first 64.0 kB\n") + 64_000
    (notebook.parent / "table.csv").write_text("ä;b\n" + "1;2\n" * 50_000, "utf-8")
    (notebook.parent / "line.json").write_text("é" * 50_000, "utf-8")
    assert attached_file("line.json", notebook)[1].startswith("100.0 kB, here the first 55.8 kB\né")
    told = attached_file("table.csv", notebook)[1]
    assert told.startswith("200.0 kB, here the first 64.0 kB: 15999 rows x 2 columns\n")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("gone.csv", None, "cannot be attached: No such file"),
        ("data", None, "cannot be attached: it is not a regular file"),
        ("pipe", None, "cannot be attached: it is not a regular file"),
        ("circle", None, "cannot be attached"),
        ("\ud800.csv", None, "cannot be attached"),
        ("broken.ipynb", b"{}", "is no notebook"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line_and_nothing_waits(
    name: str, data: bytes | None, why: str, notebook: Path
) -> None:
    folder = notebook.parent
    os.mkfifo(folder / "pipe")
    (folder / "circle").symlink_to("circle")
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises(JupyterLLMError, match=why) as caught:
        asked(f'Read @"{name}"', notebook)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", bytes(range(128, 256)) * 9])
def test_what_is_no_text_is_refused_in_one_line(data: bytes, notebook: Path) -> None:
    (notebook.parent / "plot.png").write_bytes(data)
    with pytest.raises(OptionError, match=r"plot\.png cannot be attached: it is not text\. Load.*"):
        attached_file("plot.png", notebook)


def test_outside_of_the_folder_only_a_whole_path_is_told_or_what_was_dropped(
    notebook: Path,
) -> None:
    private = notebook.parents[1] / "outside" / "private.txt"
    (notebook.parent / "way_out").symlink_to(private.parent)
    for path in ("../outside/private.txt", "way_out/private.txt"):
        with pytest.raises(OptionError, match="outside the notebook's folder") as caught:
            asked(f"Read @{path}", notebook)
        assert str(caught.value).endswith(mention(private.as_posix()))
        assert MARK in attached_file(path, notebook, is_asked=True)[1]
    assert MARK in asked(f"Read @{private}", notebook).attachments[0][1]


PARTS = st.sampled_from(["..", ".", "data", "way_out", "outside", "private.txt", "work", "", "~"])


@given(st.lists(PARTS, min_size=1, max_size=6))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_relative_path_leads_out_and_none_is_suggested(notebook: Path, parts: list[str]) -> None:
    way = notebook.parent / "data" / "way_out"
    if not way.is_symlink():
        way.symlink_to(notebook.parents[1] / "outside")
    path = "/".join(parts).lstrip("/")
    for found, name in file_mentions(f'Read @"{path}"', {}, notebook) if path else ():
        with suppress(JupyterLLMError):
            assert MARK not in attached_file(name, notebook)[1], found
    for start in (path, f"{path}/"):
        for one, _ in files_like(start.lstrip("/"), notebook):
            assert not one.endswith("private.txt")


def test_of_a_folder_what_is_hidden_is_not_suggested_and_blanks_get_quotes(notebook: Path) -> None:
    (notebook.parent / ".ipynb_checkpoints").mkdir()
    names = [name for name, _ in files_like("", notebook)]
    assert names == ["data/", "Makefile", "my data/", "prices.ipynb", "units.py"]
    assert [*files_like("data/P", notebook)] == [("data/prices.csv", "65 B")]
    assert [mention(name) for name in ("data/", "my data/", "my data/a.txt", "units.py")] == [
        *("@data/", '@"my data/', '@"my data/a.txt"', "@units.py"),
    ]


def test_attachments_share_half_of_the_budget_and_say_what_is_left_out(notebook: Path) -> None:
    from jupyter_llm.chat.branches import Place
    from jupyter_llm.chat.plan import full_context
    from jupyter_llm.notebook.cells.timeline import Timeline

    (notebook.parent / "long.txt").write_text(f"{'x' * 99}\n" * 300, "utf-8")
    attachments = asked("Read @long.txt and @units.py", notebook).attachments
    draft = full_context(
        *("?", Place(number=1, tick=0), Timeline().snapshot()),
        mode="none",
        allowed=1000,
        attachments=attachments,
    )
    long, short = (part.text for part in draft.attachments)
    assert len(long) < 1000 * 3 / 2 / 2 + 60
    assert re.search(r"\[… [\d,]+ characters left out …\]", long)
    assert short == attachments[1][1]
