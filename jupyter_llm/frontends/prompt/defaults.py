"""What holds for a prompt where nothing else is said: `%config LLMMagics`."""

from __future__ import annotations

from typing import Any

from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.notebook.cells.shell import current_shell


def loaded_magics() -> Any:
    """What `%load_ext` has registered; None without it."""
    shell = current_shell()
    return shell.magics_manager.registry.get("LLMMagics") if shell is not None else None


def default_options() -> Options:
    """The options that are configured, or else those that always hold."""
    magics = loaded_magics()
    return magics.defaults if magics is not None else Options()
