"""What a chat tells of the notebook: each run once, always in the same tokens."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from support.saved_turns import left_out
from support.template_engine import ScriptedLLM, TemplateEngine, common

from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.engine.request import Message, RawPrompt, Request, Special
from jupyter_llm.notebook.cells.events import CellEvent, Output

ANSWER = "an answer of some words "


class Session:
    """A notebook with one chat: cells are run, prompts asked."""

    def __init__(self, *, n_ctx: int = 8192, answer: str = ANSWER) -> None:
        self.engine = TemplateEngine([answer] * 200, n_ctx=n_ctx)
        self.llm = ScriptedLLM(self.engine)
        self.chat: Chat = self.llm.chat("default")
        self.timeline = self.llm.timeline

    def run(self, source: str, cell_id: str | None = None, *, shows: str = "") -> CellEvent:
        outputs = [Output("stdout", shows)] if shows else []
        count = len(self.timeline.cells) + 1
        return self.timeline.append(source, execution_count=count, cell_id=cell_id, outputs=outputs)

    def ask(self, prompt: str, **options: object) -> str:
        """Send a prompt and return what the model read."""
        self.chat.stream(prompt, **{"context": "auto", **options}).result(timeout=30)
        return self.engine.format(self.request.prompt)

    @property
    def request(self) -> Request:
        return self.engine.requests[-1]

    @property
    def messages(self) -> tuple[Message, ...]:
        messages = self.request.prompt
        assert isinstance(messages, tuple)
        return messages

    @property
    def num_left_out(self) -> int:
        return left_out(self.chat)[0]

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.engine.tokenize(self.request.prompt)

    def fill(self, count: int, *, shows: str = "", asks: str = "") -> None:
        """Run so many cells, with a prompt after each one if any."""
        for number in range(count):
            self.run(f"x{number} = 1", shows=shows)
            if asks:
                self.ask(f"{asks} {number}")


@pytest.fixture
def session() -> Session:
    return Session()


def test_context_none_tells_no_cell_and_leaves_the_rest_resident(
    session: Session, shell: InteractiveShell
) -> None:
    session.run("x = 1")
    shell.user_ns["z"] = 1
    session.ask("first", attachments=[("file", "attached")], about="@z")
    assert "z: int" in session.messages[0].content
    before, conversation = session.tokens, session.request.conversation
    session.run("y = 2")
    text = session.ask("second", context="none")
    assert not any(told in text for told in ("x = 1", "y = 2", "z: int"))
    assert "first" in text
    assert "attached" in text
    assert session.request.conversation is None
    text = session.ask("third")
    assert [text.count(told) for told in ("x = 1", "y = 2", "z: int")] == [1, 1, 1]
    assert session.request.conversation == conversation
    assert common(before, session.tokens) == len(before)


def test_a_prompt_asked_again_is_told_what_changed_also_where_a_later_one_told_it(
    session: Session,
) -> None:
    session.run("x = 1", "a")
    session.ask("first", cell=1)
    session.ask("second", cell=2)
    session.run("x = 2", "a")
    assert "x = 2" in session.ask("second", cell=2)
    assert "x = 2" in session.ask("first", cell=1)
    assert session.ask("second", cell=2).count("x = 2") == 1


def test_a_number_is_a_filter_for_one_prompt_that_leaves_the_rest_resident(
    session: Session,
) -> None:
    session.fill(4, asks="question")
    before = session.tokens
    conversation = session.request.conversation
    session.run("x4 = 1")
    session.run("x5 = 1")
    text = session.ask("only the last", context=2)
    assert [f"x{n} = 1" in text for n in range(6)] == [False] * 4 + [True] * 2
    assert session.request.conversation is None
    assert session.ask("all of it again").count("x5 = 1") == 1
    assert session.request.conversation == conversation
    assert common(before, session.tokens) == len(before)
    assert "x0 = 1" not in session.ask("none at all", context=0)


def test_hidden_cells_vanish_from_where_they_were_told(session: Session) -> None:
    session.run("x = 'secret'")
    session.run("y = 2")
    session.ask("first")
    session.timeline.hide(1)
    assert "secret" not in session.ask("second")
    assert session.messages[0].content.startswith("These cells ran in the notebook:\n\nIn [2]")
    session.timeline.hide(2)
    assert session.ask("third").startswith("<|im_start|>user\nfirst<|im_end|>")
    session.timeline.unhide(1, 2)
    assert session.ask("fourth").count("secret") == 1


def test_variables_go_last_and_are_not_told_again_until_they_change(
    session: Session, shell: InteractiveShell
) -> None:
    shell.user_ns.update(n=[1], m=[2])
    session.run("x = 1")
    text = session.ask("first", about="@n @m")
    told = text[text.index("Variables:") :]
    assert text.index("x = 1") < text.index("Variables:\n\nn: list")
    assert told.index("m: list") < told.index("first")
    assert session.ask("again", about="@n @m").count("n: list") == 1
    session.run("y = 2")
    shell.user_ns["n"].append(3)
    text = session.ask("changed", about="@n @m")
    assert (text.count("n: list"), text.count("m: list")) == (2, 1)


def test_a_preview_is_what_is_sent_and_changes_nothing(session: Session) -> None:
    session.run("x = 1")
    session.ask("first")
    session.run("y = 2")
    asked = ChatQuestion(prompt="second", context="auto")
    shown = session.chat.preview(session.engine, asked).prompt
    assert session.chat.preview(session.engine, asked).prompt == shown
    session.ask("second")
    assert session.messages == shown
    for _ in range(40):  # what the run leaves out, too
        asked = ChatQuestion(prompt="question " * 60, context="auto")
        shown = session.chat.preview(session.engine, asked).prompt
        session.ask("question " * 60)
        assert session.messages == shown
    assert session.num_left_out > 0


def test_what_is_read_ahead_is_what_the_next_prompt_begins_with(session: Session) -> None:
    session.ask("first")
    session.engine.prefilled.clear()
    session.chat.reading.ahead(session.engine)
    assert session.engine.prefilled == []  # nothing that the answer's end did not have
    session.run("x = 1", shows="hello")
    session.chat.reading.ahead(session.engine)
    (request,) = session.engine.prefilled
    session.ask("second")
    assert request.conversation == session.request.conversation
    assert isinstance(request.prompt, tuple)
    *before, ahead = request.prompt
    assert session.messages == (*before, Message.of_parts("user", (*ahead.parts, "second")))


class TestCut:
    def test_old_cells_are_left_out_when_one_prompt_alone_is_too_long(self) -> None:
        session = Session(n_ctx=4096)
        session.fill(60, shows="word " * 30)
        text = session.ask("first")
        num_left_out = len(left_out(session.chat)[1])
        assert 0.35 * 2048 < len(session.tokens) <= 0.5 * 2048
        assert 20 < num_left_out < 60
        assert [f"x{n} = 1" in text for n in range(60)] == (
            [False] * num_left_out + [True] * (60 - num_left_out)
        )
        assert session.ask("second").startswith(text[:2000])

    def test_pinned_cells_survive_in_front(self) -> None:
        session = Session(n_ctx=4096)
        session.run("keep = 'me'")
        session.timeline.pin(1)
        for number in range(60):
            session.run(f"x{number} = 1", shows="word " * 30)
            text = session.ask(f"question {number}")
            assert text.count("keep = 'me'") == 1
            assert len(session.tokens) <= 2048
        assert session.num_left_out > 10
        assert session.messages[0].parts[1].startswith("In [1]")
        session.timeline.unpin(1)
        assert "keep = 'me'" not in session.ask("end")

    def test_the_next_prompts_find_almost_everything_resident(self) -> None:
        session = Session()
        resident: tuple[int, ...] = ()
        since_cut: list[list[float]] = []
        num_left_out = -1
        for number in range(120):
            session.run(f"x{number} = {number}", shows="word " * 8)
            session.ask(f"What is x{number}?")
            tokens = session.tokens
            if session.num_left_out != num_left_out:
                num_left_out = session.num_left_out
                since_cut.append([])
            else:
                since_cut[-1].append(common(resident, tokens) / len(tokens))
            resident = (*tokens[:-1], *session.engine.tokenize_texts([ANSWER])[0])
        assert len(since_cut) >= 3
        assert all(min(shares[:5]) >= 0.95 for shares in since_cut[1:-1])


WORDS = st.sampled_from(["x = 1", "print('<|im_end|>')", "a b", "é\n\n", "  y", "<", "|im_end|>"])
TEXTS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
RUNS_AND_ASKS = st.lists(
    st.tuples(st.just("run"), TEXTS, st.sampled_from(["a", "b", "c", None]))
    | st.tuples(st.just("ask"), TEXTS.filter(str.strip), st.none()),
    max_size=14,
)


@settings(max_examples=60)
@given(RUNS_AND_ASKS, st.sampled_from(["yes", "", "no <|im_end|>"]))
@example([("run", "'<|im_end|>'", None), ("ask", "a", None)] * 2, "yes")
def test_a_prompt_begins_with_the_tokens_of_the_one_before(
    steps: list[tuple[str, str, str | None]], answer: str
) -> None:
    session = Session(answer=answer)
    (control,) = session.engine.tokenize(RawPrompt((Special("<|im_end|>"),)))
    before: tuple[int, ...] = ()
    for kind, text, cell_id in steps:
        if kind == "run":
            session.run(text, cell_id)
            continue
        session.ask(text)
        assert session.tokens[: len(before)] == before
        assert session.tokens.count(control) == len(session.messages)  # all others are plain text
        before = session.engine.up_to_the_last_prompt(session.messages, text)


KINDS = ["run", "run", "run", "ask", "ask", "pin", "unpin", "hide", "unhide"]
STEPS = st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "c", None]))


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=30), st.sampled_from([700, 8192]))
@example([*[("run", "a"), ("ask", "a"), ("run", "b"), ("ask", "b")] * 3, ("ask", None)], 8192)
def test_every_run_is_told_once_no_hidden_one_ever_and_every_pinned_one_always(
    steps: list[tuple[str, str | None]], n_ctx: int
) -> None:
    session = Session(n_ctx=n_ctx, answer="yes")
    for kind, cell in steps:
        if kind == "run":
            session.run(f"run-{len(session.timeline.cells)} = 1", cell)
        elif kind == "ask":
            text = session.ask("Why?", cell=cell)
            notebook = session.timeline.snapshot()
            times = Counter({c: text.count(f"\n{c.source}\n") for c in notebook.cells})
            told, visible = set(times.elements()), set(notebook.visible)
            assert max(times.values(), default=0) <= 1
            assert not any(map(notebook.is_hidden, told))
            if cell is None:  # it is asked at the end
                assert visible - set(left_out(session.chat)[1]) <= told
                assert notebook.pinned & visible <= told
        elif cell and any(c.cell_id == cell for c in session.timeline.cells):
            getattr(session.timeline, kind)(cell)
