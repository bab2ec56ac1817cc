"""What is told of variables of all kinds, and which of them, in what room."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import itertools
import pathlib
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest

from jupyter_llm.notebook.values import summaries
from jupyter_llm.notebook.values.summaries import Summary, register, summarize
from jupyter_llm.notebook.values.variables import describe, lasting


@dataclasses.dataclass
class Point:
    """A place."""

    x: int
    y: list[int] | None = None

    def norm(self) -> float:
        """Return how far it is."""
        return 0.0


class Plain:
    """A thing.

    More of it.
    """

    kind = "k"

    def __init__(self, size: int) -> None:
        self.size = size
        self._hidden = 1

    def grow(self, by: int = 1) -> None:
        """Grow."""

    @property
    def price(self) -> int:
        return 1


class Color(enum.IntEnum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    a: int
    b: str


def mixed(a: int, /, b: str = "x", *rest: object, c: float | None = None, **more: Any) -> bool:
    """Mix them.

    More about it.
    """
    return True


async def later(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Come later."""


def counting() -> Iterator[int]:
    yield 1


@functools.cache
def remembered(x: int) -> int:
    """Remember."""
    return x


HERE = __name__
CALL_OF_POINT = "call: Point(x: int, y: list[int] | None = None)"
SIGNATURE_OF_MIXED = (
    "(a: int, /, b: str = 'x', *rest: object, c: float | None = None, **more: Any) -> bool"
)


COUNTED = collections.Counter("aa")
VALUES: dict[str, object] = {
    "None": None,
    "bool True": True,
    "int 5": 5,
    "int (an integer of 3322 bits)": 10**1000,
    r"str of 3 characters: 'a\nb'": "a\nb",
    "bytes of length 2: b'ab'": b"ab",
    "list, 0 items": [],
    "list, 2 items of int\n[1, 2]": [1, 2],
    "list, 3 items of int, str\n[1, 'a', 2]": [1, "a", 2],
    "tuple, 1 item of int\n(1,)": (1,),
    "set, 2 items of int\n{1, 2}": {2, 1},
    "array.array, 2 items of int\n[1, 2]": array.array("i", [1, 2]),
    "dict_keys, 1 item of str\n['a']": {"a": 1}.keys(),
    "dict, 1 item, keys: str; values: int\n{'a': 1}": {"a": 1},
    "collections.Counter (dict), 1 item, keys: str; values: int\n{'a': 2}": COUNTED,
    "PurePosixPath('/a')": pathlib.PurePosixPath("/a"),
    "datetime.date 2024-01-02": dt.date(2024, 1, 2),
    "datetime.datetime 2024-01-02 00:00:00+00:00": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    "decimal.Decimal 1.10": decimal.Decimal("1.10"),
    f"{HERE}.Point(x=1, y=[2])": Point(1, [2]),
    f"{HERE}.Pair(a=1, b='x')": Pair(1, "x"),
    "<Color.RED: 1>": Color.RED,
    f"{HERE}.Plain(size=3)": Plain(3),
    "types.SimpleNamespace(a=1)": types.SimpleNamespace(a=1),
    "KeyError('price')": KeyError("price"),
    f"class {HERE}.Point\nA place.\n{CALL_OF_POINT}\nhas: norm": Point,
    f"class {HERE}.Plain\nA thing.\ncall: Plain(size: int)\nhas: grow, price": Plain,
    f"function mixed{SIGNATURE_OF_MIXED} from {HERE}\nMix them.": mixed,
    f"async function later(x) from {HERE}\nCome later.": later,
    f"generator function counting() -> Iterator[int] from {HERE}": counting,
    f"function remembered(x: int) -> int from {HERE}\nRemember.": remembered,
    f"method grow(by: int = 1) -> None of {HERE}.Plain\nGrow.": Plain(1).grow,
    "<built-in function len>\nReturn the number of items in a container.": len,
    "functools.partial(<function mixed>, 1, c=2)": functools.partial(mixed, 1, c=2),
    "numpy.float64 1.5": np.float64(1.5),
}


@pytest.mark.parametrize("text", VALUES)
def test_values_of_all_kinds(text: str) -> None:
    assert summarize("value", VALUES[text]) == f"value: {text}"


