"""What measures, on the tiny model, and the process it does that in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jupyter_llm.engine.tuning.bench import LlamaBench
from jupyter_llm.engine.tuning.search import Size, Trial, candidates
from jupyter_llm.errors import EngineError


@pytest.fixture
def bench(tiny_gguf: Path, tmp_path: Path) -> Iterator[LlamaBench]:
    bench = LlamaBench(tiny_gguf, tmp_path)
    yield bench
    bench.close()


def test_a_copy_in_q8_0_has_the_same_perplexity(bench: LlamaBench, tmp_path: Path) -> None:
    bench.quantize("Q8_0")
    assert (tmp_path / "Q8_0.gguf").stat().st_size < 200_000
    original = bench.perplexity(None)
    assert original > 1
    assert bench.perplexity("Q8_0") == pytest.approx(original, rel=0.05)


def test_perplexity_does_not_depend_on_how_often_it_is_measured(bench: LlamaBench) -> None:
    assert bench.perplexity(None) == bench.perplexity(None)


def test_speeds_are_measured_with_each_setting(bench: LlamaBench) -> None:
    for settings in ({}, *candidates(256)):
        prefill, decode = bench.measure(Trial().with_settings(settings), Size(600, 4))
        assert min(prefill, decode) > 0


def test_a_file_that_cannot_be_copied_is_one_clear_line(tmp_path: Path, tiny_gguf: Path) -> None:
    bench = LlamaBench(tiny_gguf, tmp_path / "no such folder")
    with pytest.raises(EngineError, match=r"tiny\.gguf cannot be copied as Q8_0: ") as caught:
        bench.quantize("Q8_0")
    assert "\n" not in str(caught.value)


def test_the_process_ends_when_the_kernel_is_gone(tiny_gguf: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = {
        "path": str(tiny_gguf),
        "scratch": str(scratch),
        "quantizations": [],
        "keeps_copy": False,
        "allows_loss": False,
        "n_gpu_layers": None,
    }
    process = psutil.Popen(
        [sys.executable, "-m", "jupyter_llm.engine.tuning.bench", json.dumps(plan)],
        stdin=-1,
        stdout=-1,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(30) == 1
    process.stdout.close()
    assert not scratch.exists()
