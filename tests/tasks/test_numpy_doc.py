"""`/doc`: the structure comes from the code, and the model writes the sentences."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from benchmarks.docstring_check import docstring_faults
from support.watch import Watch

from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, Definition
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.tasks.numpy_doc import (
    document,
    imperative,
    sentence,
    type_name,
    with_docstring,
)
from jupyter_llm.tasks.proposal import Proposal

LOAD = "def load(rows):\n    return [row['price'] for row in rows]"


def docstring_of(source: str, name: str) -> str:
    """The docstring of a definition in some code, without indentation."""
    nodes: list[Any] = [n for n in ast.walk(ast.parse(source)) if getattr(n, "name", "") == name]
    return ast.get_docstring(nodes[0]) or ""


def test_an_interrupt_keeps_the_docstrings_that_are_whole(watch: Watch) -> None:
    watch.run("def one():\n    pass\n\ndef two():\n    pass")
    task = watch.task("Do it.")

    def draft(prompt: str, **how: Any) -> list[Completion]:
        if "`two`" in prompt:
            raise KeyboardInterrupt
        return task.draft(prompt, **how)

    with pytest.raises(PromptInterrupted) as caught:
        document(replace(task, on_draft=draft))
    assert isinstance(caught.value.best, Proposal)
    source = caught.value.best.source
    assert (docstring_of(source, "one"), docstring_of(source, "two")) == ("Do it.", "")


@pytest.mark.parametrize("argument", ["load", "1", ""])
def test_a_docstring_changes_nothing_but_itself(watch: Watch, argument: str) -> None:
    watch.run(f"%time x = 1\n{LOAD}")
    drafts = ("Returns the prices.", " list of dict", " The rows to read.", " The prices.")
    proposal = document(watch.task(drafts=drafts), argument)
    assert proposal.cell == watch.cells[0]
    docstring = textwrap.indent(
        '''"""Return the prices.

Parameters
----------
rows : list of dict
    The rows to read.

Returns
-------
list
    The prices.
"""''',
        "    ",
    )
    assert proposal.source == (
        f"%time x = 1\ndef load(rows):\n{docstring}\n    return [row['price'] for row in rows]"
    )


def test_a_cell_without_a_definition_has_nothing_to_document(watch: Watch) -> None:
    watch.run("x = 1")
    with pytest.raises(MagicUsageError, match=r"Cell \[1\] defines no function and no class"):
        document(watch.task())


def test_all_that_a_cell_defines_is_documented_but_for_what_is(watch: Watch) -> None:
    watch.run('def f(): pass\n\ndef g():\n    """Go."""\n\nclass H: pass')
    assert document(watch.task(drafts=("Eff it.", "An aitch."))).source == (
        'def f():\n    """Eff it."""\n    pass\n\ndef g():\n    """Go."""\n\n'
        'class H:\n    """An aitch."""\n    pass'
    )
    assert [("`f`" in prompt, "`H`" in prompt) for prompt in watch.prompts] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("answer", ["", "x = 1", "load"])
def test_an_answer_without_a_sentence_is_an_error(watch: Watch, answer: str) -> None:
    watch.run(LOAD)
    with pytest.raises(MagicUsageError, match="wrote no docstring"):
        document(watch.task(answer))


def test_a_docstring_that_lacks_nothing_says_what_to_do(watch: Watch) -> None:
    watch.run('def f(): "Do it."')
    with pytest.raises(MagicUsageError, match="Nothing to add to the docstring of `f`") as caught:
        document(watch.task("It is."))
    assert "Delete it" in str(caught.value)


def test_an_entry_without_a_sentence_of_the_model_gets_a_whole_one(watch: Watch) -> None:
    watch.run("def f(num_rows):\n    raise ValueError")
    source = document(watch.task(drafts=("Do it.",)), "f").source
    assert "num_rows\n        The num rows." in source
    assert "ValueError\n        If it fails." in source


SIGNATURE = """
def f(self, a: int, /, b: "str" = "x", *rest: float, c=3, d=None, e=LIMITS, **more):
    if a:
        raise ValueError("a is too large")
    def inner():
        yield 1
        raise KeyError
    try:
        pass
    except OSError as error:
        raise error
    return {b: c}
