"""The front end's own tests, for what needs no page; Node runs them."""

from __future__ import annotations

import re

import pytest
from support.node_tools import run_node
from support.paths import FRONT_END

pytestmark = pytest.mark.slow


def test_node_finds_nothing_wrong() -> None:
    said = run_node("--test", "--test-reporter=tap", *(FRONT_END / "tests").glob("*.test.js"))
    assert re.search(r"^# pass [1-9]", said, re.MULTILINE), said
    assert "# fail 0" in said
