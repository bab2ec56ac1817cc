"""The branches of a chat: sent along, chosen, removed, watched."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import takewhile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from support.interrupts import interrupt_main
from support.saved_turns import left_out
from support.scripted import ScriptedEngine, messages_of
from support.template_engine import ScriptedLLM, TemplateEngine
from support.waiting import until

from jupyter_llm.ask.prompt_store import KeptPrompt
from jupyter_llm.chat.branches import Exchange
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import OptionError, TurnNotFoundError
from jupyter_llm.tasks.write import write_in_chat

TOO_LONG = "x" * 5000


def chat_with(*replies: str, holds: bool = False) -> tuple[Chat, ScriptedEngine]:
    engine = ScriptedEngine(replies, holds=holds)
    return ScriptedLLM(engine).chat("default"), engine


def numbers(chat: Chat) -> list[int]:
    return [turn.number for turn in chat.turns]


def prompts(chat: Chat) -> list[str]:
    return [turn.prompt for turn in chat.turns]


def sent(engine: ScriptedEngine, index: int = -1) -> list[str]:
    """The messages of a request."""
    return [message.content for message in messages_of(engine.requests[index].prompt)]


def end(stream: Stream) -> None:
    """Stop what is being written."""
    stream.cancel()
    stream.result(30)


def long_talk(num_turns: int = 40, **options: object) -> tuple[Chat, TemplateEngine]:
    """A chat whose first turns no longer fit."""
    engine = TemplateEngine(["answer-" * 30] * 100, n_ctx=2048)
    chat = ScriptedLLM(engine).chat("default")
    for number in range(num_turns):
        where = {"cell": number} if "attachments" in options else {}
        chat.stream(f"question {number}", context="auto", **options, **where).result()
    assert not num_turns or left_out(chat)[0] > 5
    return chat, engine


@pytest.fixture
def talk() -> tuple[Chat, ScriptedEngine]:
    """A chat of three turns, whose answers are A, B, C and so on."""
    chat, engine = chat_with(*"ABCDEFGH")
    for prompt in ("one", "two", "three"):
        chat(prompt)
    return chat, engine


Talk = tuple[Chat, ScriptedEngine]


class TestBranching:
    def test_a_turn_that_is_not_there_is_named(self, talk: Talk) -> None:
        chat, engine = talk
        num_requests = len(engine.requests)
        acts = (chat.turn, chat.choose, chat.remove, lambda number: chat.stream("x", after=number))
        for act in acts:
            with pytest.raises(TurnNotFoundError, match="Chat 'default' has no turn 7") as caught:
                act(7)
            assert caught.value.number == 7
        assert numbers(chat) == [1, 2, 3]
        assert len(engine.requests) == num_requests
        assert "The chat has no turn 1" in str(TurnNotFoundError(1, None))

    def test_cells_are_told_once_a_branch(self) -> None:
        chat, engine = chat_with(*"ABCDEF")
        timeline = chat.timeline
        timeline.append("x = 1", execution_count=1)
        chat.stream("one", context="auto").result()
        timeline.append("y = 1", execution_count=2)
        chat.stream("two", context="auto").result()
        chat.stream("two again", after=1, context="auto").result()
        assert "".join(sent(engine)).count("x = 1") == "".join(sent(engine)).count("y = 1") == 1
        chat.stream("one again", after=0, context="auto").result()
        assert sent(engine)[0].count(" = 1") == 2
        chat.choose(2)
        chat.stream("three", context="auto").result()
        assert "".join(sent(engine)).count(" = 1") == 2

    def test_a_chosen_branch_is_read_before_it_is_asked(self, talk: Talk) -> None:
        chat, engine = talk
        chat.stream("two again", after=1).result()
        answer = Message("assistant", "D")
        until(lambda: engine.prefilled and messages_of(engine.prefilled[-1].prompt)[-1] == answer)
        chat.choose(3)
        read = engine.prefilled[-1]
        chat("four")
        asked = engine.requests[-1]
        assert read.conversation == asked.conversation
        assert read.prompt == messages_of(asked.prompt)[:-1]


class TestRemoving:
    @pytest.mark.parametrize(
        "act",
        [
            Chat.reset,
            lambda chat: chat.remove(1),
            lambda chat: chat.forget(lambda origin: origin == "a"),
        ],
        ids=["reset", "remove", "forget"],
    )
    def test_what_is_forgotten_is_not_written_on(
        self, act: Callable[[Chat], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chat, _engine = chat_with(holds=True)
        really, forgotten = chat._answers.forget, set[str]()

        def forget(prompts: Collection[str]) -> None:
            really(prompts)
            forgotten.update(prompts)

        monkeypatch.setattr(chat._answers, "forget", forget)
        stream = chat.stream("one", cell="a")
        act(chat)
        assert stream.result(30).finish_reason == "cancelled"
        assert (chat.exchanges, chat.turns) == ((), [])
        until(lambda: bool(forgotten))
        assert len(chat._answers) == 0  # nor is its prompt kept

    def test_a_prompt_in_flight_outlives_its_parent(self) -> None:
        chat, engine = chat_with("A", "B", holds=True)
        end(chat.stream("one"))
        second = chat.stream("two")
        chat.remove(1)
        end(second)
        until(lambda: chat.turns and chat.turns[0].finished_at)
        assert [(turn.prompt, turn.parent) for turn in chat.turns] == [("two", 0)]
        assert sent(engine) == ["one", "A", "two"]


class TestExchanges:
    def test_a_prompt_that_cannot_be_sent_leaves_everything_as_it_was(self, talk: Talk) -> None:
        chat, engine = talk
        chat.stream("two again", after=1).result()
        before = chat.exchanges
        engine.close()
        for options in ({"after": 2}, {"after": 0}, {}):
            with pytest.raises(Exception, match="closed"):
                chat.stream("x", **options)
        assert chat.exchanges == before

    def test_code_that_is_interrupted_is_a_turn_a_draft_and_an_answer(self) -> None:
        chat, engine = chat_with("x = foo(1)", holds=True)
        engine.on_hold = interrupt_main
        with pytest.raises(PromptInterrupted):
            write_in_chat(chat, ChatQuestion(prompt="Call it"))
        (turn,), (answer,) = chat.turns, chat._answers
        assert turn.completion.text == "```python\nx \n```"
        assert answer.text == "x "
        assert chat.last_draft.endswith("```python\nx \n```")
        assert turn.completion.provenance == answer.record
        assert answer.prompt == KeptPrompt.of(engine.requests[0])

    def test_what_nobody_reads_is_not_written_on(self) -> None:
        chat, _engine = chat_with("A B", holds=True)
        stream = chat.stream("one")
        exchanges = chat.exchanges
        assert exchanges[0].stream is stream
        del stream
        gc.collect()
        until(lambda: chat.exchanges[0].is_finished)
        assert chat.turns[0].completion.finish_reason == "cancelled"
        assert exchanges[0].stream is None


class TestAtTheSameTime:
    def test_prompts_in_flight_stand_one_after_the_other(self) -> None:
        chat, engine = chat_with("A", "B", "C", holds=True)
        streams = [chat.stream(prompt) for prompt in ("one", "two", "three")]
        assert [e.prompt for e in chat.exchanges] == ["one", "two", "three"]
        assert [e.siblings for e in chat.exchanges] == [(1,), (2,), (3,)]
        assert [sent(engine, n) for n in range(3)] == [["one"], ["two"], ["three"]]
        for stream in reversed(streams):
            end(stream)
        assert [(turn.number, turn.parent) for turn in chat.turns] == [(1, 0), (2, 1), (3, 2)]

    def test_prompts_of_many_threads_are_all_on_the_active_branch(self) -> None:
        chat, _engine = chat_with(*["word"] * 200)
        asked = [f"prompt {number}" for number in range(80)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(chat, asked))
        assert sorted(prompts(chat)) == sorted(asked)
        assert numbers(chat) == list(range(1, 81))

        def change(number: int) -> None:
            with suppress(TurnNotFoundError):  # another thread was faster
                if number % 5 == 4:
                    chat.remove(chat.turns[-1].number)
                elif number % 7 == 6:
                    chat.choose(chat.turns[0].number)
                else:
                    chat(f"another {number}")
                assert all(e.number for e in chat.exchanges)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(80)))
        until(lambda: all(e.is_finished for e in chat.exchanges))
        found = numbers(chat)
        assert found == sorted(set(found))
        assert [turn.parent for turn in chat.turns] == [0, *found[:-1]]
        assert all(len(e.siblings) == 1 for e in chat.exchanges)


Watched = tuple[Chat, ScriptedEngine, list[tuple[Exchange, ...]]]


class TestWatching:
    @pytest.fixture
    def watched(self) -> Watched:
        """A chat of three turns, and what whoever watches has seen each time it was called."""
        chat, engine = chat_with(*"ABCDEFGH")
        calls: list[tuple[Exchange, ...]] = []
        chat.watch(lambda: calls.append(chat.exchanges))  # it may look at the chat at once
        for prompt in ("one", "two", "three"):
            chat(prompt)
        until(lambda: len(calls) == 6)
        calls.clear()
        return chat, engine, calls

    def test_it_hears_of_every_change(self, watched: Watched) -> None:
        chat, engine, calls = watched

        def expect(*seen: list[int]) -> None:
            until(lambda: len(calls) >= len(seen))
            assert [[e.number for e in exchanges] for exchanges in calls] == list(seen)
            calls.clear()

        chat("four")
        assert calls[0][-1].turn is None or calls[0][-1].is_finished
        expect([1, 2, 3, 4], [1, 2, 3, 4])
        chat.choose(3)
        assert calls == []  # as it was
        engine.replies.appendleft("")
        chat.stream("nothing", after=1).result()
        until(lambda: len(calls) == 2)
        assert [1, 2, 3, 4] in [[e.number for e in exchanges] for exchanges in calls]
        assert [1] not in [[e.number for e in exchanges] for exchanges in calls]
        calls.clear()
        chat.remove(4)
        expect([1, 2, 3])
        chat.forget(lambda _origin: False)
        assert calls == []
        chat.reset()
        expect([])
        chat.restore(chat.saved())
        expect([])


class TestAttachments:
    def test_an_attachment_is_told_with_its_prompt_and_stays_in_its_turn(
        self, shell: InteractiveShell
    ) -> None:
        shell.user_ns["x"] = 1
        chat, engine = chat_with(*"ABC")
        chat.timeline.append("x = 1", execution_count=1)
        chat.stream(
            "one",
            context="auto",
            about="@x",
            attachments=[("In [7]", "y = 2\n"), ("output 7", "<|im_end|>")],
        ).result()
        message = messages_of(engine.requests[-1].prompt)[0]
        assert isinstance(message, Message)
        assert message.parts == (
            "These cells ran in the notebook:\n\n",
            "In [1]:\nx = 1\n\n",
            "Variables:\n\n",
            "x: int 1\n\n",
            "Attached:\n\n",
            "In [7]:\ny = 2\n\n",
            "output 7:\n<|im_end|>\n\n",
            "one",
        )
        assert chat.turns[0].attachments == (("In [7]", "y = 2\n"), ("output 7", "<|im_end|>"))
        chat("two", context="auto")
        assert messages_of(engine.requests[-1].prompt)[0] == message
        assert sent(engine)[-1] == "two"

    @pytest.mark.parametrize("attachment", ["text", ("name",), ("name", 1), (None, "text")])
    def test_what_is_no_name_and_text_is_refused(self, attachment: object) -> None:
        chat, engine = chat_with("A")
        with pytest.raises(OptionError, match="a name and a text"):
            chat.stream("one", attachments=[attachment])
        assert engine.requests == []


class TestCutsOfBranches:
    def test_a_cut_of_one_branch_leaves_out_nothing_of_another(self) -> None:
        chat, engine = long_talk(0)
        chat("root", context="auto")
        for number in range(5):
            chat(f"short {number}", context="auto")
        chat.stream("long", after=1, context="auto").result()
        for number in range(30):
            chat(f"long {number}", context="auto")
        assert left_out(chat)[0] > 7
        chat.choose(2)
        assert left_out(chat)[0] == 0
        chat("go on", context="auto")
        text = engine.format(engine.requests[-1].prompt)
        assert [f"short {number}<" in text for number in range(5)] == [True] * 5
        assert "root" in text
        chat.choose(7)
        chat("and here", context="auto")
        assert left_out(chat)[0] > 7
        assert engine.count_tokens(engine.requests[-1].prompt) <= 1024


KINDS = "send send after after after cell cell choose choose remove forget fail empty reset"
STEPS = st.lists(st.tuples(st.sampled_from(KINDS.split()), st.integers(0, 20)), max_size=14)
THREE = [("send", 0)] * 3
CELLS = [("cell", 0), ("cell", 1), ("cell", 2), ("after", 1), ("cell", 0), ("cell", 1)]


@settings(max_examples=60)
@given(STEPS)
@example([*THREE, ("after", 2), ("after", 1), ("remove", 2), ("choose", 3), ("send", 0)])
@example([*THREE, ("after", 0), ("choose", 2), ("empty", 0), ("fail", 0), ("send", 0)])
@example([*CELLS, ("forget", 1), ("choose", 3), ("reset", 0), ("send", 0)])
def test_any_talk_is_what_a_simple_model_says(steps: list[tuple[str, int]]) -> None:
    chat, engine = chat_with()
    parents: dict[int, int] = {}
    said: dict[int, tuple[str, str]] = {}
    cells: dict[int, int] = {}  # by the turn that stands for them
    first_asked: dict[int, int] = {}  # by cell
    clocks: dict[int, int] = {}  # when each turn was asked, or its cell first
    active: list[int] = []
    for clock, (step, pick) in enumerate(steps):
        known = [0, *parents]
        number = known[pick % len(known)]
        prompt = f"prompt {clock}"
        answer = "" if step == "empty" else f"answer {clock}"
        engine.replies.append(answer)
        before = numbers(chat)
        assert before == active
        match step:
            case "send" | "after" | "cell":
                cell = pick % 3
                where: dict[str, int] = {"after": number} if step == "after" else {}
                if step == "cell":
                    where = {"cell": cell}
                chat.stream(prompt, **where).result()
                until(lambda: all(turn.finished_at for turn in chat.turns))
                new = next(t.number for t in chat.turns if t.prompt == prompt)
                if step == "cell" and cell in cells.values():
                    assert cells[new] == cell
                else:
                    first = first_asked.setdefault(cell, clock) if step == "cell" else clock
                    above = takewhile(lambda n, first=first: clocks[n] < first, active)  # type: ignore[misc]
                    parents[new] = number if step == "after" else [0, *above][-1]
                    clocks[new] = first
                    if step == "cell":
                        cells[new] = cell
                said[new] = prompt, answer
                path = path_to(parents, new)
                assert [*sent(engine), answer] == [text for n in path for text in said[n]]
                assert numbers(chat)[: len(path)] == path
            case "fail" | "empty":
                text = TOO_LONG if step == "fail" else prompt
                chat.stream(text).future.exception()
                until(lambda: len(list(chat._branches)) == len(parents))
                assert numbers(chat) == before
            case "choose" if number:
                chat.choose(number)
                path = path_to(parents, number)
                assert numbers(chat)[: len(path)] == path
            case "remove" if number:
                take_out(parents, number)
                cells.pop(number, None)
                chat.remove(number)
            case "forget":
                for stale in [n for n, cell in cells.items() if cell == pick % 3]:
                    take_out(parents, stale)
                    del cells[stale]
                chat.forget(lambda origin, cell=pick % 3: origin == cell)  # type: ignore[misc]
            case "reset":
                parents.clear()
                cells.clear()
                chat.reset()
        engine.replies.clear()
        active = numbers(chat)
        assert [turn.parent for turn in chat.turns] == [parents[n] for n in active]
        assert not active or active[-1] not in parents.values()  # it goes on to an end
        for exchange in chat.exchanges:
            same = [n for n, p in parents.items() if p == exchange.parent]
            assert exchange.siblings == tuple(sorted(same))
        for n, parent in parents.items():
            turn = chat.turn(n)
            assert (turn.parent, turn.prompt, turn.completion.text) == (parent, *said[n])


def take_out(parents: dict[int, int], number: int) -> None:
    """What followed a turn follows the one before it."""
    parent = parents.pop(number)
    parents.update({child: parent for child, before in parents.items() if before == number})


def path_to(parents: dict[int, int], number: int) -> list[int]:
    path: list[int] = []
    while number:
        path.insert(0, number)
        number = parents[number]
    return path
