"""Answers for which a model may call functions of the user, each with the user's consent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.tools import CallReader, ToolCall, ToolUse, call_message, result_message
from jupyter_llm.ask.user_functions import UserFunction, arguments_text
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Message, raw_text
from jupyter_llm.errors import NotAllowedError, OptionError

if TYPE_CHECKING:
    from jupyter_llm.ask.log import AnswerLog
    from jupyter_llm.ask.question import Question
    from jupyter_llm.engine.base import Engine

_MOST_ROUNDS = 8  # of calls, for one prompt
_REFUSED = "The user does not allow this call."
_CHOICES = "Run it? yes, always, no or never: "
# The answers "always" and "never", by function, as long as the process lives.
_ANSWERS: dict[Callable[..., Any], bool] = {}


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function by a model: the JSON of its arguments, and its result as a text."""

    name: str
    arguments: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer(Completion):
    """The last answer of a model that may call functions; `calls` are those it made before."""

    calls: tuple[FunctionCall, ...] = ()


def answer_with_tools(
    question: Question[Any],
    functions: Iterable[Callable[..., Any]],
    engine: Engine,
    answers: AnswerLog,
    *,
    confirm: bool,
) -> ToolAnswer:
    """Answer a question; the model may call functions and reads their results.

    The functions run in this thread. After eight rounds of calls, or if the model repeats its
    calls, it has to answer in words.

    Parameters
    ----------
    confirm : bool
        Whether to ask the user before each call.

    Raises
    ------
    OptionError
        If the question has a shape or is raw text, or a function cannot be a tool.
    NotAllowedError
        If the user must be asked, and nobody can answer.
    """
    offered = [UserFunction(function) for function in functions]
    use = ToolUse(tools=[one.tool for one in offered])
    named = {one.tool.name: one for one in offered}
    prompt = question.request.prompt
    if question.shape is not None or not isinstance(prompt, tuple):
        raise OptionError("tools= are for chat prompts without a shape (schema=, choices=, …).")
    if confirm and threading.current_thread() is not threading.main_thread():
        raise OptionError("Call llm(…, tools=…) in the main thread, where it can ask you.")
    messages, calls = use.described(prompt), list[FunctionCall]()
    num_rounds, is_last = 0, False
    while True:
        constraint = use.words() if is_last else use.constraint()
        request = replace(question.request, prompt=messages, constraint=constraint)
        completion = ask(engine, request, question.origin, answers).result()
        text, asked = _read(completion, named)
        if not asked or is_last:
            break
        num_rounds += 1
        made = {(one.name, one.arguments) for one in calls}
        is_repeated = all((one.name, one.arguments) in made for one in asked)
        is_last = is_repeated or num_rounds == _MOST_ROUNDS
        if is_repeated:
            continue
        results = [_result(named[one.name], one, confirm=confirm) for one in asked]
        for one, result in zip(asked, results, strict=True):
            calls.append(FunctionCall(one.name, one.arguments, result))
        # Small models call again instead of answering unless the prompt follows the results.
        again = f"{result_message(results).content}\n\n{raw_text(question.prompt)}"
        messages = (*messages, call_message(text, asked), Message("user", again))
    values = {one.name: getattr(completion, one.name) for one in fields(completion)}
    return ToolAnswer(**values | {"text": text}, calls=tuple(calls))


def _read(completion: Completion, names: Iterable[str]) -> tuple[str, list[ToolCall]]:
    """Return an answer's text and its complete calls."""
    reader = CallReader(names)
    text, _ = reader.feed(completion.text, is_last=True)
    return text, reader.calls[:-1] if reader.is_within else reader.calls


def _result(one: UserFunction, call: ToolCall, *, confirm: bool) -> str:
    """Run a call if the user allows it, and return the text that the model reads."""
    shown = f"{call.name}({arguments_text(call)})"
    is_allowed = _ANSWERS.get(one.function) if confirm else True
    if is_allowed is None:
        is_allowed = _asked(one.function, shown)
    elif is_allowed:
        print(f"The model calls {shown}")  # noqa: T201  as `input` shows the others
    return one.result(call) if is_allowed else _REFUSED


def _asked(function: Callable[..., Any], shown: str) -> bool:
    """Return whether the user allows a call."""
    try:
        answer = input(f"The model wants to call {shown}\n{_CHOICES}").strip().lower()
    except (EOFError, OSError, NotImplementedError):
        message = f"Nobody can be asked whether {shown} may run. confirm=False runs all calls."
        raise NotAllowedError(message) from None
    if answer in ("always", "never"):
        _ANSWERS[function] = answer == "always"
    return answer in ("y", "yes", "once", "always")
