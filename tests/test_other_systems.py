"""What holds on systems without `fork`, `fcntl`, `resource` and `ctypes.CDLL(None)`, as Windows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_all_but_the_sealed_copy_is_imported_and_a_prompt_answered_without_posix(
    tiny_gguf: Path,
) -> None:
    """The tests themselves run on Linux, so a process of its own takes these functions away."""
    command = (sys.executable, "-m", "support.other_system", tiny_gguf)
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert [
        name for name in shown["failed"] if not name.startswith("jupyter_llm.notebook.sealed.")
    ] == []
    assert shown["tokens"] == 4
