"""Five notebooks as people write them, with the real model: what is told, and what read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.notebook_session import NAMES, code_cells, session

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]


def test_follow_ups_read_only_what_is_new_and_the_context_lists_each_cell_that_ran(
    tmp_path: Path, smollm2: Path
) -> None:
    for name in NAMES:
        with session(tmp_path, smollm2) as asked:
            asked.ask("Are you there?", "-c none")  # loads the model
            asked.usages.clear()
            # More would reach the 4,096 tokens that so small a model is told by itself.
            cells = code_cells(name)[:15]
            for cell in cells:
                asked.run(cell)
                asked.ask("What does that show?")
            assert not any("left out" in note for note in asked.notes), name
            assert asked.share_cached(last=15) >= 0.95, (name, asked.usages)
            # Not the cell that set the session up: no prompt was about it. Nor what only sets.
            told = [label for label, is_in in asked.context() if is_in and label.startswith("In [")]
            sources = [cell["source"] for cell in cells if cell["source"] != "%matplotlib inline"]
            for label, source in zip(told, sources, strict=True):
                assert source.splitlines()[0][:20].split("|")[0].strip("` ") in label


def test_after_a_cut_the_next_five_prompts_are_read_from_the_cache(
    tmp_path: Path, smollm2: Path
) -> None:
    with session(tmp_path, smollm2, "llm.use(n_ctx=2048)") as asked:
        for name in ("data_cleaning", "numerics"):
            for cell in code_cells(name):
                asked.run(cell)
                if "left out" in asked.ask("What does that show?"):
                    break
            else:
                continue
            break
        assert "left out" in asked.notes[-1]
        for _ in range(5):
            asked.ask("Say more.")
        assert asked.share_cached(last=5) >= 0.95, asked.usages
        assert any(not is_in for _, is_in in asked.context())
