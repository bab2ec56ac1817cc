"""`/pull` and `/models` in a panel, and what they offer next."""

from __future__ import annotations

import pytest
from support.front_end import FrontEnd, Json
from support.hub import Hub, Repo

pytestmark = pytest.mark.usefixtures("elsewhere")

NAME = "ada/elsewhere-GGUF"


def offered(notice: Json) -> dict[str, str]:
    return {choice["label"]: choice["text"] for choice in notice["choices"]}


def test_alone_it_offers_what_suits_this_machine(front: FrontEnd) -> None:
    notice = front.command("/pull")
    name, text = next(iter(offered(notice).items()))
    assert text == f"/{name[0].lower()}{name[1:]}"
    assert f"| {text.removeprefix('/pull ')} |" in notice["markdown"]


def test_what_was_pulled_is_used_with_one_click(front: FrontEnd) -> None:
    notice = front.command(f"/pull {NAME}")
    assert "is downloaded" in notice["markdown"]
    (text,) = offered(notice).values()
    assert text == "/use elsewhere-q8_0"
    assert "Use elsewhere-q8_0" in offered(front.command("/models"))


def test_a_licence_with_conditions_is_shown_and_accepted_with_one_click(
    front: FrontEnd, hub: Hub, elsewhere: Repo
) -> None:
    elsewhere.card = {"license": "ada-1.0"}
    elsewhere.texts["LICENSE.md"] = "Be kind."
    notice = front.command(f"/pull {NAME}")
    assert "Be kind." in notice["markdown"]
    assert hub.fetched == []
    (text,) = offered(notice).values()
    assert "is downloaded" in front.command(text)["markdown"]
