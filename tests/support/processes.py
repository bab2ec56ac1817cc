"""Python in a process of its own, which finds what tests find."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from support.paths import TESTS


@contextmanager
def started(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run some code in a process, which ends at the latest when we do."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_python(code: str, *arguments: object, timeout: float = 60) -> tuple[str, str]:
    """What some code that must not fail prints, and its errors."""
    with started(code, *arguments) as process:
        said, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return said, errors
