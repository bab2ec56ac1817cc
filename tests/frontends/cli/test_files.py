"""`jupyter llm models`, `inspect`, `verify`: what model files are, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.frontends.cli import main
from jupyter_llm.records.verify import Verdict, VerifyReport


@pytest.fixture
def models(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that models are looked for in, with one."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_gguf, folder / "tiny.gguf")
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(folder))
    return folder


@pytest.fixture
def from_hub(tiny_gguf: Path, home: Path) -> Path:
    """A model in the cache of the Hugging Face hub."""
    data = tiny_gguf.read_bytes()
    repository = home / ".cache" / "huggingface" / "hub" / "models--them--hubtiny"
    blob = repository / "blobs" / hashlib.sha256(data).hexdigest()
    path = repository / "snapshots" / ("a" * 40) / "hubtiny.gguf"
    for file in (blob, path):
        file.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    path.symlink_to(blob)
    return path


def test_models_are_listed_as_in_a_notebook_and_as_json(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    assert "tiny" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    (tiny,) = (one for one in listed if one["name"] == "tiny")
    assert (tiny["quantization"], tiny["path"]) == ("F32", str(models / "tiny.gguf"))


def test_a_damaged_file_is_said_in_one_line(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / "tiny.gguf"
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["verify", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "tiny.gguf is truncated" in line


def test_a_file_is_verified_against_the_hash_it_came_with(
    from_hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "hubtiny"]) == 0
    assert "is undamaged" in capsys.readouterr().out
    data = bytearray(from_hub.read_bytes())
    data[-1] ^= 1
    from_hub.resolve().write_bytes(data)
    assert main(["verify", "hubtiny"]) == 1
    assert "is damaged" in capsys.readouterr().out
    assert main(["verify", "--json", "hubtiny"]) == 1
    (said,) = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "damaged"
    assert said["sha256"] != said["promised"]


def test_of_a_file_of_unknown_origin_only_the_hash_is_told(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "tiny"]) == 0
    digest = hashlib.sha256((models / "tiny.gguf").read_bytes()).hexdigest()
    out = capsys.readouterr().out
    assert out.startswith("No SHA-256 was published with tiny.gguf")
    assert digest in out


def test_what_differs_in_a_notebook_is_told_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    diff = "-x = 2 ** 3\n+f(**y)"
    report = VerifyReport((Verdict(place="cell 1", result="different", diff=diff),))
    monkeypatch.setattr(llm, "verify", lambda _notebook: report)
    assert main(["verify", "a.ipynb"]) == 1
    assert diff in capsys.readouterr().out
    assert main(["verify", "--json", "a.ipynb"]) == 1
    assert json.loads(capsys.readouterr().out)["answers"][0]["diff"] == diff
