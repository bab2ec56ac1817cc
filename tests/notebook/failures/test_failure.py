"""Exceptions of a real shell as values: cells as typed, failing lines, variables."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path

import pytest
from support.watch import Watch

from jupyter_llm.notebook.failures.failure import Failure, read_failure
from jupyter_llm.notebook.failures.frames import Frame

DIVIDE = "\n\ndef divide(a, b):\n    quotient = a / b\n    return quotient"


def failure_of(watch: Watch, *sources: str) -> Failure:
    """Run cells, of which the last fails."""
    for source in sources:
        cell = watch.run(source)
    assert cell.has_failed
    return watch.failure()


def where(failure: Failure) -> list[tuple[int | None, int, str]]:
    """Return the timeline number, line and text of each of the user's steps."""
    return [
        (frame.cell.number if frame.cell else None, frame.line, frame.line_text)
        for frame in failure.frames
    ]


def told(frame: Frame | None) -> dict[str, str]:
    assert frame is not None
    return {variable.name: variable.text for variable in frame.variables}


def test_steps_lead_back_to_the_cells_as_typed(watch: Watch) -> None:
    failure = failure_of(watch, DIVIDE, "x = 0\ndivide(1, x)")
    assert failure.headline == "ZeroDivisionError: division by zero"
    assert where(failure) == [(2, 2, "divide(1, x)"), (1, 4, "quotient = a / b")]
    assert [frame.function for frame in failure.frames] == ["<module>", "divide"]
    assert failure.frames[1].source == DIVIDE
    assert failure.frames[1].expression == "a / b"
    assert told(failure.frames[0]) == {
        "divide": "divide: function divide(a, b)",
        "x": "x: int 0",
    }
    assert told(failure.frames[1]) == {"a": "a: int 1", "b": "b: int 0"}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("%time y = 2\ndivide(y, 0)", 2),
        ("y = 2\n%time 1 + \\\n  1\n\ndivide(y, 0)", 5),
        ("%%time\ny = 2\n\ndivide(y, 0)\ny", 4),
        ("%%time\ndivide(2, 0)", 2),
        ("\n%%capture\ny = 2\ndivide(y, 0)", 4),
        ("%%timeit -n 1 -r 1\ny = 2\ndivide(y, 0)", 3),
        ("  y = 2\n  divide(y, 0)", 2),
        ("files = !true\n\ndivide(2, 0)", 3),
    ],
)
def test_magics_do_not_shift_the_failing_line(watch: Watch, source: str, line: int) -> None:
    watch.run(DIVIDE)
    watch.run(source)
    failure = watch.failure()  # %%capture takes it for its output
    cells = [frame for frame in failure.frames if frame.cell and frame.cell.number == 2]
    assert cells[-1].source == source
    assert cells[-1].line == line
    assert cells[-1].line_text == source.split("\n")[line - 1].strip()
    assert where(failure)[-1] == (1, 4, "quotient = a / b")


@pytest.mark.parametrize(
    ("define", "call", "line"),
    [
        ("f = lambda n: 1 / n", "f(0)", 1),
        ("def f(n):\n    def g():\n        return 1 / n\n    return g()", "f(0)", 3),
        ("def f(n):\n    for i in range(2):\n        yield 1 / n", "list(f(0))", 3),
        ("def f(n):\n    return [\n        1 / n for _ in range(2)\n    ]", "f(0)", 3),
        ("class C:\n    @property\n    def p(self):\n        return 1 / 0", "C().p", 4),
        ("import functools\n@functools.cache\ndef f(n):\n    return 1 / n", "f(0)", 4),
        ("import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    1 / n", "await f(0)", 4),
    ],
    ids=["lambda", "nested", "generator", "comprehension", "property", "decorated", "async"],
)
def test_every_kind_of_function_is_found(watch: Watch, define: str, call: str, line: int) -> None:
    failure = failure_of(watch, define, call)
    frame = failure.failing_frame
    assert frame is not None
    assert frame.cell is not None
    assert (frame.cell.number, frame.line) == (1, line)
    assert frame.source == define


def test_cells_from_before_the_timeline_are_found_in_the_history(watch: Watch) -> None:
    watch.run(DIVIDE)
    watch.cells.clear()
    frame = failure_of(watch, "divide(1, 0)").failing_frame
    assert frame is not None
    assert (frame.source, frame.line) == (DIVIDE, 4)
    assert frame.cell is not None
    assert frame.cell.number is None
    assert frame.cell.execution_count == 1


def test_libraries_are_counted_and_the_users_own_module_is_shown(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(
        "import json\n\nRATE = 2\n\n\ndef load(text):\n    return json.loads(text)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    failure = failure_of(watch, "import shop", "shop.load('[1')")
    cell, own, library = failure.steps
    assert isinstance(cell, Frame)
    assert isinstance(own, Frame)
    assert own.path == "shop.py"
    assert own.source.startswith("def load(text):")
    assert own.first_line == 6
    assert own.line_text == "return json.loads(text)"
    assert told(own)["text"] == "text: str of 2 characters: '[1'"
    assert told(own)["json"].startswith("json: module json")
    assert library == "3 calls in libraries, the last is raw_decode"
    monkeypatch.delitem(sys.modules, "shop")


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("x = 1\nif x\n    y = 2", "if x\n    ^"),
        ("\n\n  a = 1\n  b = = 2", "  b = = 2\n      ^"),
        ("%matplotlib inline\nprint('a'", "print('a'\n         ^"),
        ("def f():\nreturn 1", "return 1\n^"),
        ("a = 1\n  b = 2", "  b = 2\n ^"),
        ("'abc", "'abc\n^"),
        ("x = '''abc", "x = '''abc\n    ^"),
        ("return 1", "return 1\n^"),
    ],
)
def test_a_syntax_error_has_its_cell_and_a_caret(watch: Watch, source: str, marked: str) -> None:
    failure = failure_of(watch, source)
    assert failure.syntax is not None
    assert failure.syntax.cell is not None
    assert failure.syntax.cell.source == source
    assert failure.syntax.cell.number == 1
    assert failure.syntax.marked_line == marked


