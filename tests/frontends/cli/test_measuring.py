"""`jupyter llm bench` and `tune`: what is measured, and what undoes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jupyter_llm.engine.tuning import bench
from jupyter_llm.engine.tuning.figures import Tuning, load_tuning, save_tuning
from jupyter_llm.engine.tuning.tuning import current_machine
from jupyter_llm.frontends.cli import main
from jupyter_llm.models.fingerprint import file_sha256


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> None:
    """Trying a file takes a second, and this one is our own."""
    monkeypatch.setattr(bench, "try_file", lambda _path: None)


def tuned(path: Path) -> None:
    size_bytes, machine = path.stat().st_size, current_machine()
    settings = {"n_threads": 1, "n_batch": 256}
    save_tuning(
        Tuning(sha256=file_sha256(path), size_bytes=size_bytes, machine=machine, settings=settings)
    )


def test_a_model_is_measured_with_the_settings_it_is_loaded_with(
    tiny_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned(tiny_gguf)
    assert main(["bench", str(tiny_gguf)]) == 0
    assert "tokens/s (1 thread, batches of 256;" in capsys.readouterr().out
    assert main(["bench", "--json", str(tiny_gguf)]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["settings"] == {"n_threads": 1, "n_batch": 256}
    assert min(measured["prefill"], measured["decode"]) > 0


def test_what_was_tuned_is_forgotten(tiny_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned(tiny_gguf)
    assert main(["tune", "--forget", "--json", str(tiny_gguf)]) == 0
    assert json.loads(capsys.readouterr().out) == {"forgotten": True}
    assert load_tuning(tiny_gguf, current_machine()) is None
    assert main(["tune", "--forget", str(tiny_gguf)]) == 0
    assert capsys.readouterr().out == "There is no tuning of this model.\n"
