"""Branches, choices, removals and attachments that are there after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.saved_turns import turn
from support.scripted import ScriptedEngine, messages_of
from support.template_engine import ScriptedLLM

from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.store import ChatState, StoredChats
from jupyter_llm.common.database import store


class Kernels:
    """Kernels of one notebook, one after the other."""

    def __init__(self, notebook: Path) -> None:
        self.notebook = notebook
        self.engine = ScriptedEngine()
        self.llm = ScriptedLLM(self.engine)

    def start(self) -> ScriptedLLM:
        self.close()
        self.llm = ScriptedLLM(self.engine)
        self.llm.archive.open(self.notebook)
        return self.llm

    def chat(self) -> Chat:
        return self.start().chat("default")

    def close(self) -> None:
        """End the kernel, with all written that it had to write."""
        for chat in self.llm.chats:
            assert chat.turns is not None  # what has been answered is taken in
        self.llm.archive.open(None)


@pytest.fixture
def kernels(home: Path) -> Iterator[Kernels]:
    kernels = Kernels(home / "a.ipynb")
    yield kernels
    kernels.close()


def ask(chat: Chat, prompt: str, answer: str = "yes", **options: object) -> None:
    """Ask as a panel does, which goes on from what was kept, or as a cell."""
    options.setdefault("continues", "cell" not in options)
    engine = chat.current.get()
    assert isinstance(engine, ScriptedEngine)
    engine.replies.clear()
    engine.replies.append(answer)
    chat.stream(prompt, **options).result()


def shape(chat: Chat) -> list[tuple[int, int, str, tuple[int, ...]]]:
    return [(e.number, e.parent, e.prompt, e.siblings) for e in chat.exchanges]


def whole(chat: Chat) -> dict[int, tuple[int, str, float]]:
    """The parents, prompts and times of all turns, on whatever branch."""
    turns = map(chat.turn, chat._branches)
    return {one.number: (one.parent, one.prompt, one.finished_at) for one in turns}


def branching(chat: Chat) -> None:
    """Make a talk of three branches; the second is active."""
    for prompt in ("one", "two", "three"):
        ask(chat, prompt)
    ask(chat, "two again", after=1)
    ask(chat, "and on")
    ask(chat, "two at last", after=1)
    chat.choose(4)


def kept_prompts(chat: Chat) -> list[str]:
    """Return those of the chat's prompts that are on the disk, as another kernel finds them."""
    assert store().flush(10)
    made = [chat.turn(number).completion.provenance for number in chat._branches]
    kept = [PromptStore().find(record.prompt_sha256) for record in made if record is not None]
    return [messages_of(each.prompt)[-1].content for each in kept if each is not None]


def test_no_later_prompt_brings_what_is_not_to_be_saved_to_the_disk(kernels: Kernels) -> None:
    chat = kernels.chat()
    ask(chat, "before")
    ask(chat, "hush", is_kept=False)
    ask(chat, "after")
    ask(chat, "beside", after=1)
    assert kept_prompts(chat) == ["before", "beside"]


def test_two_kernels_of_a_notebook_lose_nothing(kernels: Kernels) -> None:
    first = kernels.start()
    ask(first.chat("default"), "one")
    assert len(first.chat("default").turns) == 1  # which takes in what has been answered
    other = ScriptedLLM(kernels.engine)
    other.archive.open(kernels.notebook)
    assert len(other.chat("default").turns) == 1
    ask(first.chat("default"), "two here")
    ask(other.chat("default"), "two there")
    ask(first.chat("default"), "three here")
    ask(other.chat("default"), "three there")
    assert [turn.number for turn in other.chat("default").turns] == [1, 2, 3]
    first.chat("default").remove(3)
    other.archive.open(None)
    found = whole(kernels.chat())
    prompts = sorted(prompt for _, prompt, _ in found.values())
    assert prompts == ["one", "three there", "two here", "two there"]
    assert len(set(found)) == 4


