"""The public names, and what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys

import jupyter_llm

HEAVY = (
    "llama_cpp",
    "numpy",
    "pandas",
    "ipywidgets",
    "anywidget",
    "jinja2",
    "tqdm",
    "dask",
    "openai",
)


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_public_names() -> None:
    assert jupyter_llm.__all__ == [
        "LLM",
        "Chat",
        "ChatPanel",
        "Chunk",
        "Completion",
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


def test_import_takes_under_100_ms() -> None:
    code = (
        "import time; start = time.perf_counter(); import jupyter_llm; "
        "print(time.perf_counter() - start)"
    )
    times = [float(in_a_fresh_process(code)) for _ in range(5)]
    assert min(times) < 0.1, times  # the least disturbed run


def test_load_ext_takes_under_200_ms_and_loads_nothing_heavy() -> None:
    code = f"""
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "jupyter_llm")
print(time.perf_counter() - start, [name for name in {HEAVY} if name in sys.modules])
"""
    lines = [in_a_fresh_process(code).split(" ", 1) for _ in range(5)]
    assert min(float(line[0]) for line in lines) < 0.2
    assert {line[1].strip() for line in lines} == {"[]"}
