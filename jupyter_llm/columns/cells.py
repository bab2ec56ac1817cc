"""The result of one row of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_llm.errors import JupyterLLMError


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of a row and how likely it was, or its error; nothing if the row was missing."""

    value: Any = None
    confidence: Any = None
    error: JupyterLLMError | None = None
