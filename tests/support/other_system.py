"""Imports every module and answers a prompt, on a system without what only POSIX has.

`python -m support.other_system MODEL.gguf` takes `fork`, `fcntl`, `resource` and `CDLL(None)` away,
as Windows has none of them, and prints the modules that need them and the model's answer as JSON.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import posix
import sys
from types import ModuleType
from typing import Any

OTHERS = ("distributed", "filelock", "huggingface_hub", "IPython", "mcp.server", "pandas", "psutil")
FORKS = ("fork", "forkpty", "register_at_fork")


class NamedLibrary(ctypes.CDLL):
    """A library that has to be named, as on Windows."""

    def __init__(self, name: str | None, *more: Any, **options: Any) -> None:
        if name is None:
            message = "bad argument type for built-in operation"
            raise TypeError(message)
        super().__init__(name, *more, **options)


def take_posix_away() -> None:
    """Leave what other packages have: they know Windows by themselves, but not at half a system."""
    for name in OTHERS:
        importlib.import_module(name)
    vars(ctypes.cdll)["msvcrt"] = ctypes.CDLL("libc.so.6")  # what Windows has in its place
    ctypes.CDLL = NamedLibrary  # type: ignore[misc]
    for name in ("fcntl", "resource"):
        sys.modules[name] = None  # type: ignore[assignment]
    for module in (os, posix):
        for name in FORKS:
            if hasattr(module, name):
                delattr(module, name)


def modules_that_fail(package: ModuleType) -> list[str]:
    """Import all modules of a package, and return those that raise."""
    failed = []
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(found.name)
        except Exception:  # noqa: BLE001  whatever it is, the module is not usable
            failed.append(found.name)
    return failed


if __name__ == "__main__":
    take_posix_away()
    import jupyter_llm

    failed = modules_that_fail(jupyter_llm)
    jupyter_llm.llm.use(sys.argv[1], n_threads=1)
    answer = jupyter_llm.llm("Name a star.", max_tokens=4, seed=1)
    print(json.dumps({"failed": failed, "tokens": answer.usage.completion_tokens}))
