"""The public names, and what importing them costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jupyter_llm

HEAVY = (
    *("llama_cpp", "numpy", "pandas", "ipywidgets", "anywidget"),
    *("jinja2", "msgspec", "dask", "openai", "huggingface_hub"),
    *("llguidance", "pydantic", "narwhals", "starlette", "uvicorn", "mcp", "distributed"),
)
OURS_LATER = (
    *("tasks", "columns", "frontends", "engine.local", "models.inspect", "notebook.sealed"),
    "chat.conversation",
)
IMPORT = "import jupyter_llm"
IMPORT_LLM = "from jupyter_llm import llm"
LOAD_EXT = """\
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "jupyter_llm")"""
NAMES = """\
LLM BatchError Chat ChatPanel Chunk Completion PromptInterrupted Quote RawPrompt \
SamplingParams ShapeError ShapedAnswer ShapedStream Special Turn Usage __version__ llm \
load_ipython_extension register unload_ipython_extension"""


def in_a_fresh_process(code: str, bytecode: Path) -> str:
    """Run code, with compiled modules kept in a folder as an installed package has them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**env, "PYTHONPYCACHEPREFIX": str(bytecode)},
        timeout=60,
        check=True,
        text=True,
    ).stdout


def test_public_names() -> None:
    assert " ".join(jupyter_llm.__all__) == NAMES
    assert all(getattr(jupyter_llm, name).__doc__ for name in jupyter_llm.__all__)


def test_all_of_them_are_listed_before_they_are_asked_for(tmp_path: Path) -> None:
    look = f"{IMPORT}\nprint({{*jupyter_llm.__all__}} - {{*dir(jupyter_llm)}})"
    assert in_a_fresh_process(look, tmp_path).strip() == "set()"


@pytest.mark.parametrize("code", [IMPORT_LLM, LOAD_EXT], ids=["import", "load_ext"])
def test_nothing_heavy_is_loaded_by(code: str, tmp_path: Path) -> None:
    look = f"import sys, time\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    assert in_a_fresh_process(look, tmp_path).strip() == "[]"


@pytest.mark.parametrize(
    ("code", "later"),
    [(IMPORT, ("api", "chat", "engine", *OURS_LATER)), (IMPORT_LLM, OURS_LATER)],
)
def test_of_our_own_only_what_is_asked_for_is_imported(
    code: str, later: tuple[str, ...], tmp_path: Path
) -> None:
    names = tuple(f"jupyter_llm.{name}" for name in later)
    look = f"import sys\n{code}\nprint([name for name in sys.modules if name.startswith({names})])"
    assert in_a_fresh_process(look, tmp_path).strip() == "[]"
