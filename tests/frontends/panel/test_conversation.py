"""What is said in a panel: it streams, it branches, and all who show the chat show the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, MakeFront, hold_on
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.chat.tree import Exchange
from jupyter_llm.engine.completion import Chunk
from jupyter_llm.frontends.comm.messages import ToFrontEnd


def is_done(front: FrontEnd) -> bool:
    return bool(front.path) and front.is_idle


def test_a_view_that_says_hello_is_told_all_there_is(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two."])
    llm.chat("default")("first")
    llm.chat("default")("second")
    front = make_front()
    assert [turn["prompt"] for turn in front.shown] == ["first", "second"]
    assert front.texts == ["One.", "Two."]
    assert front.path == [1, 2]


def test_an_answer_streams_and_ends_as_the_chat_has_it(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(max_tokens=None)
    text = "word " * 700
    scripted.replies.append(text)
    front.send("Tell me a lot.")
    front.wait_until(is_done)
    assert front.texts == [turn.completion.text for turn in llm.chat("default").turns] == [text]
    deltas = [message for message in front.messages if message["type"] == "delta"]
    assert len(deltas) > 3


def test_a_request_is_acknowledged_then_pending_and_then_a_turn(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("Yes.")
    request = front.send("Are you there?")
    front.wait_until(is_done)
    about = [
        message["type"]
        for message in front.messages
        if request == message.get("id")
        or (message["type"] == "pending" and message["pending"]["id"] == request)
    ]
    assert about == ["ack", "pending", "turn"]
    assert front.shown[0]["prompt"] == "Are you there?"


def test_at_most_thirty_messages_a_second_go_out(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(max_tokens=None)
    scripted.replies.append("word " * 1400)  # a thousand a second
    front.send("Fast!")
    front.wait_until(is_done)
    times = [at for at, message in front.heard if message["type"] in ("delta", "turn", "path")]
    assert len(times) > 10
    assert len(times) <= 30 * (times[-1] - times[0]) + 3


def test_two_prompts_at_once_do_not_send_more_messages(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(max_tokens=None)
    scripted.replies.extend(["one " * 700, "two " * 700])
    front.send("One!")
    front.send("Two!")
    front.wait_until(lambda front: len(front.path) == 2 and front.is_idle)
    kinds = ("delta", "turn", "path", "progress")
    times = [at for at, message in front.heard if message["type"] in kinds]
    assert len(times) <= 30 * (times[-1] - times[0]) + 5
    assert {text[:3] for text in front.texts} == {"one", "two"}


def test_turns_from_cells_and_from_python_appear_live(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    scripted.replies.extend(["From a cell.", "From Python."])
    run(shell, "%llm -c none one")
    front.wait_until(lambda front: front.texts == ["From a cell."])
    llm.chat("default")("two")
    front.wait_until(lambda front: front.texts == ["From a cell.", "From Python."])
    answers = [message for message in front.messages if message["type"] == "turn"]
    assert all(message["id"] is None for message in answers)


def test_a_turn_of_elsewhere_streams_while_it_is_written(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.holds = True
    stream = llm.chat("default").stream("hold on")
    front.wait_until(lambda front: front.texts == ["word "])
    assert front.shown[0]["state"] == "writing"
    stream.cancel()
    front.wait_until(is_done)


def test_two_panels_and_two_views_of_one_chat_stay_equal(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two.", "Three."])
    first, second = make_front(), make_front("default")
    third = FrontEnd(first.panel)
    third.hello()
    first.send("a")
    first.wait_until(is_done)
    second.send("b")
    second.wait_until(lambda front: len(front.path) == 2 and front.is_idle)
    first.ask("regenerate", number=1, seed=None, temperature=None)
    for front in (first, second, third):
        front.wait_until(lambda front: front.path == [3] and front.is_idle)
    assert first.shown == second.shown == third.shown


def test_chats_without_a_name_have_panels_too(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("Yes.")
    chat = llm.chat()
    front = make_front(chat)
    front.send("Do you?")
    front.wait_until(is_done)
    assert [turn.prompt for turn in chat.turns] == ["Do you?"]
    assert front.messages[1]["chat"] is None


def test_an_edited_prompt_is_a_branch_and_the_old_one_stays(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["Four.", "More.", "Five."])
    front.send("2 + 2?")
    front.wait_until(is_done)
    front.send("more")
    front.wait_until(lambda front: len(front.path) == 2 and front.is_idle)
    front.send("2 + 3?", after=0)
    front.wait_until(lambda front: front.path == [3] and front.is_idle)
    assert front.shown[0]["siblings"] == [1, 3]
    front.ask("choose", number=1)
    front.wait_until(lambda front: front.path == [1, 2])
    assert front.texts == ["Four.", "More."]
    assert front.shown[0]["siblings"] == [1, 3]


def test_regenerating_keeps_prompt_and_attachments_and_takes_another_seed(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two."])
    front.send("What is this?", attachments=[{"label": "Out [4]", "text": "KeyError: 'price'"}])
    front.wait_until(is_done)
    front.ask("regenerate", number=1, seed=7, temperature=0.2)
    front.wait_until(lambda front: front.path == [2] and front.is_idle)
    turn = front.shown[0]
    assert (turn["prompt"], turn["attachments"]) == ("What is this?", ["Out [4]"])
    assert (turn["seed"], turn["temperature"], turn["siblings"]) == (7, 0.2, [1, 2])
    before, after = scripted.requests
    assert after.prompt == before.prompt


def test_a_removed_turn_goes_from_all_views(front: FrontEnd, scripted: ScriptedEngine) -> None:
    scripted.replies.extend(["One.", "Two."])
    for count, prompt in enumerate(("a", "b"), 1):
        front.send(prompt)
        front.wait_until(lambda front, count=count: len(front.path) == count and front.is_idle)  # type: ignore[misc]
    front.ask("remove", number=1)
    front.wait_until(lambda front: front.path == [2])
    assert front.shown[0]["parent"] == 0


def test_a_long_branch_comes_at_once_and_what_follows_does_not_wait(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    chat = llm.chat("default")
    scripted.replies.extend(["x"] * 202)
    for number in range(200):
        chat(f"prompt {number}")
    chat.stream("another", after=0).result()
    front = make_front()
    front.wait_until(lambda front: front.path == [201])
    front.ask("choose", number=1)
    front.wait_until(lambda front: len(front.path) == 200)
    began = time.monotonic()
    front.send("next")
    front.wait_until(lambda front: len(front.path) == 201 and front.is_idle)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("kind", ["choose", "remove"])
def test_what_is_not_there_cannot_be_chosen_or_removed(front: FrontEnd, kind: str) -> None:
    request = front.ask(kind, number=9)
    error = front.wait_for(lambda message: message["type"] == "error")
    assert error["id"] == request
    assert "no turn 9" in error["text"]
    assert "\n" not in error["text"]


def test_a_reset_while_something_is_written_empties_all_views(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    hold_on(front, scripted)
    llm.chat("default").reset()
    front.wait_until(lambda front: front.path == [] and front.is_idle)
    scripted.holds = False
    scripted.replies.append("Still here.")
    front.send("are you?")
    front.wait_until(is_done)
    assert front.texts == ["Still here."]


def test_a_model_that_goes_away_while_it_writes_leaves_what_there_is(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    hold_on(front, scripted)
    stream = llm.chat("default").exchanges[0].stream
    scripted.close()
    assert stream is not None
    stream.cancel()  # the double looks whether it was closed when it is woken up
    front.wait_until(lambda front: front.is_idle)


def test_the_text_of_an_answer_may_be_anything(front: FrontEnd, scripted: ScriptedEngine) -> None:
    text = "\x00 \ud83d\ude00 <script>alert(1)</script> ́ {{x}} @In[3] /help \n\n```"
    scripted.replies.append(text)
    front.send("Say it.")
    front.wait_until(is_done)
    assert front.texts == [text]


def test_a_turn_begun_by_a_request_is_told_even_if_it_is_not_seen_to_grow(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    for number in range(1, 6):
        scripted.replies.append("x")
        request = front.send(f"prompt {number}")
        front.wait_until(lambda front, number=number: len(front.path) == number and front.is_idle)  # type: ignore[misc]
        turns = [m for m in front.messages if m["type"] == "turn" and m["id"] == request]
        assert [m["turn"]["number"] for m in turns] == [number]


def test_a_chunk_that_comes_late_is_not_lost(front: FrontEnd, scripted: ScriptedEngine) -> None:
    scripted.holds = True
    chat = llm.chat("default")
    stream = chat.stream("hold on")
    front.wait_until(lambda front: front.texts == ["word "])
    stream._feed.put(Chunk("late"))  # type: ignore[attr-defined]
    front.wait_until(lambda front: front.texts == ["word late"])
    stream.cancel()
    front.wait_until(is_done)


def test_a_view_that_has_missed_something_says_hello_again(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("word " * 50)
    front.send("go")
    front.wait_until(lambda front: bool(front.path))
    front.lose_track()
    front.hello()
    front.wait_until(is_done)
    assert front.texts == ["word " * 50]


def test_nothing_goes_out_before_somebody_listens(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("Yes.")
    quiet = make_front()
    panel = type(quiet.panel)("default")
    try:
        front = FrontEnd(panel)
        llm.chat("default")("anybody there?")
        quiet.wait_until(is_done)
        time.sleep(0.1)  # as long as three ticks
        assert front.messages == []
        front.hello()
        assert front.texts == ["Yes."]
    finally:
        panel.close()


@contextmanager
def looking_away(front: FrontEnd) -> Iterator[None]:
    """Let the panel see nothing of what happens meanwhile before its end."""
    pump = front.panel._side._pump
    ask, pump.ask = pump.ask, lambda: None  # type: ignore[method-assign]
    yield
    pump.ask = ask  # type: ignore[method-assign]
    pump.ask()


@pytest.mark.parametrize("how", ["remove", "reset"])
def test_a_prompt_whose_turn_has_gone_before_it_was_told_ends(
    front: FrontEnd, scripted: ScriptedEngine, how: str
) -> None:
    scripted.holds = True
    chat = llm.chat("default")
    gone = threading.Event()

    def take_away() -> None:
        if chat.exchanges and not gone.is_set():
            gone.set()
            chat.remove(1) if how == "remove" else chat.reset()

    with looking_away(front):
        chat.watch(take_away)
        front.tell({**_SEND, "id": "x-1", "text": "hello?"})
        assert gone.wait(10)
    front.wait_for(lambda message: message["type"] == "cancelled" and message["id"] == "x-1")
    assert (front.path, front.pending) == ([], {})


def test_a_prompt_that_became_a_turn_of_another_branch_ends(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two.", "Three."])
    chat = llm.chat("default")
    chat("a")
    chat.stream("b", after=0).result()
    with looking_away(front):
        has_begun = threading.Event()
        chat.watch(lambda: has_begun.set() if len(chat.exchanges) == 2 else None)
        front.tell({**_SEND, "id": "x-1", "text": "c"})
        assert has_begun.wait(10)
        chat.choose(1)
    message = front.wait_for(lambda m: m["type"] == "turn" and m["id"] == "x-1")
    assert message["turn"]["parent"] == 2
    front.wait_until(lambda front: front.path == [1] and front.is_idle)


def test_stop_reaches_turns_on_all_branches(front: FrontEnd, scripted: ScriptedEngine) -> None:
    scripted.holds = True
    chat = llm.chat("default")
    first, second = chat.stream("a"), chat.stream("b", after=0)
    front.wait_until(lambda front: front.path == [2] and front.texts == ["word "])
    front.ask("stop", target=None)
    assert [s.result(5).finish_reason for s in (first, second)] == ["cancelled", "cancelled"]


def test_many_turns_at_once_are_one_message(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    chat = llm.chat("default")
    for number in range(60):
        scripted.replies.append(f"Answer {number}.")
        chat(f"prompt {number}")
    front = make_front()
    assert [message["type"] for message in front.messages] == ["ack", "snapshot"]
    scripted.replies.append("Beside.")
    front.send("beside", after=0)
    front.wait_until(lambda front: front.texts == ["Beside."] and front.is_idle)
    before = len(front.heard)
    front.ask("choose", number=1)
    front.wait_until(lambda front: len(front.path) == 60)
    assert [m["type"] for m in front.messages[before:]] == ["ack", "snapshot"]
    assert front.messages[-1]["view"] is None


def test_a_panel_without_views_says_nothing_until_one_says_hello(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    front.ask("bye")
    assert front.is_asked
    before = len(front.heard)
    scripted.replies.append("Yes.")
    llm.chat("default")("anybody there?")
    time.sleep(0.1)  # as long as three ticks
    assert len(front.heard) == before
    front.hello()
    assert front.texts == ["Yes."]


def test_a_tick_of_a_long_chat_looks_at_what_grows_alone(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    chat = llm.chat("default")
    for number in range(20):
        scripted.replies.append("x")
        chat(f"prompt {number}")
    scripted.holds = True
    stream = chat.stream("hold on")
    front.wait_until(lambda front: len(front.path) == 21 and front.texts[-1] == "word ")
    front.wait_until(lambda front: not front.is_idle)
    told: list[int] = []
    mirror = front.panel._side._mirror
    look = mirror._news_of

    def looking(exchange: Exchange, *others: Any) -> Iterator[ToFrontEnd]:
        told.append(exchange.number)
        return look(exchange, *others)

    mirror._news_of = looking  # type: ignore[assignment, method-assign]
    stream._feed.put(Chunk("more"))  # type: ignore[attr-defined]
    front.wait_until(lambda front: front.texts[-1] == "word more")
    assert set(told) == {21}
    stream.cancel()
    front.wait_until(is_done)


_SEND: dict[str, Any] = {
    "type": "send",
    "after": None,
    "attachments": [],
    "seed": None,
    "temperature": None,
}
