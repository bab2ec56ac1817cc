"""The public names, and what importing them costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jupyter_llm

HEAVY = (
    "llama_cpp",
    "numpy",
    "pandas",
    "ipywidgets",
    "anywidget",
    "jinja2",
    "markdown_it",
    "msgspec",
    "tqdm",
    "dask",
    "openai",
)


def in_a_fresh_process(code: str, bytecode: Path | None = None) -> str:
    """Run code, with compiled modules kept in a folder as an installed package has them."""
    env = dict(os.environ)
    if bytecode is not None:
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        env["PYTHONPYCACHEPREFIX"] = str(bytecode)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=env,
    )
    return done.stdout


def test_public_names() -> None:
    assert jupyter_llm.__all__ == [
        "LLM",
        "BatchError",
        "Chat",
        "ChatPanel",
        "Chunk",
        "Completion",
        "PromptInterrupted",
        "SamplingParams",
        "Turn",
        "Usage",
        "__version__",
        "llm",
        "load_ipython_extension",
        "register",
        "unload_ipython_extension",
    ]
    assert all(getattr(jupyter_llm, name).__doc__ for name in jupyter_llm.__all__)


def test_import_is_light() -> None:
    loaded = json.loads(
        in_a_fresh_process(
            f"import sys, json, jupyter_llm; "
            f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
        )
    )
    assert loaded == []


def seconds(code: str, bytecode: Path) -> float:
    """Return the time that code prints at the start of its output, the least of six."""
    return min(float(in_a_fresh_process(code, bytecode).split()[0]) for _ in range(6))


def import_seconds(modules: str, bytecode: Path) -> float:
    code = f"import time; start = time.perf_counter(); import {modules}; "
    return seconds(code + "print(time.perf_counter() - start)", bytecode)


@pytest.fixture(scope="module")
def patience(tmp_path_factory: pytest.TempPathFactory) -> float:
    """By how much this machine imports more slowly than those the promises are made for.

    There, these modules of the standard library take 50 ms at most.
    """
    bytecode = tmp_path_factory.mktemp("bytecode")
    return max(1.0, import_seconds("asyncio, email.message, http.client", bytecode) / 0.05)


@pytest.mark.benchmark
def test_import_takes_under_100_ms(tmp_path: Path, patience: float) -> None:
    assert import_seconds("jupyter_llm", tmp_path) < 0.1 * patience


@pytest.mark.benchmark
def test_load_ext_takes_under_200_ms_and_loads_nothing_heavy(
    tmp_path: Path, patience: float
) -> None:
    code = f"""
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "jupyter_llm")
print(time.perf_counter() - start, [name for name in {HEAVY} if name in sys.modules])
"""
    assert seconds(code, tmp_path) < 0.2 * patience
    assert in_a_fresh_process(code, tmp_path).split(" ", 1)[1].strip() == "[]"
