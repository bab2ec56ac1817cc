"""What speaks against code, as the variables are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import pytest

from jupyter_llm.tasks.doubts import doubts


def area(width: float, height: float = 1) -> float:
    return width * height


NAMESPACE = {
    "pd": pd,
    "df": pd.DataFrame({"city": ["Oslo"], "price": [3.0]}),
    "settings": {"rate": 1},
    "area": area,
}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("df['citi'].mean()", "`df` has no key `citi`, but `city`"),
        ("df.groupby('cities').size()", "`df` has no column `cities`, but `city`"),
        ("settings['rates']", "`settings` has no key `rates`, but `rate`"),
        ("df.groupbyy('city')", "`df` has no attribute `groupbyy`, but `groupby`"),
        ("pd.read_csv('nowhere.csv')", "there is no file `nowhere.csv`"),
        ("open('nowhere.txt')", "there is no file `nowhere.txt`"),
        ("area()", "`area()`: missing a required argument: 'width'"),
        ("area(1, 2, 3)", "`area()`: too many positional arguments"),
    ],
)
def test_what_cannot_be_right_is_said(source: str, said: str) -> None:
    (found,) = doubts(source, NAMESPACE)
    assert said in found


@pytest.mark.parametrize(
    "source",
    [
        "df['city'].str.upper()",
        "df['total'] = df['price'] * 2\ndf['total'].sum()",
        "area(1, height=2)\narea(*sides)\narea(**sides)",
        "def area():\n    return 1\narea()",
        "open('out.txt', 'w').write('x')",
        "df.to_csv('new.csv')\npd.read_csv('new.csv')",
        "pd.read_csv('https://example.org/a.csv')",
        "json.loads('{\"a\": 1}')",
        "sns.load_dataset('tips')",
        "pd.read_sql('select a from b', connection)",
        "pl.scan_parquet('data/*.parquet')",
        "archive.open('a.csv')",
        "os.chdir('data')\npd.read_csv('a.csv')",
        "g = lambda area: area(1, 2, 3)",
        "def g(x):\n    area = x\n    return area(1, 2, 3)",
        "x = (",
    ],
)
def test_of_what_may_be_right_nothing_is_said(source: str) -> None:
    assert doubts(source, NAMESPACE) == ()


def test_a_file_that_is_there_may_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b")
    assert doubts(f"pd.read_csv({str(path)!r})", NAMESPACE) == ()


def test_a_function_is_not_asked_what_it_says_of_itself() -> None:
    asked: list[object] = []

    def told() -> None:
        asked.append(1)

    def scaled(x: float, *, by: float = 1) -> float:
        return x * by

    scaled.__signature__ = told  # type: ignore[attr-defined]
    (found,) = doubts("scaled(1, of=2)", {"scaled": scaled})
    assert found == "`scaled()`: got an unexpected keyword argument 'of'"
    assert asked == []