NUMBERS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NUMBERS, st.dictionaries(st.integers(0, 2), st.integers(0, 7)))
def test_whatever_stands_there_of_numbers_becomes_branches(
    kernels: Kernels, numbers: list[tuple[int, int]], choices: dict[int, int]
) -> None:
    archive = kernels.start().archive
    archive.clear()
    archive.write(StoredChats.describe, "default", ChatState(choices=choices))
    for clock, (number, parent) in enumerate(numbers):
        archive.write(
            StoredChats.keep,
            "default",
            turn(number=number, parent=parent, finished_at=float(clock)),
        )
    again = kernels.chat()
    found = whole(again)
    assert len(found) == len(numbers)
    assert all(parent == 0 or parent in found for parent, *_ in found.values())
    assert all(parent < number for number, (parent, *_) in found.items())
    ask(again, "go on")
    assert whole(kernels.chat()).keys() >= {again.turns[-1].number}


KINDS = ["send", "after", "after", "cell", "forget", "hush", "choose", "remove", "restart"]
BRANCHES = [*[("send", 0)] * 3, ("after", 1), ("send", 0), ("after", 1)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20)), max_size=12))
@example([*BRANCHES, ("choose", 4), ("restart", 0), ("send", 0), ("choose", 3), ("restart", 0)])
@example([*BRANCHES, ("hush", 0), ("hush", 0), ("send", 0)])
@example([*BRANCHES, ("remove", 2), ("restart", 0), *[("remove", 1)] * 5, ("restart", 0)])
@example([("cell", 0), ("cell", 1), ("after", 1), ("cell", 1), ("restart", 0), ("forget", 1)])
def test_any_talk_is_the_same_after_a_restart(
    kernels: Kernels, steps: list[tuple[str, int]]
) -> None:
    llm = kernels.start()
    llm.chats.clear()
    chat: Chat = llm.chat("default")
    hushed: set[int] = set()
    for clock, (step, pick) in enumerate(steps):
        known = [0, *chat._branches]
        number = known[pick % len(known)]
        prompt = f"prompt {clock}"
        match step:
            case "send":
                ask(chat, prompt)
            case "after":
                ask(chat, prompt, after=number)
            case "cell":
                ask(chat, prompt, cell=(f"cell {pick % 3}", 1))
            case "forget":
                chat.forget(lambda origin, cell=pick % 3: origin == (f"cell {cell}", 1))  # type: ignore[misc]
            case "choose" if number:
                chat.choose(number)
            case "remove" if number:
                chat.remove(number)
            case "restart" if not hushed:
                before, active = whole(chat), shape(chat)
                chat = kernels.chat()
                assert (whole(chat), shape(chat)) == (before, active)
            case "hush":
                ask(chat, prompt, is_kept=False)
                hushed.add(chat.turns[-1].number)
    everything = whole(chat)

    def kept_parent(number: int) -> int:
        parent = everything[number][0]
        return kept_parent(parent) if parent in hushed else parent

    kept = {number: rest for number, (_, *rest) in everything.items() if number not in hushed}
    expected = {number: (kept_parent(number), *rest) for number, rest in kept.items()}
    assert whole(kernels.chat()) == expected


# What is taken along


def test_exports_hold_the_active_branch_and_count_the_others(kernels: Kernels) -> None:
    llm = kernels.start()
    branching(llm.chat("default"))
    saved = llm.chat("default").saved()
    assert [turn.prompt for turn in saved.turns] == ["one", "two again", "and on"]
    assert saved.num_other_branches == 2
    again = kernels.start()
    waiting = again.chats.saved()["default"]  # nobody has asked for it yet
    assert [turn.prompt for turn in waiting.turns] == ["one", "two again", "and on"]
    assert waiting.num_other_branches == 2
    assert waiting.turns == saved.turns
    restored = again.chat("default").saved()
    assert (restored.turns, restored.num_other_branches) == (saved.turns, 2)