def test_classes_of_enumerations_and_modules() -> None:
    assert summarize("x", Color).endswith("\nmembers: RED, BLUE")
    module = summarize("x", np)
    assert module.startswith(f"x: module numpy {np.__version__}\n")
    own = types.ModuleType("own")
    own.__file__ = "/home/ann/own.py"
    own.load = mixed  # type: ignore[attr-defined]
    assert summarize("x", own) == "x: module own\nhas: load"


FRAME = {"price": [1.5, None, 3.0], "name": ["ann", "bob", None], "n": [1, 2, 3]}


def test_a_pandas_frame() -> None:
    frame = pd.DataFrame(FRAME)
    frame["when"] = pd.to_datetime(["2024-01-02"] * 3)
    frame["thing"] = pd.Series([None, {"a": 1}, float("nan")], dtype=object)
    lines = summarize("df", frame).splitlines()
    assert lines[0] == "df: pandas DataFrame, 3 rows x 5 columns"
    assert lines[1].startswith("columns: price float64 (1 null), name ")
    assert " (1 null), n int64, when datetime64[" in lines[1]
    assert lines[1].endswith(", thing object (2 nulls)")
    assert lines[2:4] == ["first 3 rows:", "price | name | n | when | thing"]
    assert lines[4] == "1.5 | 'ann' | 1 | 2024-01-02 00:00:00 | None"
    assert lines[5] == "nan | 'bob' | 2 | 2024-01-02 00:00:00 | {'a': 1}"


def test_what_is_left_out_of_a_frame_is_said() -> None:
    text = summarize("df", pd.DataFrame({f"column_{n}": [n] for n in range(200)}))
    assert "1 row x 200 columns" in text
    names = text.splitlines()[1]
    assert names.endswith(f"… {200 - names.count('int64')} more")
    assert "of the first" in text.splitlines()[2]
    long = pd.DataFrame(
        {"x": np.full(15_000, np.nan), "y": pd.Series([None] * 15_000, dtype=object)}
    )
    assert "x float64 (10000 nulls in the first 10000 rows), y object (10000" in summarize(
        "df", long
    )


DOUBLE = pd.DataFrame([[1, 2]], columns=["a", "a"], index=["r"])
NESTED = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")]))
POLARS = pl.DataFrame({**FRAME, "l": [[1], [2], [3]], "s": [{"a": 1}] * 3})


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (pd.DataFrame(), ["x: pandas DataFrame, 0 rows x 0 columns"]),
        (DOUBLE, ["columns: a int64, a int64"]),
        (NESTED, ["columns: ('a', 'b') int64"]),
        (pd.Index([1, 2], name="n"), ["x: Index([1, 2], dtype='int64', name='n')"]),
        (
            pd.Series([1.0, None], index=["a", "b"], name="p"),
            ["x: pandas Series 'p', 2 values of float64\n'a': 1.0, 'b': nan\n1 null"],
        ),
        (
            POLARS,
            [
                "x: polars DataFrame, 3 rows x 5 columns\ncolumns: price Float64 (1 null), name ",
                "String (1 null), n Int64, l List(Int64), ",
                "1.5 | 'ann' | 1 | … | …",
            ],
        ),
        (pl.Series("p", [1, None]), ["x: polars Series 'p', 2 values of Int64\n1, None\n1 null"]),
        (
            {"one": pd.DataFrame(FRAME), "two": pl.DataFrame(FRAME)},
            ["{'one': pandas DataFrame, 3 rows x 3 columns, 'two': polars DataFrame, 3"],
        ),
        (type("Own", (pd.DataFrame,), {})({"a": [1]}), ["Own, 1 row x 1 column\ncolumns: a int64"]),
        (type("Own", (pd.Series,), {})([7], name="n"), ["1 value of int64\n0: 7"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tables_of_all_kinds(value: Any, parts: list[str]) -> None:
    text = summarize("x", value)
    assert all(part in text for part in parts), text


def test_what_hangs_on_a_frame_is_neither_copied_nor_in_the_way() -> None:
    df = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]})
    told = summarize("df", df)
    df.attrs = {"lock": threading.Lock()}  # cannot be copied
    assert summarize("df", df) == told


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (
            np.arange(6.0).reshape(2, 3),
            "numpy array, shape (2, 3), float64\nrange 0 to 5\nvalues: 0, 1, 2, 3, 4, 5",
        ),
        (np.array([1, np.nan, 2]), "range 1 to 2, 1 NaN\nvalues: 1, nan, 2"),
        (np.array([np.nan, np.nan]), "range nan to nan, 2 NaN\nvalues: nan, nan"),
        (np.array(["a"]), "shape (1,), <U1\nvalues: 'a'"),
        (np.zeros((0, 2)), "numpy array, shape (0, 2), float64"),
        (np.broadcast_to(0, 30_000_000), "int64\nvalues: 0, 0, 0, 0, 0, 0, … 29999994 more"),
        (
            np.array(["2024-01-02"], dtype="datetime64[D]"),
            "range 2024-01-02 to 2024-01-02\nvalues: 2024-01-02",
        ),
        (
            np.array([(1, 2.5)], dtype=[("n", "i4"), ("x", "f8")]),
            "[('n', '<i4'), ('x', '<f8')]\n{'n': 1, 'x': 2.5}",
        ),
        (np.ma.array([1, 99], mask=[False, True]), "int64\nmasked; its values were not read"),
    ],
    ids=str,
)
def test_arrays(array: Any, told: str) -> None:
    assert summarize("a", array).endswith(told)


