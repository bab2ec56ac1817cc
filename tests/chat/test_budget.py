"""How much a model is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted import ScriptedEngine

from jupyter_llm.chat.budget import budget, check_mode
from jupyter_llm.errors import OptionError

INFO = ScriptedEngine().info


@pytest.mark.parametrize(
    ("size_bytes", "n_ctx", "num_tokens"),
    [
        (98_000_000, 8192, 4096),
        (98_000_000, 2048, 1024),
        (98_000_000, 131_072, 4096),
        (2_000_000_000, 32_768, 8192),
        (5_000_000_000, 32_768, 16_384),
        (40_000_000_000, 131_072, 32_768),
        (40_000_000_000, 8192, 4096),
    ],
)
def test_larger_models_are_told_more(size_bytes: int, n_ctx: int, num_tokens: int) -> None:
    info = replace(INFO, size_bytes=size_bytes, n_ctx=n_ctx)
    assert budget(info, "auto", 512) == num_tokens


@pytest.mark.parametrize("mode", ["all", "none"])
@pytest.mark.parametrize(("max_tokens", "room"), [(512, 512), (None, 2048), (5000, 2048)])
def test_the_whole_window_leaves_room_for_the_answer(
    mode: str, max_tokens: int | None, room: int
) -> None:
    info = replace(INFO, n_ctx=8192)
    assert budget(info, check_mode(mode), max_tokens) == 8192 - room


@pytest.mark.parametrize("mode", ["some", -1, True, 1.5, None])
def test_what_is_no_mode_is_refused(mode: object) -> None:
    with pytest.raises(OptionError, match="context must be auto, none, all or a number"):
        check_mode(mode)
