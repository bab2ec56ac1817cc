"""The chat panel: a widget that talks to the resident model."""

from __future__ import annotations

from jupyter_llm.frontends.panel.panel import ChatPanel

__all__ = ["ChatPanel"]