def library(monkeypatch: pytest.MonkeyPatch, module: str, **classes: type) -> None:
    """Put classes where a library that is not installed would have them."""
    loaded = types.ModuleType(module)
    for name, cls in classes.items():
        cls.__module__, cls.__qualname__ = module, name
        setattr(loaded, name, cls)
    monkeypatch.setitem(sys.modules, module, loaded)


def never(*_arguments: object) -> Any:
    raise AssertionError("computed")


def test_lazy_tables_and_tensors_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class DaskMethodsMixin:
        compute = __len__ = __repr__ = npartitions = property(never)

    class DataFrame(DaskMethodsMixin):
        pass

    class Relation:
        __repr__ = __len__ = fetchall = property(never)  # its repr runs the query

    class Tensor:
        shape, dtype, device = (2, 3), "torch.float32", "cuda:0"
        __repr__ = __len__ = item = numel = property(never)

    library(monkeypatch, "dask.base", DaskMethodsMixin=DaskMethodsMixin)
    library(monkeypatch, "dask.dataframe", DataFrame=DataFrame)
    library(monkeypatch, "_duckdb", DuckDBPyRelation=Relation)
    library(monkeypatch, "torch", Tensor=Tensor)
    assert summarize("x", DataFrame()) == "x: dask DataFrame, lazy; it was not computed"
    told = "x: duckdb DuckDBPyRelation, lazy; it was not computed"
    assert summarize("x", Relation()) == told
    told = "x: torch Tensor, shape (2, 3), torch.float32, on cuda:0"
    assert summarize("x", Tensor()) == told


# --- who is asked first


def test_hooks_come_before_the_registry_and_that_before_repr() -> None:
    class Asked:
        def __repr__(self) -> str:
            return "repr"

    def set_hook(name: str, answer: object) -> None:
        setattr(Asked, name, lambda _self: answer)

    assert summarize("x", Asked()) == "x: repr"
    register(Asked, lambda _value, room: f"registered, {room} characters")
    assert summarize("x", Asked(), max_chars=103) == "x: registered, 100 characters"
    set_hook("_repr_llm_", "llm")
    bundle = {"text/markdown": "# md", "text/plain": "plain"}
    for answer, told in (("ai", "ai"), (bundle, "plain"), ({"text/markdown": "# md"}, "# md")):
        set_hook("_ai_repr_", answer)
        assert summarize("x", Asked()) == f"x: {told}"
    for no_text in (None, 5, b"bytes", {"image/png": b""}, ["text"], ""):
        set_hook("_ai_repr_", no_text)
        assert summarize("x", Asked()) == "x: llm"


def test_the_registry_counts_for_derived_types_and_before_our_own() -> None:
    class Base(dict[str, int]):
        pass

    class Derived(Base):
        pass

    @register(Base)
    def told(value: Base, _room: int) -> str:
        return f"a base of {len(value)}"

    assert summarize("x", Derived(a=1)) == "x: a base of 1"
    assert told(Base(), 0) == "a base of 0"
    register(f"{HERE}.{Derived.__qualname__}", lambda _value, _room: "by its name")
    assert summarize("x", Derived()) == "x: by its name"
    register(Derived, never)
    assert summarize("x", Derived(a=1)).startswith("x: ")  # failed: the next in order
    assert "(dict), 1 item" in summarize("x", Derived(a=1))


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "_registry", {})


