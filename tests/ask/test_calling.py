"""A model calls functions of the user, with consent, until it answers in words."""

import asyncio
import builtins
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.scripted import ScriptedEngine, messages_of
from support.template_engine import ScriptedLLM

from jupyter_llm.ask.tools import ToolCall
from jupyter_llm.errors import JupyterLLMError, NotAllowedError, OptionError


class Session:
    """A model that replies from a script, and a user who answers from one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = ScriptedEngine()
        self.llm = ScriptedLLM(self.engine)
        self.consents: list[str] = []
        self.questions: list[str] = []
        monkeypatch.setattr(builtins, "input", self._answer)

    def _answer(self, question: str) -> str:
        self.questions.append(question)
        if not self.consents:
            raise EOFError
        return self.consents.pop(0)

    def ask(self, function: Callable[..., Any], *replies: str, **options: Any) -> Any:
        self.engine.replies.extend(replies)
        return self.llm("How warm is it?", tools=[function], **options)

    @property
    def last_text(self) -> str:
        return messages_of(self.engine.requests[-1].prompt)[-1].content


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    return Session(monkeypatch)


def call(**arguments: str) -> str:
    pairs = ", ".join(f'"{name}": {value}' for name, value in arguments.items())
    return ToolCall("warmth", f"{{{pairs}}}").text


def make(result: Any = 21) -> tuple[Callable[..., Any], list[str]]:
    """Return a new function, which no consent is remembered for, and the list of its calls."""
    ran: list[str] = []

    def warmth(city: str = "Oslo") -> Any:
        ran.append(city)
        if isinstance(result, BaseException):
            raise result
        return result

    return warmth, ran


def test_an_allowed_call_runs_and_the_model_reads_its_result(session: Session) -> None:
    warmth, ran = make()
    session.consents = ["yes"]
    answer = session.ask(warmth, call(city='"Rome"'), "It has 21 degrees.")
    assert (answer.text, ran) == ("It has 21 degrees.", ["Rome"])
    assert [(one.name, one.arguments, one.result) for one in answer.calls] == [
        ("warmth", '{"city": "Rome"}', "21")
    ]
    assert "<tool_response>\n21\n</tool_response>" in session.last_text
    assert session.last_text.endswith("How warm is it?")
    assert "warmth(city='Rome')" in session.questions[0]


def test_a_long_argument_is_shown_whole_before_it_is_allowed(session: Session) -> None:
    warmth, _ = make()
    city = "a" * 600 + "; the end"
    session.consents = ["no"]
    session.ask(warmth, call(city=f'"{city}"'), "Done.", max_tokens=1000)
    assert city in session.questions[0]


@pytest.mark.parametrize("consent", ["no", "", "never", "what?"])
def test_a_refused_call_does_not_run_and_the_model_reads_that(
    session: Session, consent: str
) -> None:
    warmth, ran = make()
    session.consents = [consent]
    answer = session.ask(warmth, call(), "I do not know.")
    assert not ran
    assert answer.calls[0].result in session.last_text
    assert "not allow" in answer.calls[0].result


@pytest.mark.parametrize(("consent", "num_runs"), [("always", 2), ("never", 0)])
def test_always_and_never_hold_for_later_calls_of_this_function_alone(
    session: Session, consent: str, num_runs: int
) -> None:
    warmth, ran = make()
    session.consents = [consent]
    for _ in range(2):
        session.ask(warmth, call(), "Done.")
    assert (len(ran), len(session.questions)) == (num_runs, 1)
    namesake, ran = make()
    session.consents = ["no"]
    session.ask(namesake, call(), "Done.")
    assert (ran, len(session.questions)) == ([], 2)


def test_a_call_that_runs_without_a_question_is_shown(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    warmth, ran = make()
    session.ask(warmth, call(city='"\\u001b[2J"'), "Done.", confirm=False)
    assert (ran, session.questions) == (["\x1b[2J"], [])
    assert capsys.readouterr().out == "The model calls warmth(city='\\x1b[2J')\n"


def test_nothing_runs_if_nobody_can_be_asked(session: Session) -> None:
    warmth, ran = make()
    with pytest.raises(NotAllowedError, match="confirm=False"):
        session.ask(warmth, call())
    assert not ran


def test_nothing_is_asked_in_another_thread(session: Session) -> None:
    warmth, ran = make()
    errors: list[JupyterLLMError] = []

    def ask() -> None:
        try:
            session.ask(warmth, call())
        except JupyterLLMError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert isinstance(errors[0], OptionError)
    assert not ran


def test_an_interrupt_in_a_function_ends_the_prompt(session: Session) -> None:
    warmth, _ = make(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.ask(warmth, call(), confirm=False)


def test_an_error_of_a_function_is_its_result(session: Session) -> None:
    warmth, _ = make(ValueError("no\nnetwork"))
    answer = session.ask(warmth, call(), "Not today.", confirm=False)
    assert (answer.text, answer.calls[0].result) == ("Not today.", "ValueError: no network")


def test_a_stream_has_all_words_and_no_call(session: Session) -> None:
    warmth, ran = make()
    session.engine.replies.extend([f"Let me see.\n{call()}", "It has 21 degrees."])
    stream = session.llm.stream("How warm is it?", tools=[warmth], confirm=False)
    text = "".join(chunk.text for chunk in stream)
    assert text == stream.result().text == "Let me see.\n\nIt has 21 degrees."
    assert ran == ["Oslo"]


def test_a_chat_remembers_an_answer_and_shows_no_call(session: Session) -> None:
    warmth, ran = make()
    session.engine.replies.extend([call(), "It has 21 degrees.", "Yes."])
    chat = session.llm.chat("weather")
    chat("How warm is it?", tools=[warmth], confirm=False)
    chat("Is that warm?")
    assert [turn.completion.text for turn in chat.turns] == ["It has 21 degrees.", "Yes."]
    earlier = messages_of(session.engine.requests[-1].prompt)
    assert not any("tool_call" in one.content for one in earlier)
    assert ran == ["Oslo"]


def test_an_interrupt_or_an_error_leaves_no_prompt_of_a_chat_unanswered(session: Session) -> None:
    chat = session.llm.chat("weather")
    for stop in (KeyboardInterrupt(), NotAllowedError("no")):
        warmth, _ = make(KeyboardInterrupt())
        session.engine.replies.extend([call()])
        is_confirmed = isinstance(stop, NotAllowedError)  # nobody answers
        with pytest.raises(type(stop)):
            chat("How warm is it?", tools=[warmth], confirm=is_confirmed)
        assert not chat.is_answering
    assert chat.turns == []


def test_a_stream_that_nobody_reads_leaves_no_prompt_of_a_chat_unanswered(
    session: Session,
) -> None:
    chat = session.llm.chat("weather")
    stream = chat.stream("How warm is it?", tools=[make()[0]])
    assert chat.is_answering
    del stream
    assert not chat.is_answering


def test_no_call_of_a_cancelled_answer_runs(session: Session) -> None:
    warmth, ran = make()
    session.engine.replies.append(call())
    stream = session.llm.stream("How warm is it?", tools=[warmth], confirm=False)
    for _ in stream:
        stream.cancel()
    assert (stream.result().finish_reason, ran) == ("cancelled", [])


def test_the_tokens_of_all_rounds_count(session: Session) -> None:
    answer = session.ask(make()[0], call(), "Done.", confirm=False)
    assert answer.usage.completion_tokens == len(call()) + len("Done.")


def test_nobody_runs_the_calls_of_many_prompts_or_of_a_task_that_waits(session: Session) -> None:
    tools: Any = {"tools": [make()[0]]}
    with pytest.raises(OptionError, match="one prompt"):
        session.llm.batch(["How warm is it?"], **tools)
    with pytest.raises(OptionError, match="one prompt"):
        asyncio.run(session.llm.acomplete("How warm is it?", **tools))


def test_a_call_that_was_cut_off_does_not_run(session: Session) -> None:
    warmth, ran = make()
    answer = session.ask(warmth, call(city='"Rome"')[:60], confirm=False)
    assert (ran, answer.calls) == ([], ())


def test_a_model_that_repeats_its_call_has_to_answer(session: Session) -> None:
    warmth, ran = make()
    answer = session.ask(warmth, call(), call(), "21 degrees.", confirm=False)
    assert (answer.text, ran) == ("21 degrees.", ["Oslo"])


def test_rounds_of_calls_are_bounded(session: Session) -> None:
    warmth, ran = make()
    calls = [call(city=f'"{number}"') for number in range(20)]
    answer = session.ask(warmth, *calls, confirm=False)
    assert len(ran) == len(answer.calls) == 8
    assert len(session.engine.requests) == 9


def test_several_calls_of_one_answer_run_in_order(session: Session) -> None:
    warmth, ran = make()
    session.ask(warmth, call(city='"A"') + "\n" + call(city='"B"'), "Done.", confirm=False)
    assert ran == ["A", "B"]


@pytest.mark.parametrize("options", [{"choices": ["a", "b"]}, {"raw": True}])
def test_a_shape_or_raw_text_with_tools_is_refused(
    session: Session, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match="tools="):
        session.ask(make()[0], **options)
    assert not session.engine.requests


def test_two_functions_of_one_name_are_refused(session: Session) -> None:
    with pytest.raises(OptionError, match="Two tools have the name warmth"):
        session.llm("How warm is it?", tools=[make()[0], make()[0]])


def test_a_function_in_place_of_a_list_is_refused(session: Session) -> None:
    function: Any = make()[0]
    with pytest.raises(OptionError, match="list of functions"):
        session.llm("How warm is it?", tools=function)
