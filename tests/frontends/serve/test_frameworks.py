"""Frameworks that call tools, unchanged, each installed into an environment of its own."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest
from support import scripted
from support.paths import DATA
from support.scripted import ScriptedEngine

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.frontends.serve.server import Serving

LOOK_UP = ToolCall("look_up", '{"name": "Ada"}').text
ADD = ToolCall("add", '{"a": 36, "b": 1}').text
PERSON = '{"name": "Ada", "age": 36}'
REPLIES = {
    "instructor": ["Person", "PartialPerson"],
    "pydantic_ai": [LOOK_UP, "final_result"] * 2,
    "langchain_openai": [LOOK_UP, "She is 36.", LOOK_UP, "She is 36.", "Person"],
    "litellm": [LOOK_UP, "She is 36.", LOOK_UP],
    "agents": [LOOK_UP, ADD, ToolCall("note", '{"text": "37"}').text, "She will be 37."] * 2,
    "smolagents": [LOOK_UP, ADD, ToolCall("final_answer", '{"answer": "37"}').text],
    "llm": [ToolCall("llm_version", "{}").text, "It is new."] * 2,
}
PACKAGES = {
    "pydantic_ai": "pydantic-ai-slim[openai]",
    "langchain_openai": "langchain-openai",
    "agents": "openai-agents",
    "smolagents": "smolagents[openai]",
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", REPLIES)
def test_a_framework_calls_its_tools_to_an_end(
    name: str,
    served: Serving,
    engine: ScriptedEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scripted, "N_CTX", 16384)  # smolagents has long instructions
    engine.replies.extend(
        one if " " in one else ToolCall(one, PERSON).text for one in REPLIES[name]
    )
    python = tmp_path / "bin" / "python"
    venv.create(tmp_path, with_pip=True)
    package = PACKAGES.get(name, name)
    subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    script = DATA / "frameworks" / f"{name}.py"
    env = {**os.environ, "OPENAI_BASE_URL": served.url, "OPENAI_API_KEY": served.token}
    env |= {"MODEL": engine.info.name, "PYTHONPATH": "", "HOME": str(tmp_path)}
    done = subprocess.run([python, "-I", script], env=env, capture_output=True, text=True)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr[-3000:]
    assert not engine.replies
