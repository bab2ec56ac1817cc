"""A prompt is read while it is written: sent, it is answered as if nothing had to be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.engines import num_read, resident_tokens, wait_until_idle
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.database import store
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.lane import Lane
from jupyter_llm.engine.local.sched.scheduler import Step
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message

TALK = "Tell me about the lighthouse on the hill above the old harbour, and who keeps it."
FOLLOW_UP = "And who kept it before her, when the harbour was still full of ships?"
A_HANDFUL = 3
PARAMS = SamplingParams(max_tokens=12, ignore_eos=True, temperature=1.0)


class Writer:
    """Somebody who writes prompts for a chat and sends them."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat

    @property
    def engine(self) -> LocalEngine:
        engine = llm.current.resident
        assert isinstance(engine, LocalEngine)
        return engine

    @staticmethod
    def asked(text: str, **options: object) -> ChatQuestion:
        options = {"context": "all", "params": PARAMS, **options}
        return ChatQuestion(prompt=text, **options)  # type: ignore[arg-type]

    def write(self, text: str, **options: object) -> None:
        """Let a draft be read, and wait until it is."""
        self.chat.reading.draft(self.asked(text, **options))
        wait_until_idle(self.engine)

    def send(self, text: str, **options: object) -> Completion:
        completion = self.chat.send(self.asked(text, **options))[0].result(timeout=60)
        self.rest()
        return completion

    def rest(self) -> None:
        """Wait until the end of an answer is read, too."""
        self.engine.status()  # once the engine answers, it knows what to read
        wait_until_idle(self.engine)


@pytest.fixture
def writer(shell: InteractiveShell) -> Writer:
    """One who has had an answer."""
    llm.current.get()
    writer = Writer(llm.chat("default"))
    writer.send(TALK)
    return writer


def test_a_draft_that_is_sent_has_been_read(writer: Writer) -> None:
    writer.write(FOLLOW_UP)
    assert num_read(writer.send(FOLLOW_UP)) <= A_HANDFUL


def test_key_by_key_only_what_is_new_is_read(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    learn = Lane.learn

    def counting(lane: Lane, step: Step, step_s: float) -> None:
        read.append(step.num_tokens)
        learn(lane, step, step_s)

    monkeypatch.setattr(Lane, "learn", counting)
    for end in range(1, len(FOLLOW_UP) + 1):
        read.clear()
        writer.write(FOLLOW_UP[:end])
        # The last word may be cut otherwise, and behind it stands the template's closing.
        assert sum(read) <= len(writer.engine.tokenize_texts([FOLLOW_UP[:end]])[0][-8:]) + 12
    assert num_read(writer.send(FOLLOW_UP)) <= A_HANDFUL


def test_a_draft_is_the_prompt_that_is_sent(writer: Writer, shell: InteractiveShell) -> None:
    run(shell, "prices = {'tea': 3, 'milk': 2}\nprices", store_history=True)
    text = "What is the price of tea in prices?"
    more = {"attachments": [("In [9]", "tea = 3")], "about": text}
    writer.write(text, **more)
    assert num_read(writer.send(text, **more)) <= A_HANDFUL
    assert {part.variable for part in writer.chat.turns[-1].parts} >= {"prices"}


def test_a_name_of_what_cells_use_changes_nothing_before_it(
    writer: Writer, shell: InteractiveShell
) -> None:
    run(shell, "prices = {'tea': 3, 'milk': 2}\nstock = [1, 2, 3]", store_history=True)
    begun, text = "Of prices, what is", "Of prices, what is the cheapest, and is it in stock?"
    writer.write(begun, about=begun)
    before = writer.engine.count_tokens(
        writer.chat.preview(writer.engine, writer.asked(begun, about=begun)).prompt
    )
    usage = writer.send(text, about=text).usage
    num_closing = writer.engine.count_tokens((Message("user", ""),))
    assert usage.cached_tokens >= before - num_closing


def test_no_code_is_run_for_a_draft(writer: Writer, shell: InteractiveShell) -> None:
    run(
        shell,
        "class Loud:\n    num_asked = 0\n    def __repr__(self):\n"
        "        Loud.num_asked += 1\n        return 'loud'\nthing = Loud()",
        store_history=True,
    )
    text = "What is the thing?"
    loud = shell.user_ns["Loud"]
    before = loud.num_asked
    writer.write(text, about=text)
    assert loud.num_asked == before
    writer.send(text, about=text)
    assert loud.num_asked == before + 1


def test_nothing_of_a_draft_is_kept(writer: Writer, shell: InteractiveShell, home: Path) -> None:
    before = writer.chat.exchanges
    secret = "the treasure lies below the seventh stone of the lighthouse " * 12
    writer.write(secret)
    assert writer.chat.exchanges == before
    assert [slot.is_private for slot in writer.engine._model.lanes.all[0].slots.used[:1]] == [True]
    llm.unload()  # what is to be written is
    assert store().flush(20)
    tokens = b"seventh stone"
    assert not any(tokens in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_draft_loads_no_model(shell: InteractiveShell) -> None:
    chat = llm.chat("default")
    chat.reading.draft(Writer.asked(FOLLOW_UP))
    assert llm.current.resident is None
    llm.current.get()
    num_before = resident_tokens(llm.status().engine)
    chat.reading.draft(Writer.asked(FOLLOW_UP, model="another one"))
    assert resident_tokens(llm.status().engine) == num_before


@pytest.mark.parametrize(
    "more", [{"after": 0}, {"after": 1}, {"is_new": True}, {"context": 0}], ids=str
)
def test_a_draft_that_does_not_go_on_leaves_what_was_said_resident(
    writer: Writer, shell: InteractiveShell, more: dict[str, object]
) -> None:
    run(shell, "x = 'a cell that is told'", store_history=True)
    writer.send(FOLLOW_UP)
    before = max(resident_tokens(writer.engine.status()))
    writer.write("Something else entirely", **more)
    usage = writer.send("And then?").usage
    assert usage.cached_tokens >= before - 1
