"""`jupyter llm doctor` and `/doctor`: a healthy installation, and broken ones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_llm import __version__, llm
from jupyter_llm.common.database import store
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.local.native import installed
from jupyter_llm.engine.local.native.installed import Installed, installed_llama
from jupyter_llm.frontends import doctor, installation
from jupyter_llm.frontends.cli import main
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call
from jupyter_llm.models import discover
from jupyter_llm.models.sources import Candidate

LLAMA = Installed("llama-cpp-python 9", "/lib/libllama.so", has_gpu=False, gpu_bytes=None)
Find = Callable[[str], dict[str, str]]


@pytest.fixture
def find(
    tiny_gguf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Find:
    """What the doctor finds of one thing, in an installation where all is well but what is broken.

    What is wrong with that thing must be all that is wrong, and its exit code say so.
    """
    monkeypatch.setattr(installed, "installed_llama", lambda: LLAMA)
    for name in ("embedded", "candidates"):  # no packages of models
        monkeypatch.setattr(discover, name, lambda: iter(()))
    monkeypatch.setenv("JUPYTER_LLM_MODEL", str(tiny_gguf))
    write_extension(tmp_path, __version__)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(installation, "version", lambda _name: "4.6.6")
    panel = tmp_path / "chat_panel.js"
    panel.touch()
    monkeypatch.setattr(doctor, "PANEL", panel)
    monkeypatch.setattr("jupyter_llm.engine.local.trials.model_file.try_file", lambda _path: None)

    def look(what: str) -> dict[str, str]:
        code = main(["doctor", "--json"])
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        found: dict[str, dict[str, str]] = {one["what"]: one for one in said["findings"]}
        wrong = {name for name, one in found.items() if one["state"] == "wrong"}
        assert wrong <= {what}
        assert code == bool(wrong)
        assert said["is_healthy"] is not bool(wrong)
        assert all("\n" not in one["said"] + one["advice"] for one in found.values())
        assert all(one["advice"] for one in found.values() if one["state"] == "wrong")
        return found[what]

    return look


def write_extension(prefix: Path, version: str) -> None:
    folder = prefix / installation.PLACE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))


def test_a_healthy_installation_has_nothing_wrong(
    find: Find, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find("model")["state"] == "ok"
    assert "llama-cpp-python 9 in /lib/libllama.so" in find("llama.cpp")["said"]
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Everything works."
    assert not any(line.startswith("- ✗") for line in lines)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", r"no model is on this machine \(cut.gguf is truncated"),
        ("nonsense", "No model named 'nonsense'"),
        ("cut.gguf", "cut.gguf is truncated"),
    ],
)
def test_a_model_that_is_not_there_or_damaged_is_said(
    find: Find,
    monkeypatch: pytest.MonkeyPatch,
    tiny_gguf: Path,
    tmp_path: Path,
    chosen: str,
    said: str,
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:-100])
    monkeypatch.setattr(
        discover, "candidates", lambda: iter([Candidate(str(path), ("cut",), "here")])
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_LLM_MODEL", chosen)
    found = find("model")
    assert re.match(said, found["said"])
    assert "%llm" in found["advice"] or "JUPYTER_LLM_MODEL" in found["advice"]


@pytest.mark.parametrize("damage", ["noise", "folder", "newer"])
def test_a_store_that_cannot_be_used_is_said(find: Find, damage: str) -> None:
    Remembered("test").put("a", "b")
    assert store().flush(10)
    path = store().path
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "noise":
        path.write_bytes(b"\x55" * 9000)
    else:
        import sqlite3

        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    assert store().trouble()
    assert str(path) in find("store")["said"]
    if damage != "newer":  # the next that is kept sets it aside
        Remembered("test").put("a", "c")
        assert store().flush(10)
        assert find("store")["state"] == "ok"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('libllama.so: cannot open shared object file')", "cannot open shared"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "built for another processor"),
        ("print('nonsense')", "cannot be read"),
    ],
    ids=["no library", "another processor", "another library"],
)
def test_a_llama_cpp_that_does_not_work_is_said(
    find: Find, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(installed, "ASK", (sys.executable, "-c", code))
    monkeypatch.setattr(installed, "installed_llama", installed_llama)
    found = find("llama.cpp")
    assert said in found["said"]
    assert "pip install --force-reinstall" in found["advice"]


def test_a_panel_that_was_not_built_is_said(find: Find, tmp_path: Path) -> None:
    (tmp_path / "chat_panel.js").unlink()
    assert "chat_panel.js is missing" in find("chat panel")["said"]


def test_the_command_of_notebooks_says_the_same(find: Find) -> None:
    find("model")
    report = COMMANDS["doctor"].run(Call(llm=llm, chat=llm.chat()))
    assert str(report).startswith("Everything works.\n\n-")
    assert "- ✓ **model**: tiny" in str(report)
