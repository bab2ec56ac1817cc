"""A local language model that lives inside the Jupyter kernel.

`%load_ext jupyter_llm` adds `%llm` and `%%llm`; `from jupyter_llm import llm` gives the same model
in Python. Light to import: a name's module is imported at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jupyter_llm._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.api import LLM, llm
    from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream
    from jupyter_llm.ask.shape import Quote
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.context import Turn
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.completion import (
        BatchError,
        Chunk,
        Completion,
        PromptInterrupted,
        ShapeError,
        Usage,
    )
    from jupyter_llm.engine.options import SamplingParams
    from jupyter_llm.engine.request import RawPrompt, Special
    from jupyter_llm.frontends.panel import ChatPanel
    from jupyter_llm.notebook.code.landing import Page
    from jupyter_llm.notebook.values.summaries import register

__all__ = [
    "LLM",
    "BatchError",
    "Chat",
    "ChatPanel",
    "Chunk",
    "Completion",
    "PromptInterrupted",
    "Quote",
    "RawPrompt",
    "SamplingParams",
    "ShapeError",
    "ShapedAnswer",
    "ShapedStream",
    "Special",
    "Turn",
    "Usage",
    "__version__",
    "llm",
    "load_ipython_extension",
    "register",
    "unload_ipython_extension",
]

_HOMES = {
    "api": ("LLM", "llm"),
    "chat.conversation": ("Chat",),
    "chat.context": ("Turn",),
    "engine.completion": (
        "BatchError",
        "Chunk",
        "Completion",
        "PromptInterrupted",
        "ShapeError",
        "Usage",
    ),
    "engine.options": ("SamplingParams",),
    "engine.request": ("RawPrompt", "Special"),
    "frontends.panel": ("ChatPanel",),
    "notebook.values.summaries": ("register",),
    "ask.answer": ("ShapedAnswer", "ShapedStream"),
    "ask.shape": ("Quote",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%llm` and `%%llm` (called by `%load_ext jupyter_llm`)."""
    from jupyter_llm.frontends.lab import presence
    from jupyter_llm.frontends.magics.setup import load

    load(shell, _open_panel, lambda: presence.running_page(shell), _open_page)
    presence.come(shell)


def _open_panel(chat: Chat, context: ContextMode) -> ChatPanel:
    from jupyter_llm.frontends.panel import ChatPanel

    return ChatPanel(chat, context=context)


def _open_page() -> Page:
    from jupyter_llm.frontends.panel.cell_page import CellPage

    return CellPage()


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove the magics; the model and its chats stay (called by `%unload_ext`)."""
    from jupyter_llm.frontends.lab import presence
    from jupyter_llm.frontends.magics.setup import unload

    presence.go(shell)
    unload(shell)
