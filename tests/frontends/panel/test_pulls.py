"""`/pull` and `/models` in a panel: what is offered next, and a stop that says what is kept."""

from __future__ import annotations

import pytest
from support.front_end import FrontEnd, Json
from support.hub import Hub, Repo
from support.waiting import until

from jupyter_llm.frontends.comm import pulls
from jupyter_llm.frontends.comm.pulls import PULLS

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
    assert "is here" in notice["markdown"]
    (text,) = offered(notice).values()
    assert text == "/use elsewhere-q8_0"
    assert "Use elsewhere-q8_0" in offered(front.command("/models"))


def test_a_stop_says_what_is_kept_and_offers_to_go_on(
    front: FrontEnd, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "_PATIENCE_S", 0.05)
    hub.gate_after = 1 << 15
    hub.gate.clear()
    request = front.send(f"/pull {NAME}")
    until(lambda: PULLS.now is not None and PULLS.now.share)
    front.ask("stop", target=request)
    notice = front.notice(request)  # though the hub says nothing
    hub.gate.set()
    assert "is kept: pull again to go on" in notice["markdown"]
    assert notice["level"] == "info"
    (text,) = offered(notice).values()
    assert "is here" in front.command(text)["markdown"]
    assert "range" in hub.fetched[-1].headers


def test_a_licence_with_conditions_is_shown_and_accepted_with_one_click(
    front: FrontEnd, hub: Hub, elsewhere: Repo
) -> None:
    elsewhere.card = {"license": "ada-1.0"}
    elsewhere.texts["LICENSE.md"] = "Be kind."
    notice = front.command(f"/pull {NAME}")
    assert "Be kind." in notice["markdown"]
    assert hub.fetched == []
    (text,) = offered(notice).values()
    assert "is here" in front.command(text)["markdown"]
