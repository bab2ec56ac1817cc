"""What is written in several places is the same in all of them."""

from __future__ import annotations

import json

import pytest
from support.paths import FRONT_END

from jupyter_llm import __version__

pytestmark = pytest.mark.skipif(
    not (FRONT_END / "package.json").exists(), reason="Only a clone has the front end's sources"
)


def test_there_is_one_version() -> None:
    assert json.loads((FRONT_END / "package.json").read_text("utf-8"))["version"] == __version__
    assert f'VERSION = "{__version__}"' in (FRONT_END / "src/connection/version.ts").read_text(
        "utf-8"
    )
    lock = json.loads((FRONT_END / "package-lock.json").read_text("utf-8"))
    assert lock["version"] == lock["packages"][""]["version"] == __version__


def test_the_lock_says_what_is_installed_and_not_whose_server_it_came_from() -> None:
    lock = json.loads((FRONT_END / "package-lock.json").read_text("utf-8"))
    packages = [said for name, said in lock["packages"].items() if name]
    assert all("integrity" in said for said in packages)
    assert not [said for said in packages if "resolved" in said]
