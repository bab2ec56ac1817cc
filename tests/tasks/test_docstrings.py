"""Docstrings in code that stays as it was."""

from __future__ import annotations

import ast
import textwrap

import pytest

from jupyter_llm.tasks.docstring_parts import with_docstring


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x):\n    return x", 'def f(x):\n    """It."""\n    return x'),
        ("def f(x): return x", 'def f(x):\n    """It."""\n    return x'),
        ('def f(x):\n    "Old."\n    return x', 'def f(x):\n    """It."""\n    return x'),
        ('def f(x): "Old."', 'def f(x):\n    """It."""'),
        ('def f(é="é"): return é', 'def f(é="é"):\n    """It."""\n    return é'),
        (
            "def f(\n    x,\n    y=(1,\n       2),\n):\n    # why\n    return x",
            'def f(\n    x,\n    y=(1,\n       2),\n):\n    # why\n    """It."""\n    return x',
        ),
        (
            "%time\n\n@cache\nasync def f():\n\treturn 1\n\nx = f()",
            '%time\n\n@cache\nasync def f():\n\t"""It."""\n\treturn 1\n\nx = f()',
        ),
        (
            "class C:\n    def f(self):\n        @cache\n        def g(): pass",
            'class C:\n    def f(self):\n        """It."""\n        @cache\n        def g(): pass',
        ),
        ("g = 1", "g = 1"),
        ("def f(:", "def f(:"),
    ],
)
def test_a_docstring_is_put_in_and_all_else_stays(source: str, expected: str) -> None:
    assert with_docstring(source, "f", "It.") == expected


def test_of_two_methods_the_right_one_gets_it() -> None:
    source = "class A:\n    def f(self): return 1\nclass B:\n    def f(self): return 2"
    assert with_docstring(source, "f", "It.", like="def f(self): return 2") == (
        'class A:\n    def f(self): return 1\nclass B:\n    def f(self):\n        """It."""\n'
        "        return 2"
    )


@pytest.mark.parametrize(
    "docstring",
    [
        'Quotes """ inside, and one at the end"',
        "A backslash \\n and \\\n\nParameters\n----------\nx : int\n    What.",
    ],
)
def test_any_text_survives(docstring: str) -> None:
    source = with_docstring("class C:\n    def f(self):\n        return 1", "f", docstring)
    (method,) = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    assert ast.get_docstring(method) == textwrap.dedent(docstring)
