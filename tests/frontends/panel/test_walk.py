"""Whatever is done to a chat, in panels and elsewhere: what views have heard is what it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.front_end import FrontEnd, MakeFront
from support.scripted import ScriptedEngine

from jupyter_llm import ChatPanel, llm
from jupyter_llm.chat.conversation import Chat

NAME = "walk"
WORDS = ("one two three", "a " * 40, "", "```python\nx = 1\n```", "\u2028é🙂 end")


class Walk:
    """A chat, two panels of it with three views, and what may be done."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.chat: Chat = llm.chat(NAME)
        self.panels = [ChatPanel(NAME), ChatPanel(NAME)]
        self.fronts = [FrontEnd(panel) for panel in (*self.panels, self.panels[0])]
        for front in self.fronts:
            front.hello()

    def do(self, what: str, which: int, pick: int, text: str) -> None:
        front = self.fronts[which % len(self.fronts)]
        numbers = [exchange.number for exchange in self.chat.exchanges]
        siblings = [number for e in self.chat.exchanges for number in e.siblings]
        number = numbers[pick % len(numbers)] if numbers else 1
        match what:
            case "send":
                self.engine.replies.append(text)
                front.send(f"prompt {pick}")
            case "edit":
                self.engine.replies.append(text)
                front.send(f"edited {pick}", after=number if pick % 2 else 0)
            case "regenerate":
                self.engine.replies.append(text)
                front.ask("regenerate", number=number, seed=pick, temperature=None)
            case "choose":
                front.ask("choose", number=siblings[pick % len(siblings)] if siblings else 1)
            case "remove":
                front.ask("remove", target=number)
            case "stop":
                front.ask("stop", target=None if pick % 2 else number)
            case "elsewhere":
                self.engine.replies.append(text)
                self.chat(f"from Python {pick}")
            case "reset":
                self.chat.reset()
            case "command":
                front.send("/status")
            case "dismiss" if front.notices:
                front.ask("remove", target=next(iter(front.notices)))
            case "unsaved":
                self.engine.replies.append(text)
                self.chat.stream(f"not to be saved {pick}", is_kept=False).result()
            case "hello":
                front.hello()
            case "bye":
                front.ask("bye")
                for other in self.fronts:
                    if other.panel is front.panel:
                        other.hello()
            case "wait":
                self.settle()

    def settle(self) -> None:
        """Wait until nothing goes on, and compare."""
        for front in self.fronts:
            front.wait_until(self._is_equal)

    def _is_equal(self, front: FrontEnd) -> bool:
        return front.is_idle and self._shown_by(front) == self._true()

    def _true(self) -> list[Any]:
        return [
            (e.number, e.parent, list(e.siblings), e.prompt, e.turn and e.turn.completion.text)
            for e in self.chat.exchanges
        ]

    @staticmethod
    def _shown_by(front: FrontEnd) -> list[Any]:
        return [
            (turn["number"], turn["parent"], turn["siblings"], turn["prompt"], turn["text"])
            for turn in front.shown
        ]

    def end(self) -> None:
        for panel in self.panels:
            panel.close()
        llm.chats._chats.pop(NAME, None)


STEPS = st.tuples(
    st.sampled_from(
        (
            *("send", "send", "edit", "regenerate", "choose", "remove", "stop"),
            *("elsewhere", "unsaved", "reset", "command", "dismiss", "hello", "bye", "wait"),
        )
    ),
    st.integers(0, 2),
    st.integers(0, 9),
    st.sampled_from(WORDS),
)


def walk(engine: ScriptedEngine, steps: list[tuple[str, int, int, str]]) -> None:
    engine.replies.clear()
    walk = Walk(engine)
    try:
        for step in steps:
            walk.do(*step)
        walk.settle()
        assert all(f.notices == walk.fronts[0].notices for f in (walk.fronts[2],))
    finally:
        walk.end()


@pytest.fixture
def walker(
    make_front: MakeFront, scripted: ScriptedEngine
) -> Callable[[list[tuple[str, int, int, str]]], None]:
    return lambda steps: walk(scripted, steps)


SETTINGS: dict[str, Any] = {
    "deadline": None,
    # A view that does not come to show what it should is waited for so long that shrinking what led
    # there takes hours.
    "phases": [phase for phase in Phase if phase is not Phase.shrink],
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=15, **SETTINGS)
@given(steps=st.lists(STEPS, max_size=8))
def test_views_show_what_the_chat_holds_after_a_short_walk(
    walker: Callable[[list[Any]], None], steps: list[Any]
) -> None:
    walker(steps)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_views_show_what_the_chat_holds_after_a_long_walk(
    walker: Callable[[list[Any]], None],
) -> None:
    @settings(max_examples=300, **SETTINGS)
    @given(steps=st.lists(STEPS, min_size=5, max_size=40))
    def walk(steps: list[Any]) -> None:
        walker(steps)

    walk()