"""


def heads_of(docstring: str) -> dict[str, list[str]]:
    """The line above each sentence of a docstring, by section."""
    lines = docstring.split("\n")
    starts = [row - 1 for row, line in enumerate(lines) if line.startswith("---")]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    return {
        lines[start]: [line for line in lines[start + 2 : end] if not line.startswith(" ")]
        for start, end in zip(starts, ends, strict=False)
    }


def test_names_kinds_and_defaults_come_from_the_code(watch: Watch) -> None:
    watch.run(f"LIMITS = 1, 2{SIGNATURE}")
    source = document(watch.task("It is."), "f").source
    assert heads_of(docstring_of(source, "f")) == {
        "Parameters": [
            "a : int",
            "b : str, default 'x'",
            "*rest : float",
            "c : int, default 3",
            "d : optional",
            "e : default LIMITS",
            "**more",
        ],
        "Returns": ["dict"],
        "Raises": ["ValueError"],
    }


@pytest.mark.parametrize(
    ("source", "sections"),
    [
        ("def f():\n    return None", {}),
        ("def f():\n    print(1)\n    return", {}),
        ("def f() -> bool:\n    return g()", {"Returns": ["bool"]}),
        ("def f():\n    return 1 if g() else 2", {"Returns": ["object"]}),
        ("async def f():\n    return f'{1}'", {"Returns": ["str"]}),
        ("def f():\n    return -1", {"Returns": ["int"]}),
        ("def f(x, cls):\n    return not x", {"Parameters": ["x", "cls"], "Returns": ["bool"]}),
        ("def f(x):\n    return sorted(x)", {"Parameters": ["x"], "Returns": ["list"]}),
        ("def f():\n    return {1: g() for _ in g()}", {"Returns": ["dict"]}),
        ("def f():\n    yield 1", {"Yields": ["object"]}),
        ("def f() -> 'list[int]':\n    return []", {"Returns": ["list[int]"]}),
        ("import typing as t\ndef f() -> t.Iterator[int]:\n    yield 1", {"Yields": ["int"]}),
        (
            "from typing import Generator\ndef f() -> Generator[int, None, str]:\n    yield 1",
            {"Yields": ["int"]},
        ),
        (
            "class f:\n    x: int\n    y: str = 'a'\n    _z: int = 0",
            {"Attributes": ["x : int", "y : str, default 'a'"]},
        ),
        (
            "class f:\n    def __init__(self, x, n=1):\n        self.x = x\n        self.seen = []",
            {"Parameters": ["x", "n : int, default 1"]},
        ),
    ],
)
def test_there_are_only_the_sections_that_the_code_calls_for(
    watch: Watch, source: str, sections: dict[str, list[str]]
) -> None:
    watch.run(source)
    proposal = document(watch.task("It is."))
    assert heads_of(docstring_of(proposal.source, "f")) == sections


def test_whatever_the_model_says_it_is_numpy_style(watch: Watch) -> None:
    watch.run("LIMITS = 1, 2")
    watch.run(SIGNATURE.strip())
    says = "```\nParameters\n----------\nf : None\n\n" + "very " * 60 + 'long """ \\'
    for answer in ("A thing is done. And more.", f"Do it:\n{says}", f"word {says}"):
        source = document(watch.task(answer), "f").source
        assert not docstring_faults(source, "f", before=SIGNATURE.strip())


