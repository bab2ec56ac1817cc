"""IPython's shell in this process, and the user's variables in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def current_shell() -> Any:
    """Return IPython's shell in this process, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def parent_header(shell: Any) -> dict[str, Any]:
    """Return the header of the page's request that is running; empty outside a kernel."""
    return getattr(shell, "parent_header", None) or {}  # missing before IPython 9.3


def user_namespace() -> Mapping[str, Any]:
    """Return the notebook's variables; empty without IPython."""
    shell = current_shell()
    return shell.user_ns if shell is not None else {}


def num_begun() -> int:
    """Return the number of cells that have begun to run, which grows before variables change."""
    history = getattr(current_shell(), "history_manager", None)
    return len(history.input_hist_parsed) if history is not None else 0


def own_variables(shell: Any) -> dict[str, Any]:
    """Return the user's own variables, without IPython's."""
    if shell is None:  # no IPython
        return {}
    hidden = shell.user_ns_hidden
    return {
        name: value
        for name, value in list(shell.user_ns.items())
        # `globals()` accepts any object as a key.
        if isinstance(name, str) and (name not in hidden or hidden[name] is not value)
    }
