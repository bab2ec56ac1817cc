"""`jupyter llm bench`: how fast a model is here. For `tune` see engine/local/test_attention.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jupyter_llm.frontends.cli import main


@pytest.mark.usefixtures("fresh_llm")
def test_it_says_how_fast_a_model_reads_and_writes(
    tiny_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny_gguf)]) == 0
    assert " tokens/s (" in capsys.readouterr().out
    assert main(["bench", "--json", str(tiny_gguf)]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert min(measured["prefill"], measured["decode"]) > 0
