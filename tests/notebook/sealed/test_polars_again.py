"""polars in a copy: its threads are not there, and it is tried all the same."""

from __future__ import annotations

from typing import Any

import pytest
from support.seal import needs_seal

from jupyter_llm.notebook.sealed.trying import try_code

polars = pytest.importorskip("polars", minversion="1.35")

pytestmark = [needs_seal, pytest.mark.slow]


@pytest.fixture(scope="module")
def variables() -> dict[str, Any]:
    frame = polars.DataFrame({"town": ["Bonn", "Köln", "Bonn"], "rain": [1.5, None, 0.5]})
    frame.group_by("town").len()  # starts its threads
    return {
        "pl": polars,
        "frame": frame,
        "kept": {"frames": [frame]},
        "total": polars.col("rain").sum().alias("total"),
        "plan": frame.lazy().filter(polars.col("rain") > 1),
    }


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("frame['rain'].sum()", "2.0"),
        ("frame.select(total).item()", "2.0"),
        ("plan.collect().shape", "(1, 2)"),
        ("kept['frames'][0].group_by('town').len().height", "2"),
        ("frame.join(frame, on='town').height", "5"),
        ("frame['town'].cast(pl.Categorical).n_unique()", "2"),
        ("[row['town'] for row in frame.to_dicts()]", "['Bonn', 'Köln', 'Bonn']"),
        ("frame['rain'].map_elements(lambda x: len(str(x)), return_dtype=pl.Int64).sum()", "6"),
    ],
)
def test_frames_series_plans_and_expressions_go_on_in_a_copy(
    variables: dict[str, Any], code: str, result: str
) -> None:
    seen = try_code([code], variables)
    assert (seen.outcome, seen.result) == ("runs", result)


def test_what_polars_raises_is_seen(variables: dict[str, Any]) -> None:
    seen = try_code(["frame.select('rein')"], variables)
    assert seen.error_kind == "ColumnNotFoundError"


def test_polars_writes_no_file(variables: dict[str, Any], tmp_path: Any) -> None:
    seen = try_code([f"frame.write_csv({str(tmp_path / 'out.csv')!r})"], variables)
    assert seen.text == "not tried: it would write a file (out.csv)"
    assert list(tmp_path.iterdir()) == []


def test_polars_goes_on_here_as_before(variables: dict[str, Any]) -> None:
    try_code(["frame = frame.with_columns(rain=0)"], variables)
    assert variables["frame"].filter(polars.col("rain") > 1).height == 1


@pytest.mark.soak  # it stood still in one of two whole rings, for a reason that is not found yet
def test_polars_goes_on_from_cell_to_cell_of_a_chain(variables: dict[str, Any]) -> None:
    from jupyter_llm.notebook.sealed.chain import Chain

    with Chain(variables) as chain:
        assert chain.push("wet = frame.filter(pl.col('rain') > 1)", timeout_s=30).runs
        assert chain.push("wet['reign']", timeout_s=30).error_kind == "ColumnNotFoundError"
        seen = chain.push("wet.group_by('town').len().height", timeout_s=30)
        assert (seen.text.partition(";")[0], seen.result) == ("ran in a sealed copy", "1")
