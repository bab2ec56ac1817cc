"""Answers for which a model may call functions of the user, each with the user's consent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import TYPE_CHECKING

from jupyter_llm.ask.consent import Consent
from jupyter_llm.ask.tools import CallReader, ToolCall, call_message, result_message
from jupyter_llm.ask.user_functions import UserTool, UserTools, arguments_text
from jupyter_llm.engine.completion import Chunk, Completion
from jupyter_llm.engine.request import Message
from jupyter_llm.engine.stream import PartedStream, Stream
from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from jupyter_llm.engine.request import Request

_MOST_ROUNDS = 8  # of calls, for one prompt
_REFUSED = "The user does not allow this call."
_CONSENT = Consent()


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


class ToolStream(PartedStream):
    """An answer for which a model may call functions of the user; its text has no calls.

    `prompt` is repeated after the results of calls. `ask` sends the request of a part. The
    functions run in the thread that reads the chunks. After eight rounds of calls, or if the model
    repeats its calls, it has to answer in words.

    Raises
    ------
    OptionError
        The user must be asked, and the thread is not the main one.
    NotAllowedError
        The user must be asked, and nobody can answer.
    """

    def __init__(
        self, prompt: str, tools: UserTools, request: Request, ask: Callable[[Request], Stream]
    ) -> None:
        super().__init__(request)
        self._prompt, self._tools, self._ask = prompt, tools, ask
        self._calls: list[FunctionCall] = []

    def _parts(self, tick_s: float | None) -> Iterator[Chunk]:
        tools, num_rounds, is_last = self._tools, 0, False
        if tools.confirm and threading.current_thread() is not threading.main_thread():
            raise OptionError("Read an answer with tools= in the main thread, where it can ask.")
        assert isinstance(self._first.prompt, tuple)
        messages = tools.use.described(self._first.prompt)
        while True:
            constraint = tools.use.words() if is_last else tools.use.constraint()
            self.request = replace(self._first, prompt=messages, constraint=constraint)
            text, asked = yield from self._read(tick_s)
            if not asked or is_last or self._is_over:
                break
            num_rounds += 1
            made = {(one.name, one.arguments) for one in self._calls}
            is_repeated = all((one.name, one.arguments) in made for one in asked)
            is_last = is_repeated or num_rounds == _MOST_ROUNDS
            if is_repeated:
                continue
            results = [_result(tools.named[one.name], one, confirm=tools.confirm) for one in asked]
            for one, result in zip(asked, results, strict=True):
                self._calls.append(FunctionCall(one.name, one.arguments, result))
            # Small models call again instead of answering unless the prompt follows the results.
            again = f"{result_message(results).content}\n\n{self._prompt}"
            messages = (*messages, call_message(text, asked), Message("user", again))

    def _read(self, tick_s: float | None) -> Generator[Chunk, None, tuple[str, list[ToolCall]]]:
        """Have a part written, yield its text, and return that and its complete calls."""
        reader, before = CallReader(self._tools.named), self.written
        gap = "\n\n" if before else ""
        with self._ask(self.request) as stream:
            self._stream = stream
            for chunk in chain(stream.chunks(tick_s), (None,)):
                text, _ = reader.feed(chunk.text if chunk else "", is_last=chunk is None)
                if text:
                    self._texts.append(gap + text)
                    text, gap = gap + text, ""
                yield Chunk(text, chunk.reasoning if chunk else "")
            completion = stream.result()
        values = {one.name: getattr(completion, one.name) for one in fields(completion)}
        values["text"] = self.written
        if before:  # the record is of the last part alone
            values["provenance"] = None
        self._completion = ToolAnswer(**values, calls=tuple(self._calls))
        self._num_tokens += completion.usage.completion_tokens
        calls = reader.calls[:-1] if reader.is_within else reader.calls
        return self.written[len(before) :].strip(), calls


def _result(one: UserTool, call: ToolCall, *, confirm: bool) -> str:
    """Run a call if the user allows it, and return the text that the model reads."""
    shown = f"{call.name}({arguments_text(call)})"
    if not confirm or _CONSENT.known(one.key):
        print(f"The model calls {shown}")  # noqa: T201  as `input` shows the others
        return one.result(call)
    question = f"The model wants to call {shown}\nRun it?"
    is_allowed = _CONSENT.allows(one.key, question, "confirm=False runs all calls.")
    return one.result(call) if is_allowed else _REFUSED