def test_the_middle_of_a_long_traceback_is_left_out(watch: Watch) -> None:
    chain = "\n".join(f"def f{n}(): return f{n + 1}()" for n in range(30))
    failure = failure_of(watch, f"{chain}\ndef f30(): return 1 / 0\nf0()")
    (left_out,) = [step for step in failure.steps if not isinstance(step, Frame)]
    assert left_out == f"{32 - len(failure.frames)} more steps"
    assert failure.frames[-1].function == "f30"
    failure = failure_of(watch, "def f(n):\n    return g(n)\ndef g(n):\n    return f(n + 1)\nf(0)")
    assert (failure.kind, len(failure.frames)) == ("RecursionError", 12)


def test_what_led_to_an_error_is_told(watch: Watch) -> None:
    failure = failure_of(
        watch, "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('no k') from e"
    )
    assert failure.origin is not None
    assert failure.is_direct_cause
    assert failure.origin.headline == "KeyError: 'k'"
    assert where(failure.origin) == [(1, 2, "{}['k']")]


def test_suppressed_and_circular_chains_end(watch: Watch) -> None:
    suppressed = failure_of(
        watch, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError from None"
    )
    assert suppressed.origin is None
    circular = failure_of(watch, "a, b = ValueError(1), ValueError(2)", "raise a from b")
    assert circular.origin is not None
    watch.shell.user_ns["b"].__cause__ = watch.shell.user_ns["a"]
    again = watch.failure()
    assert again.origin is not None
    assert again.origin.origin is None


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("price = 1", "prise + 1"), "There is no name 'prise'; near it is 'price'"),
        (("d = {'Price': 1}", "d['price']"), "There is no key 'price'; near it is 'Price'"),
        (("import math", "math.sqr(2)"), "There is no attribute 'sqr'; near it is 'sqrt'"),
        (("'a'.strp()",), "There is no attribute 'strp'; near it is 'strip'"),
        (("import nosuchmodule",), "There is no module 'nosuchmodule'"),
        (("{}[3]",), "None"),
    ],
)
def test_what_is_missing_is_named_with_the_nearest(
    watch: Watch, sources: tuple[str, ...], expected: str
) -> None:
    assert str(failure_of(watch, *sources).missing).startswith(expected)


HOSTILE = """
ran = []
class Hostile(ValueError):
    def __str__(self): ran.append("str")
    __repr__ = __str__
    def __getattribute__(self, name): raise RuntimeError(name)
    def __bool__(self): raise RuntimeError
    __class__ = property(lambda self: 1 / 0)
def fail():
    raise Hostile(1)
"""


def test_a_hostile_exception_is_read_and_runs_nothing(watch: Watch) -> None:
    watch.run(HOSTILE)
    try:
        watch.shell.user_ns["fail"]()
    except ValueError as error:
        failure = read_failure(error, watch.task().sources)
    assert watch.shell.user_ns["ran"] == []
    assert failure.headline == "Hostile: Hostile(1)"
    assert where(failure)[-1] == (1, 10, "raise Hostile(1)")


ARGUMENTS = """
class Loops:
    def __repr__(self):
        while True: pass
class Ends:
    def __repr__(self): raise SystemExit
class Says:
    def __repr__(self): return "said"
"""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("KeyError(Loops())", "took longer than"),
        ("ValueError('a', [Loops()])", "took longer than"),
        ("KeyError(Ends())", "failed: SystemExit"),
        ("KeyError(Says())", "said"),
        ("KeyError('k')", "'k'"),
    ],
)
def test_arguments_of_an_error_are_shown_within_a_time_limit(
    watch: Watch, error: str, message: str
) -> None:
    watch.run(f"{ARGUMENTS}\nerror = {error}")
    failure = read_failure(watch.shell.user_ns["error"], watch.task().sources)
    assert message in failure.message


def test_nothing_of_the_users_is_kept_alive(watch: Watch) -> None:
    watch.run(
        "class Big: pass\ndef f():\n    big = Big()\n    alive.append(weakref.ref(big))\n    1 / 0"
    )
    alive: list[weakref.ref[object]] = []
    watch.shell.user_ns.update(alive=alive, weakref=weakref)

    def read() -> Failure:
        try:
            watch.shell.user_ns["f"]()
        except ZeroDivisionError as error:
            return read_failure(error, watch.task().sources)
        raise AssertionError

    failure = read()
    gc.collect()
    assert told(failure.failing_frame)["big"] == "big: Big()"
    assert alive[0]() is None


@pytest.mark.filterwarnings("ignore:To exit")
@pytest.mark.parametrize(
    ("source", "headline"),
    [
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError('full')", "MemoryError: full"),
        ("%nosuchmagic", "UsageError: Line magic function `%nosuchmagic` not found."),
        ("import numpy as np\nnp.array(['a']) + np.array([1])", "UFuncTypeError: ufunc 'add'"),
    ],
)
def test_all_kinds_of_exceptions_have_a_headline(watch: Watch, source: str, headline: str) -> None:
    assert failure_of(watch, source).headline.startswith(headline)
