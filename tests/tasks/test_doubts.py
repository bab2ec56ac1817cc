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
        "x = (",
    ],
)
def test_of_what_may_be_right_nothing_is_said(source: str) -> None:
    assert doubts(source, NAMESPACE) == ()


def test_a_file_that_is_there_may_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b")
    assert doubts(f"pd.read_csv({str(path)!r})", NAMESPACE) == ()
