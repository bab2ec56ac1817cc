"""A local language model that lives inside the Jupyter kernel.

`%load_ext jupyter_llm` brings `%llm` and `%%llm`; `from jupyter_llm import llm` is the same model
from Python.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from jupyter_llm._version import __version__
from jupyter_llm.api import LLM, llm
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.draft import Turn
from jupyter_llm.engine.completion import BatchError, Chunk, Completion, PromptInterrupted, Usage
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import RawPrompt, Special

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.frontends.panel import ChatPanel
    from jupyter_llm.notebook.code.page import Page
    from jupyter_llm.notebook.values.summaries import register

__all__ = [
    "LLM",
    "BatchError",
    "Chat",
    "ChatPanel",
    "Chunk",
    "Completion",
    "PromptInterrupted",
    "RawPrompt",
    "SamplingParams",
    "Special",
    "Turn",
    "Usage",
    "__version__",
    "llm",
    "load_ipython_extension",
    "register",
    "unload_ipython_extension",
]


LAB_TARGET: Final = "jupyter_llm.lab"


def __getattr__(name: str) -> object:
    if name == "register":  # brings all that is known of libraries' types, so only when wanted
        from jupyter_llm.notebook.values.summaries import register

        return register
    if name == "ChatPanel":  # brings ipywidgets
        from jupyter_llm.frontends.panel import ChatPanel

        return ChatPanel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%llm` and `%%llm` (called by `%load_ext jupyter_llm`)."""
    from jupyter_llm.frontends.magics.setup import load

    load(shell, _open_panel, _open_page)
    _listen(shell, _open_comm)


def _open_panel(chat: Chat, context: ContextMode) -> ChatPanel:
    from jupyter_llm.frontends.panel import ChatPanel

    return ChatPanel(chat, context=context)


def _open_page() -> Page:
    from jupyter_llm.frontends.panel.cell_page import CellPage

    return CellPage()


def _listen(shell: InteractiveShell, take: Callable[[Any, Any], None] | None) -> None:
    """Let pages of JupyterLab reach us, if a kernel runs the shell; None: no more."""
    comms = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if comms is not None:
        comms.targets.pop(LAB_TARGET, None)
        if take is not None:
            comms.register_target(LAB_TARGET, take)


def _open_comm(comm: Any, message: Any) -> None:
    """Take in a comm of the JupyterLab extension. Only now what answers it is imported."""
    from jupyter_llm.frontends.lab.target import sessions

    sessions.open(comm, message)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away; the model and its chats stay (called by `%unload_ext`)."""
    from jupyter_llm.frontends.magics.setup import unload

    _listen(shell, None)
    if target := sys.modules.get("jupyter_llm.frontends.lab.target"):
        target.sessions.close()
    unload(shell)