# --- the room


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000,
        list(range(10_000)),
        dict.fromkeys(range(999), "y" * 99),
        pd.DataFrame(FRAME),
        Plain,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_summary_is_never_longer_than_its_room(value: object) -> None:
    for max_chars in range(0, 700, 9):
        text = summarize("value", value, max_chars=max_chars)
        assert len(text) <= max_chars
    assert "…" in summarize("value", value, max_chars=60)
    assert summarize("x", "y" * 5000).endswith("… (cut, 5000 characters)")


# --- which variables


def names(found: list[Summary]) -> list[str]:
    return [one.name for one in found]


NAMESPACE: dict[str, object] = {
    "df": [1], "x": 5, "y": 6, "z": 7, "np": np, "f": mixed, "Plain": Plain, "_": 1, "In": [],
}  # fmt: skip


def test_what_cells_use_comes_first_then_what_the_prompt_names() -> None:
    cells = ["y = 1\nnp.sum(df)", "z = f(x)\nPlain"]
    found = describe("What is x in df, and @y?", cells, NAMESPACE)
    assert names(found) == ["df", "x", "y"]  # z is a plain number: its cell says enough
    assert found[2] == Summary("y", "y: int 6")


def test_what_is_told_of_a_prompt_stays_the_same_while_it_is_written() -> None:
    namespace = {**NAMESPACE, "long": ["word"] * 500, "short": ["word"]}
    cells = ["long, short, df = load()"]
    prompt = "What of short and x is in @y, and in long?"
    told = [describe(prompt[:end], cells, namespace) for end in (4, 13, 19, 28, len(prompt))]
    assert names(told[0]) == ["long", "short", "df"]
    assert told[0] == told[1]  # its few words were all there is to say
    for before, after in itertools.pairwise(told[:-1]):
        assert after[: len(before)] == before
    assert names(told[-1]) == ["short", "df", "x", "y", "long"]  # there is more to say of it


@pytest.mark.parametrize(
    ("choice", "prompt", "expected"),
    [
        ("auto", "", ["df"]),
        ("auto", "explain f", ["df", "f"]),
        ("none", "df and x", []),
        ("none", "df and @x", ["x"]),
        ("z, y", "df", ["z", "y"]),
        ("@z,x,", "df @x", ["z", "x"]),
        ("", "df", []),
    ],
)
def test_variables_may_be_chosen(choice: str, prompt: str, expected: list[str]) -> None:
    assert names(describe(prompt, ["f(np); Plain(df)"], NAMESPACE, choice=choice)) == expected


def test_all_summaries_together_keep_to_the_room() -> None:
    namespace: dict[str, object] = {f"v{n}": "y" * 5000 for n in range(9)}
    found = describe("", [], namespace, choice=",".join(namespace), max_chars=1500)
    assert names(found) == ["v0", "v1", "v2"]
    assert sum(len(one.text) + 1 for one in found) <= 1500
    assert all("… (cut, 5000 characters)" in one.text for one in found[:2])


def test_the_same_value_is_told_the_same_way_again() -> None:
    value = [Plain(1), {"b", "a"}, pd.DataFrame(FRAME), object()]
    assert summarize("x", value) == summarize("x", value)
    assert "0x" not in summarize("x", value)


@pytest.mark.parametrize("package", [pd, pl])
def test_a_table_that_nobody_named_is_told_with_all_its_columns(package: Any) -> None:
    labels = ["order_id", "customer", "city", "product", "price", "quantity", "paid_at"]
    frame = package.DataFrame({label: [1, 2] for label in labels})
    (summary,) = describe("", ["df"], {"df": frame})
    assert all(label in summary.text for label in labels)
    assert "more" not in summary.text


def test_a_module_of_a_library_is_told_only_with_an_at() -> None:
    own = types.ModuleType("own")
    own.__file__ = str(pathlib.Path(__file__).with_name("own.py"))
    namespace = {"pd": pd, "own": own}
    assert names(describe("Call `pd.concat` and `own.f`", [], namespace)) == ["own"]
    assert names(describe("What is @pd?", [], namespace)) == ["pd"]


def test_what_changes_by_being_used_does_not_last() -> None:
    things = {"n": 1, "df": pd.DataFrame(), "np": np, "mixed": mixed, "Plain": Plain}
    used = {"it": iter([1]), "made": Plain(1), "lock": threading.Lock()}
    assert lasting({**things, **used}) == set(things)
