"""Real models that take turns, and that are loaded side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20

# Sizes are in bytes, after each switch.
SWITCH = """
import ctypes, gc, json, sys
import psutil
from jupyter_llm import llm

def memory():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss

options = {"n_ctx": 2048, "n_threads": 2}
sizes, names = [], []
for _ in range(int(sys.argv[3])):
    for path in sys.argv[1:3]:
        llm.use(path, **options)
        names.append(llm("Say hello.", max_tokens=8).model)
        sizes.append(memory())
llm.unload()
alone = memory()
llm.use(sys.argv[1], **options)
llm.use(sys.argv[2], role="complete", **options)
engines = [llm.engine(), llm.current.resident_of("complete")]
both = [llm.complete("One, two,", max_tokens=4, model=e.info.path).model for e in engines * 2]
same = engines == [llm.engine(), llm.current.resident_of("complete")]
print(json.dumps({"sizes": sizes, "names": names, "alone": alone, "both": both, "same": same}))
"""


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.skipif(sys.platform != "linux", reason="glibc gives memory back when it is asked to")
def test_switching_between_two_models_leaves_memory_flat_and_both_fit_side_by_side(
    smollm2: Path, gemma3: Path
) -> None:
    command = [sys.executable, "-c", SWITCH, str(smollm2), str(gemma3), "21"]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # else each thread's keeps a few MB
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=900, env=environment
    )
    measured: dict[str, Any] = json.loads(result.stdout)
    names, sizes = measured["names"], measured["sizes"]
    assert len({*names[:2]}) == 2
    for first, last in ((2, -2), (3, -1)):  # the first time, modules are imported
        assert names[first] == names[last]
        assert sizes[last] - sizes[first] < 8 * MIB
    assert measured["alone"] < min(sizes) - 100 * MIB
    assert measured["same"]
    assert measured["both"] == names[:2] * 2
