"""The timeline of cells: only ever added to, and what pins and hides mean."""

from __future__ import annotations

import pytest

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.timeline import Timeline, find_cell


@pytest.fixture
def timeline() -> Timeline:
    timeline = Timeline()
    for count, cell_id in ((1, "a"), (2, "b"), (3, "a"), (4, None)):
        timeline.append(f"cell {count}", execution_count=count, cell_id=cell_id)
    return timeline


def sources(cells: object) -> list[str]:
    return sorted(cell.source for cell in cells)  # type: ignore[attr-defined]


def test_what_was_seen_once_does_not_change(timeline: Timeline) -> None:
    before = timeline.cells
    snapshot = timeline.snapshot()
    timeline.append("more")
    timeline.hide(2)
    assert snapshot.cells == before == timeline.cells[:4]
    assert not snapshot.is_hidden(before[1])


@pytest.mark.parametrize("name", [1, 3, "a"])
def test_of_a_pinned_cell_the_latest_run_is_pinned(timeline: Timeline, name: int | str) -> None:
    (told,) = timeline.pin(name)
    assert told.source == "cell 3"
    assert sources(timeline.snapshot().pinned) == ["cell 3"]
    timeline.append("cell 5", execution_count=5, cell_id="a")
    assert sources(timeline.snapshot().pinned) == ["cell 5"]
    timeline.unpin(name)
    assert not timeline.snapshot().pinned


def test_of_a_hidden_cell_every_run_is_hidden(timeline: Timeline) -> None:
    timeline.hide(3)
    assert sources(timeline.snapshot().visible) == ["cell 2", "cell 4"]
    timeline.append("cell 5", execution_count=5, cell_id="a")
    assert "cell 5" not in sources(timeline.snapshot().visible)
    timeline.unhide(5)
    assert len(timeline.snapshot().visible) == 5


def test_tags_mark_too_until_somebody_says_otherwise(timeline: Timeline) -> None:
    timeline.append("kept", execution_count=5, cell_id="c", tags={"llm-pin"})
    timeline.append("secret", execution_count=6, cell_id="d", tags={"llm-off"})
    snapshot = timeline.snapshot()
    assert sources(snapshot.pinned) == ["kept"]
    assert "secret" not in sources(snapshot.visible)
    timeline.append("told", execution_count=7, cell_id="e", tags={"llm-hide"})
    # The tags of the latest run count.
    timeline.append("told", execution_count=8, cell_id="e", tags=())
    timeline.unpin(5)
    timeline.unhide(6)
    snapshot = timeline.snapshot()
    assert not snapshot.pinned
    assert {"secret", "told"} <= set(sources(snapshot.visible))


def test_a_tag_that_a_page_shows_counts_at_once_and_before_what_was_said_of_the_cell(
    timeline: Timeline,
) -> None:
    timeline.append("cell 5", execution_count=5, cell_id="f")
    timeline.hide(1)
    for is_set in (False, True, True, False):
        timeline.see_tags({"f": is_set, "unrun": is_set, timeline.cells[0].cell_id or "": False})
        timeline.append("cell 5", cell_id="f")  # as one runs it who sends no tags
        snapshot = timeline.snapshot()
        assert ("cell 5" in sources(snapshot.visible)) is not is_set
        assert snapshot.is_hidden("unrun") is is_set
        assert "cell 1" not in sources(snapshot.visible)
    timeline.see_tags({"f": True})
    timeline.unhide(5)
    timeline.see_tags({"f": True})
    assert "cell 5" in sources(timeline.snapshot().visible)


def test_a_cell_that_has_not_run_is_named_and_nothing_is_marked(timeline: Timeline) -> None:
    with pytest.raises(MagicUsageError, match=r"no cell \[99\] here\. The nearest is \[4\]"):
        timeline.pin(2, 99)
    with pytest.raises(MagicUsageError, match="'zz'"):
        timeline.hide("zz")
    assert not timeline.snapshot().pinned


@pytest.mark.parametrize("name", [4, "4", "[4]", "In [4]", "In[4]", "cell 4", " 4 "])
def test_a_number_means_the_latest_run_of_that_number(timeline: Timeline, name: int | str) -> None:
    timeline.append("again", execution_count=4, cell_id="c")
    assert find_cell(name, timeline.cells).source == "again"
