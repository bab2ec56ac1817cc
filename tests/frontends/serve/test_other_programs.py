"""Programs that know nothing of us, unchanged, as guests of a served model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.engines import load
from support.paths import DATA

from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.frontends.serve.server import Serving


@pytest.fixture
def engine(request: pytest.FixtureRequest, tiny_gguf: Path) -> LocalEngine:
    return load(request.getfixturevalue("smollm2") if "smollm2" in request.node.name else tiny_gguf)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm") is None, reason="needs Simon Willison's `llm`")
def test_llm_asks_with_its_openai_plug_in(
    served: Serving, engine: LocalEngine, tmp_path: Path
) -> None:
    named = {"model_name": engine.info.name, "api_base": served.url, "api_key_name": "served"}
    models = [
        {"model_id": "chat", "supports_schema": True, **named},
        {"model_id": "text", "completion": True, **named},
    ]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))  # which is YAML, too
    (tmp_path / "keys.json").write_text(json.dumps({"served": served.token}))

    def ask(*words: str) -> str:
        asked = [sys.executable, "-m", "llm", *words, "-n", "-o", "max_tokens", "60"]
        env = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
        done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=60)  # noqa: PLW1510
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ask("-m", "chat", "Hello there").strip()
    assert ask("-m", "chat", "--no-stream", "Hello there").strip()
    assert ask("-m", "text", "the quick").strip()
    shape = json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}})
    assert set(json.loads(ask("-m", "chat", "--schema", shape, "A dog"))) <= {"age"}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(
    shutil.which("lm_eval") is None, reason="needs lm_eval on the path: lm-evaluation-harness[api]"
)
# A small quantized model differs by tenths, by what is read together (see `Choice`).
@pytest.mark.parametrize(
    "tolerance",
    [pytest.param({"rel": 1e-3}, id="tiny"), pytest.param({"abs": 0.75}, id="smollm2")],
)
@pytest.mark.parametrize("more", ["", ",num_concurrent=8", ",tokenized_requests=False"])
def test_lm_evaluation_harness_finds_the_likelihoods_of_the_engine(
    more: str, tolerance: dict[str, Any], served: Serving, engine: LocalEngine, tmp_path: Path
) -> None:
    folder = DATA / "lm_eval"
    task = (folder / "colours.yaml").read_text(encoding="utf-8")
    (tmp_path / "colours.yaml").write_text(task.replace("{folder}", str(folder)))
    name = engine.info.name
    given = f"base_url={served.url}/completions,model={name},auth_token={served.token}"
    asked = ["lm_eval", "--model", "local-completions", "--model_args", given + more]
    asked += ["--tasks", "colours", "--include_path", str(tmp_path), "--log_samples"]
    asked += ["--output_path", str(tmp_path / "found")]
    env = {**os.environ, "OPENAI_API_KEY": served.token, "HF_HUB_OFFLINE": "1"}
    env |= {"HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=600)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = (tmp_path / "found").rglob("samples_colours_*.jsonl")
    told = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert len(told) == 6
    for sample in told:
        choices = [f" {choice}" for choice in sample["doc"]["choices"]]
        scores = engine.score(sample["arguments"]["gen_args_0"]["arg_0"], choices)
        found = [float(one[0][0]) for one in sample["resps"]]
        assert found == pytest.approx([score.logprob for score in scores], **tolerance)
