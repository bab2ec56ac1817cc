"""The command line with one of its own tools."""

import json
import os
import subprocess
import sys
from pathlib import Path

model = {"model_id": "ours", "model_name": os.environ["MODEL"], "supports_tools": True}
model |= {"api_base": os.environ["OPENAI_BASE_URL"], "api_key_name": "ours"}
folder = Path.home()
(folder / "extra-openai-models.yaml").write_text(json.dumps([model]))  # which is YAML, too
(folder / "keys.json").write_text(json.dumps({"ours": os.environ["OPENAI_API_KEY"]}))
command = [sys.executable, "-m", "llm", "-m", "ours", "-T", "llm_version", "Which version?"]
for more in ([], ["--no-stream"]):
    env = {**os.environ, "LLM_USER_PATH": str(folder)}
    done = subprocess.run([*command, *more], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "It is new.", done
