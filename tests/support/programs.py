"""Code to try things on: pieces of it, this project's own modules, and broken ones."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

import jupyter_llm

PIECES = st.sampled_from(
    [
        *("x", "=", "1", *"()[]{}:,;/%!?#\\"),
        *("\n", " ", "    ", "\t", "'", '"', '"""', "def f", "if x:", "import a", "%time", "!ls"),
        *(">>> ", "... ", "In [1]: ", "   ...: ", "\u2028", "\x0c", "\r", "lambda", "await ", "f'"),
    ]
)

PROGRAMS = [
    path.read_text(encoding="utf-8")
    for path in sorted(Path(jupyter_llm.__file__).parent.rglob("*.py"))
]


def compile_as_ipython(source: str) -> None:
    """Do what IPython does with a cell before it runs it; raises what IPython raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        python = TransformerManager().transform_cell(source)
        compile(python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@st.composite
def mutated_programs(draw: st.DrawFn) -> str:
    """A part of a real program with pieces put in, taken out, moved and cut off."""
    lines = draw(st.sampled_from(PROGRAMS)).split("\n")
    start = draw(st.integers(0, len(lines) - 1))
    source = "\n".join(lines[start : start + draw(st.integers(1, 40))])
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.integers(0, len(source)))
        source = source[:place] + draw(PIECES) + source[place + draw(st.integers(0, 4)) :]
    return source[: draw(st.integers(0, len(source)))] if draw(st.booleans()) else source