SAID = """
def f(a, b, *rest, **more):
    \'\'\'Do it.

    Slowly.

    Parameters
    ----------
    a, b : list of float
        The points.
    \\\\*rest
        What is left.
    color : str
        One of `more`.

    Returns
    -------
    mean : float
        The middle.

    Raises
    ------
    KeyError
        If there is none.

    Notes
    -----
    It is old.
    \'\'\'
    if not a:
        raise ValueError("empty")
    return a, b
"""


def test_no_sentence_about_what_the_code_does_not_tell_is_lost(watch: Watch) -> None:
    watch.run(SAID)
    source = document(watch.task(drafts=("", " Others.", " it is empty.")), "f").source
    assert docstring_of(source, "f") == textwrap.dedent(
        """\
        Do it.

        Slowly.

        Parameters
        ----------
        a, b : list of float
            The points.
        \\*rest
            What is left.
        color : str
            One of `more`.
        **more
            Others.

        Returns
        -------
        mean : float
            The middle.

        Raises
        ------
        KeyError
            If there is none.
        ValueError
            If it is empty.

        Notes
        -----
        It is old."""
    )


def told(said: str) -> str:
    return sentence(said, "rows")


@pytest.mark.parametrize(
    ("read", "said", "expected"),
    [
        (told, "The rows to read. There are many.", "The rows to read."),
        (told, "\n  the rows, e.g. of a file", "The rows, e.g. of a file."),
        (told, "`rows`: The rows", "The rows."),
        (told, "- rows (list): the rows", "The rows."),
        (told, "`rows`.", ""),
        (told, "x = rows", ""),
        (told, "   ", ""),
        (imperative, "Returns the mean.", "Return the mean."),
        (imperative, "This function applies a tax.", "Apply a tax."),
        (imperative, "Matches a name.", "Match a name."),
        (imperative, "Is it even?", "Is it even?"),
        (imperative, "Process all rows.", "Process all rows."),
        (type_name, " list of dict", "list of dict"),
        (type_name, "`int`, optional", "int"),
        (type_name, "dict[str, list[int]] | None", "dict[str, list[int]] | None"),
        (type_name, "The rows to read.", ""),
        (type_name, "None", ""),
    ],
)
def test_what_a_model_says_becomes_a_sentence_or_a_type(
    read: Callable[[str], str], said: str, expected: str
) -> None:
    assert read(said) == expected


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
        (
            'def f(x):  # why\n    """Old.\n\n    More.\n    """  # so\n    return x',
            'def f(x):  # why\n    """It."""  # so\n    return x',
        ),
        ('def f(x): "Old."; return x', 'def f(x):\n    """It."""; return x'),
        ("def f(): \\\n    return 1", "def f(): \\\n    return 1"),
        (">>> def f():\n...     return 1", ">>> def f():\n...     return 1"),
    ],
)
def test_a_docstring_is_put_in_and_all_else_stays(source: str, expected: str) -> None:
    assert with_docstring(source, definition_in(source, "f"), "It.") == expected


def definition_in(source: str, name: str) -> Definition:
    """The first definition of a name in a cell."""
    tree = parse_cell(source)
    nodes = [one for one in ast.walk(tree) if isinstance(one, DEFINITIONS)] if tree else []
    return next(node for node in nodes if node.name == name)


def test_of_two_methods_the_right_one_gets_it(watch: Watch) -> None:
    watch.run("class A:\n    def f(self): 1\nclass B:\n    def f(self): 2")
    assert document(watch.task("It is."), "B.f").source == (
        'class A:\n    def f(self): 1\nclass B:\n    def f(self):\n        """It is."""\n        2'
    )


@pytest.mark.parametrize(
    "docstring",
    [
        'Quotes """ inside, and one at the end"',
        "A backslash \\n and \\\n\nParameters\n----------\nx : int\n    What.",
    ],
)
def test_any_text_survives(docstring: str) -> None:
    source = "class C:\n    def f(self):\n        return 1"
    source = with_docstring(source, definition_in(source, "f"), docstring)
    (method,) = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    assert ast.get_docstring(method) == textwrap.dedent(docstring)
