"""`jupyter llm audit`: what a model wrote in notebooks, and whether the records hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from support.paths import ROOT
from support.recorded import asked, generated, record, saved, shown

from jupyter_llm import __version__
from jupyter_llm.engine.provenance import METADATA_KEY, Provenance
from jupyter_llm.frontends.cli import main
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.records.audit import audit, audit_all, record_text
from jupyter_llm.records.records import COMPLETED_KEY, landed, pieces_of, to_metadata

CODE = "total = 1 + 1\ntotal"


def found(path: Path) -> list[tuple[int, str, str]]:
    return [(item.cell, item.kind, item.state) for item in audit(path)]


def altered(made: Provenance) -> dict[str, Any]:
    return {**made.to_json(), "seed": 8}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ipynb"


ANNOUNCED, CELL = generated(record(), CODE)
SPOILT = new_code_cell("", outputs=[shown("1 cell below", altered(landed(record(), CODE)))])
OWN = landed(record(), CODE).to_metadata()


def saying(source: str, **metadata: Any) -> Any:
    return new_code_cell(source, metadata=metadata)


def two_cells(first: str, second: str) -> list[Any]:
    """An answer of two cells, `a = 1` and `b = 2`, and what became of them."""
    made = [landed(record(), body) for body in ("a = 1", "b = 2")]
    announced = shown("2 cells below", None)
    announced["metadata"] = to_metadata(made)
    bodies = zip((first, second), made, strict=True)
    cells = [saying(mark(body, one.model.name, one.record_id)) for body, one in bodies]
    return [asked(announced), *cells]


# What stands in a notebook, and what is told of it.
NOTEBOOKS: dict[str, tuple[list[Any], list[str]]] = {
    "nothing": ([], []),
    "text and code of the user's": ([new_markdown_cell("# Title"), saying("x = 1")], []),
    "an answer": ([asked(shown("Yes", record(), "seed 7"))], ["1 answer recorded"]),
    "an edited answer": ([asked(shown("No", record()))], ["1 answer edited since"]),
    "an altered answer": ([asked(shown("Yes", altered(record())))], ["1 answer altered"]),
    "a cell": ([ANNOUNCED, CELL], ["2 code cell recorded"]),
    "an edited cell": ([ANNOUNCED, saying(CELL["source"] + "\n")], ["2 code cell recorded"]),
    "a changed cell": ([ANNOUNCED, saying(CELL["source"] + "\nx")], ["2 code cell edited since"]),
    "a cell without its record": ([CELL], ["1 code cell missing"]),
    "a cell with its record elsewhere": (
        [CELL, new_markdown_cell("kept", metadata=ANNOUNCED["outputs"][0]["metadata"])],
        ["1 code cell recorded", "2 code cell edited since"],
    ),
    "a cell with an altered record": ([SPOILT, CELL], ["2 code cell altered"]),
    "a sound record behind an altered one": ([SPOILT, ANNOUNCED, CELL], ["3 code cell recorded"]),
    "an altered record behind a sound one": ([ANNOUNCED, SPOILT, CELL], ["3 code cell recorded"]),
    "a cell with a record of its own": ([saying(CODE, **OWN)], ["1 code cell recorded"]),
    "one that ends with a line end": ([saying(f"{CODE}\n", **OWN)], ["1 code cell recorded"]),
    "a record of another text": ([saying("other", **OWN)], ["1 code cell edited since"]),
    "one that proves nothing": (
        [saying(CELL["source"], **landed(record(), "other").to_metadata())],
        ["1 code cell missing"],
    ),
    "two cells of one answer": (
        two_cells("a = 1", "b = 3"),
        ["2 code cell recorded", "3 code cell edited since"],
    ),
}
each_notebook = pytest.mark.parametrize(
    ("cells", "expected"), NOTEBOOKS.values(), ids=NOTEBOOKS.keys()
)


@each_notebook
def test_what_a_model_wrote_is_told_with_the_state_of_its_record(
    path: Path, cells: list[Any], expected: list[str]
) -> None:
    items = audit(saved(path, cells))
    assert [f"{item.cell} {item.kind} {item.state}" for item in items] == expected
    assert all(item.model == "tiny" for item in items)
    assert all((item.record is None) == (item.state == "missing") for item in items)
    assert all(item.record_id for item in items)


@pytest.mark.parametrize("junk", [5, None, "x", {}, [[]], {"version": 2}, [{"digest": "0" * 64}]])
def test_a_damaged_record_is_told(path: Path, junk: Any) -> None:
    output = shown("Yes", record())
    output["metadata"][METADATA_KEY] = junk
    saved(path, [asked(output), saying(CODE, **{METADATA_KEY: junk})])
    assert found(path) == [(1, "answer", "damaged"), (2, "code cell", "damaged")]
    assert run("--fail-on-unlabelled", path) == 1


HOSTILE = "\x1b[31mevil\x07\u202e\n# x <img src=x onerror=alert(1)> | [a](javascript:b) \x9b"


def hostile() -> Provenance:
    made = record("Yes")
    model = replace(made.model, name=HOSTILE, quantization=HOSTILE, license=HOSTILE * 9)
    return replace(made, model=model, build=HOSTILE)


def test_what_is_printed_commands_no_terminal_and_no_page(path: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[2J\nb.ipynb"
    saved(odd, [asked(shown("Yes", hostile())), generated(hostile(), CODE)[1]])
    text = str(audit_all([str(odd)]))
    assert not set(text) & set("\x1b\x07\x9b\u202e\r")
    assert "<img" not in text
    assert "](javascript" not in text
    assert len(text.splitlines()) == 6
    table = text.splitlines()[2:]
    assert {line.count("|") - line.count("\\|") for line in table} == {6}
    (error,) = audit_all([str(tmp_path / "gone\x1b[2J\n.ipynb")]).errors
    assert "\x1b" not in error
    assert "\n" not in error


def run(*arguments: str | Path) -> int:
    return main(["audit", *map(str, arguments)])


def test_a_table_for_people(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, missing = generated(record("other"), "x = 1")
    saved(path, [asked(shown("Yes", record())), *generated(record(), CODE), missing])
    assert run(path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: 1 answer and 2 generated cells by tiny; 1 missing."
    table = [" ".join(line.split()) for line in lines[2:]]
    assert table[0] == "| | what | model | written | record |"
    assert table[2] == f"| cell 1 [1] | answer | tiny | {record().time} | recorded |"
    assert table[4] == "| cell 4 | code cell | tiny | | missing |"
    assert len({len(line) for line in lines[2:]}) == 1


def test_json_for_machines(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, missing = generated(record(), CODE)
    saved(path, [asked(shown("Yes", record())), missing])
    assert run("--json", path) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["version"] == 1
    assert report["num_unlabelled"] == 1
    (notebook,) = report["notebooks"]
    assert notebook["path"] == str(path)
    assert notebook["error"] is None
    answer, cell = notebook["items"]
    assert Provenance.from_json(answer["record"]) == record()
    assert answer["cell_id"]
    assert (cell["state"], cell["model"], cell["record"]) == ("missing", "tiny", None)


@each_notebook
def test_it_fails_on_unlabelled_when_told_to(
    path: Path, cells: list[Any], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    saved(path, cells)
    is_sound = not any(one.endswith(("missing", "altered")) for one in expected)
    assert run(path) == 0
    assert run("--fail-on-unlabelled", path) == (not is_sound)
    assert capsys.readouterr().err == ""


def test_what_cannot_be_read_stops_no_other(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(path, [asked(shown("Yes", record()))])
    (tmp_path / "page.ipynb").write_text("<!doctype html>", encoding="utf-8")
    wanted = (tmp_path / "gone.ipynb", tmp_path / "page.ipynb", tmp_path / "*.no", path)
    assert run(*wanted) == 2
    printed = capsys.readouterr()
    assert f"{path}: 1 answer by tiny." in printed.out
    assert [line.rpartition("/")[2] for line in printed.err.splitlines()] == [
        "gone.ipynb cannot be read: No such file or directory.",
        "page.ipynb is no notebook.",
        "*.no matches no file.",
    ]
    assert all(line.startswith("jupyter llm audit: ") for line in printed.err.splitlines())
    assert run("--json", "--fail-on-unlabelled", *wanted) == 2
    report = json.loads(capsys.readouterr().out)
    assert [bool(one["error"]) for one in report["notebooks"]] == [True, True, True, False]


HELP = ("edited since", "altered", "damaged", "missing", "exit codes")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        *((wrong.split(), 2, ("usage: jupyter llm",)) for wrong in ("", "audit", "audit --jsn a")),
        (["nonsense"], 2, ("usage: jupyter llm",)),
        (["--version"], 0, (f"jupyter_llm {__version__}\n",)),
        (["--help"], 0, ("audit",)),
        (["audit", "--help"], 0, HELP),
    ],
)
def test_wrong_usage_fails_and_help_and_version_do_not(
    arguments: list[str], code: int, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    printed = capsys.readouterr()
    assert all(words in (printed.err if code else printed.out) for words in says)


def in_a_process(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_jupyter_llm_audit_runs(path: Path, tmp_path: Path) -> None:
    saved(path, generated(record(), CODE)[1:])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, _, name = scripts["jupyter-llm"].partition(":")
    program = tmp_path / "bin" / "jupyter-llm"  # as pip writes it
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom {module} import {name}\nsys.exit({name}())\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    search = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    command = (sys.executable, "-m", "jupyter_core", "llm", "audit", "--fail-on-unlabelled")
    done = in_a_process(*command, str(path), PATH=search)
    assert done.returncode == 1, done.stderr
    assert "1 generated cell by tiny; 1 missing." in done.stdout
    as_module = in_a_process(sys.executable, "-m", "jupyter_llm", *command[4:], str(path))
    assert (as_module.returncode, as_module.stdout) == (1, done.stdout)


def test_a_cell_that_was_completed_in_part_says_so_and_whether_that_was_edited(
    path: Path,
) -> None:
    noted = {"model": "tiny", "time": "2026-11-26T12:00:00.000Z", "pieces": pieces_of(CODE)}
    line = {COMPLETED_KEY: [noted, 7, *[None] * 10**5]}
    saved(path, [saying(CODE, **line), saying(f"{CODE} + 1", **line, **OWN), saying("x", **line)])
    assert found(path) == [
        (1, "completion", "recorded"),
        (2, "code cell", "edited since"),
        (2, "completion", "recorded"),
        (3, "completion", "edited since"),
    ]
    assert "1 generated cell and 3 completed cells by tiny" in str(audit_all([str(path)]))
    said = "tiny completed a part of it on 2026-11-26"
    assert f"{said}." in record_text(line, CODE)
    assert f"{said}, which was edited later." in record_text(line, "x")
