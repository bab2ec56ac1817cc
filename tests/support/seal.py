"""Tests that try code in a sealed copy, which not every system can make."""

from __future__ import annotations

import pytest

from jupyter_llm.notebook.sealed.trying import why_not

needs_seal = pytest.mark.skipif(why_not() != "", reason=f"nothing can be tried: {why_not()}")
