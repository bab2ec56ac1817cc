"""What is said in a panel: it streams, it branches, and all who show the chat show the same."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, MakeFront
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm


def test_an_answer_streams_and_ends_as_the_chat_has_it(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(max_tokens=None)
    text = "word " * 700
    scripted.replies.append(text)
    front.say("Tell me a lot.")
    assert front.texts == [turn.completion.text for turn in llm.chat("default").turns] == [text]
    assert sum(message["type"] == "delta" for message in front.messages) > 3


def test_thoughts_stream_apart_from_the_answer_and_are_there_after_a_reload(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front(max_tokens=None)
    thought = "Hm. " * 300
    scripted.replies.append(f"<think>{thought}</think>\n\nYes, " + "word " * 300)
    front.say("Is it?")
    (turn,) = front.shown
    assert turn["reasoning"] == thought.strip()
    assert turn["text"].startswith("Yes, word")
    assert turn["usage"]["reasoning_tokens"] == len(thought.strip())
    deltas = [message for message in front.messages if message["type"] == "delta"]
    assert any(delta["reasoning"] and not delta["text"] for delta in deltas)
    assert make_front().shown == front.shown


@pytest.mark.parametrize("num_prompts", [1, 2])
def test_at_most_thirty_messages_a_second_go_out(
    make_front: MakeFront, scripted: ScriptedEngine, num_prompts: int
) -> None:
    front = make_front(max_tokens=None)
    for number in range(num_prompts):
        scripted.replies.append("word " * 700)  # a thousand a second
        front.send(f"Fast, {number}!")
    front.wait_until(lambda front: len(front.path) == num_prompts and front.is_idle)
    kinds = ("delta", "patch")
    times = [at for at, message in front.heard if message["type"] in kinds]
    assert 10 < len(times) <= 30 * (times[-1] - times[0]) + 5
    assert front.texts == [turn.completion.text for turn in llm.chat("default").turns]


def test_a_request_for_code_is_shown_as_it_was_typed(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    scripted.replies.append("```python\nx = 1\n```")
    run(shell, "%%llm -f code -c none\nMake x.")
    front.wait_until(lambda front: len(front.path) == 1 and front.is_idle)
    assert [turn["prompt"] for turn in front.shown] == ["Make x."]


def test_turns_from_cells_and_from_python_appear_live(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    scripted.replies.extend(["From a cell.", "From Python."])
    run(shell, "%llm -c none one")
    front.wait_until(lambda front: front.texts == ["From a cell."])
    llm.chat("default")("two")
    front.wait_until(lambda front: front.texts == ["From a cell.", "From Python."])
    assert front.answered.keys() == {None}


def test_an_edited_prompt_is_a_branch_and_the_old_one_stays(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["Four.", "More.", "Five."])
    front.say("2 + 2?")
    front.say("more")
    assert front.say("2 + 3?", after=0)["siblings"] == [1, 3]
    assert front.path == [3]
    front.ask("choose", number=1)
    front.wait_until(lambda front: front.path == [1, 2])
    assert front.texts == ["Four.", "More."]
    assert front.shown[0]["siblings"] == [1, 3]


def test_regenerating_keeps_prompt_and_attachments_and_takes_another_seed(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two."])
    front.say("What is this?", attachments=[{"label": "Out [4]", "text": "KeyError: 'price'"}])
    turn = front.regenerate(1, seed=7, temperature=0.2)
    assert front.path == [2]
    assert (turn["prompt"], turn["attachments"]) == ("What is this?", ["Out [4]"])
    assert (turn["seed"], turn["temperature"], turn["siblings"]) == (7, 0.2, [1, 2])
    before, after = scripted.requests
    assert after.prompt == before.prompt


def test_a_turn_answers_its_request_also_when_its_branch_is_chosen_again(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["One.", "Two."])
    request = front.say("What is this?")["request"]
    front.regenerate(1)
    front.ask("choose", number=1)
    front.wait_until(lambda front: front.path == [1])
    assert front.answered.keys() == {request}


def test_a_reset_while_something_is_written_empties_all_panels(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front, other = make_front(), make_front()
    scripted.replies.append("One.")
    front.say("a")
    scripted.holds = True
    front.send("hold on")
    front.wait_until(lambda front: front.texts == ["One.", "word "])
    assert "Forgot 1 turn" in other.command("/reset")["markdown"]
    for one in (front, other):
        one.wait_until(lambda front: front.path == [] and front.is_idle)
    scripted.holds = False
    scripted.replies.append("Still here.")
    assert front.say("are you?")["text"] == "Still here."


def test_the_text_of_an_answer_may_be_anything(front: FrontEnd, scripted: ScriptedEngine) -> None:
    text = "\x00 \ud83d\ude00 <script>alert(1)</script> ́ {{x}} @In[3] /help \n\n```"
    scripted.replies.append(text)
    assert front.say("Say it.")["text"] == text
