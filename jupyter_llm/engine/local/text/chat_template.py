"""From messages to text and tokens: the chat template that the model file carries.

The template comes from a file somebody downloaded, so it runs in jinja2's sandbox, and unless it is
a simple one in a process with limits; see `rendering`.
"""

from __future__ import annotations

import json
import logging
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.workers import start_child
from jupyter_llm.engine.local.text import plain_template, rendering
from jupyter_llm.engine.request import Message

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The process keeps its limits by itself, where it can measure what it takes. This one is for others
# and would be too short for one that starts on a busy machine.
_PATIENCE_S = 20.0 if hasattr(signal, "setitimer") else 1.0
_MAX_REASON = 200  # characters
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)


class Tokenize(Protocol):
    """A model's tokenizer. Special: `<|im_end|>` and the like count as one token each."""

    def __call__(self, text: str, *, is_special: bool) -> Sequence[int]:
        """The tokens of a text."""


@dataclass(frozen=True, slots=True)
class _TextPiece:
    text: str
    is_special: bool = True
    token_ids: tuple[int, ...] | None = None
    parts: tuple[str, ...] = ()

    def tokenize(self, tokenize: Tokenize) -> Sequence[int]:
        if self.token_ids:
            return self.token_ids
        texts = self.parts or (self.text,)
        return [i for text in texts for i in tokenize(text, is_special=self.is_special)]


def _message_piece(message: Message, shown: str) -> _TextPiece:
    """The piece of a message that is shown as it is or without the blanks around it."""
    parts = message.parts
    if parts and shown != message.content:
        parts = (parts[0].lstrip(), *parts[1:])
        parts = (*parts[:-1], parts[-1].rstrip())
        if "".join(parts) != shown:  # a whole part was blank
            parts = ()
    return _TextPiece(shown, is_special=False, token_ids=message.token_ids, parts=parts)


class _FailureError(Exception):
    """A template cannot be used, for these messages at least; says what it does."""


class _ExcessError(_FailureError):
    """A template takes more than it may, and would again."""

    def __init__(self, what: str) -> None:
        super().__init__(f"takes too much {what}")


class _Process:
    """The process in which templates are rendered; see `rendering`. Safe from any thread.

    It is started on first need and again when it is gone, and ends by itself with this one: a
    prompt may be read in the background to the last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, *request: object) -> dict[str, str]:
        """Its answer, or `_ExcessError` when it did not live to give one."""
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            # Twice, since somebody may have ended it who was short of memory.
            reply = self._reply(line) or self._reply(line)
        if not reply:
            raise _ExcessError("time")
        answer: dict[str, str] = json.loads(reply)
        if "excess" in answer:
            raise _ExcessError(answer["excess"])
        return answer

    def _reply(self, line: bytes) -> bytes:
        """Send a line to the process, and return its reply; empty if the process was killed.

        Raises `_ExcessError` if the process ended itself, as it does at its time limit.
        """
        process = self._process
        if process is None or process.poll() is not None:  # somebody else ended it
            self._end()
            process = self._process = start_child(
                sys.executable, rendering.__file__, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        timer = threading.Timer(_PATIENCE_S, process.kill)
        timer.start()
        reply = b""
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(OSError):
                process.stdin.write(line)
                process.stdin.flush()
                reply = process.stdout.readline()
        finally:  # after an interrupt, it answers what nobody waits for
            timer.cancel()
            code = 0 if reply.endswith(b"\n") else self._end()
        if code not in (0, -getattr(signal, "SIGKILL", 0)):
            raise _ExcessError("time")
        return b"" if code else reply

    def _end(self) -> int:
        """End the process, and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        process.communicate()
        return int(process.returncode)


_process = _Process()


class _Marks:
    """Stand-ins for some messages' contents, to find where a template puts them."""

    def __init__(self, messages: Sequence[Message], is_marked: Callable[[Message], bool]) -> None:
        self._start = f"\ue000{secrets.token_hex(8)}:"  # no message can hold it
        self._messages = messages
        marked = {n: f"{self._start}{n}\ue001" for n, one in enumerate(messages) if is_marked(one)}
        self._numbers = [*marked]
        self.contents = [marked.get(n, one.content) for n, one in enumerate(messages)]

    def split(self, marked: str, whole: str) -> list[_TextPiece] | None:
        """Cut the rendered text into template and messages.

        None if the template does more to a message than to trim it (it may leave out its
        thinking, say): its own tokens would then say something else than the text.
        """
        first, *others = marked.split(self._start)  # a pattern would be compiled for each prompt
        found = [other.partition("\ue001") for other in others]
        outer = [first, *(text for _, _, text in found)]
        if sorted(number for number, _, _ in found) != sorted(map(str, self._numbers)):
            return None
        numbers = [int(number) for number, _, _ in found]
        contents = [self._messages[number].content for number in numbers]
        for shown in (contents, [content.strip() for content in contents]):
            if whole == "".join(_interleave(outer, shown)):
                break
        else:
            return None
        pieces = [
            _message_piece(self._messages[number], text)
            for number, text in zip(numbers, shown, strict=True)
        ]
        template = [_TextPiece(text) for text in outer]
        return [piece for piece in _interleave(template, pieces) if piece.text]


def _interleave(outer: Sequence[T], inner: Sequence[T]) -> list[T]:
    """The items of both in turn, the outer ones at both ends."""
    pairs = zip(outer, inner, strict=False)  # there is one more outside
    return [*(item for pair in pairs for item in pair), outer[-1]]


class ChatTemplate:
    """A model's jinja2 chat template, ready to format messages.

    `bos` and `eos` are the texts of the model's begin and end tokens, which templates refer to.
    `control_texts` are the texts of its control tokens: a user's message that contains one is
    read as plain text, so that nobody ends a turn from inside a message.

    One that fails gives way to a generic one: for good if it takes too much or cannot be read, or
    for those messages that it refuses. `trouble` then says why. `is_plain` tells whether the latest
    messages became a dialogue in plain words, of which a model may write both sides.
    """

    def __init__(
        self, source: str, *, model: str, bos: str, eos: str, control_texts: Sequence[str] = ()
    ) -> None:
        self.trouble = ""
        self.is_plain = self.is_generic = False
        self._model = model
        self._control_texts = tuple(text for text in control_texts if text)
        is_chatml = "<|im_start|>" in self._control_texts  # what llama.cpp falls back to, too
        self._generic = _CHATML if is_chatml else plain_template.SOURCE
        self._program = (source, bos, eos)
        self._is_simple = rendering.is_simple(source)
        try:
            self._told(None)  # see that it can be read
        except _FailureError as failure:
            self._do_without(failure)

    def format(self, messages: Sequence[Message], *, think: bool | None = None) -> str:
        """The text the model reads, up to where its answer begins; see `SamplingParams.think`."""
        return self._render(messages, [message.content for message in messages], think=think)

    def tokenize(
        self, messages: Sequence[Message], tokenize: Tokenize, *, think: bool | None = None
    ) -> tuple[int, ...]:
        """Return the tokens that the model reads, up to the start of its answer.

        Template and ordinary messages are tokenized as one text. Three kinds of message stand
        apart: those the model wrote, which keep their own tokens, those that are made of parts,
        and those with the text of a control token in them; the latter two are tokenized as plain
        text.
        """
        program, pieces = self._program, self._pieces(messages, think)
        if self._program is not program:  # it was given up halfway
            pieces = self._pieces(messages, think)
        token_ids: list[int] = []
        for piece in pieces:
            token_ids += piece.tokenize(tokenize)
        return tuple(token_ids)

    def _pieces(self, messages: Sequence[Message], think: bool | None) -> list[_TextPiece]:  # noqa: FBT001
        whole = self.format(messages, think=think)
        render = partial(self._render, think=think)
        everything = _Marks(messages, lambda message: bool(message.content))
        # Control texts that the template did not write came out of the messages, perhaps only when
        # it put them together or took something out of them.
        num_control = self._num_control(render(messages, everything.contents))
        apart = _Marks(
            messages,
            lambda one: bool(one.token_ids or one.parts or self._num_control(one.content)),
        )
        for marks in (apart, everything):
            pieces = marks.split(render(messages, marks.contents), whole)
            if pieces is not None and num_control == sum(
                self._num_control(piece.text) for piece in pieces if piece.is_special
            ):
                return pieces
        if num_control == self._num_control(whole):
            return [_TextPiece(whole)]
        disarmed = [self._disarm(message.content) for message in messages]
        return [_TextPiece(render(messages, disarmed))]

    def _num_control(self, text: str) -> int:
        return sum(text.count(control_text) for control_text in self._control_texts)

    def _disarm(self, content: str) -> str:
        """Break up all that could become the text of a control token, with zero-width spaces."""
        for start in {text[0] for text in self._control_texts}:
            is_whole = start in self._control_texts  # a single letter cannot be broken up
            content = content.replace(start, "" if is_whole else f"{start}\u200b")
        return content

    def _render(
        self, messages: Sequence[Message], contents: Sequence[str], *, think: bool | None
    ) -> str:
        roles = [
            {"role": message.role, "content": content, **self._thoughts(message)}
            for message, content in zip(messages, contents, strict=True)
        ]
        self.is_plain = self._program[0] == plain_template.SOURCE
        self.is_generic = self.is_plain or self._program[0] == self._generic
        try:
            return self._told(roles, think=think)
        except _ExcessError as excess:
            self._do_without(excess)
        except _FailureError as failure:
            with suppress(_FailureError):  # some know of no system text
                return self._told(_without_system(roles), think=think)
            self._say(failure)
        self.is_plain, self.is_generic = self._generic == plain_template.SOURCE, True
        return rendering.rendered(rendering.compiled(self._generic, "", ""), roles)

    def _thoughts(self, message: Message) -> dict[str, str]:
        """Return the thoughts before a message, by the names that templates have for them.

        Most templates include only the thoughts of the latest answers. Thoughts may quote the text
        of a control token from the user.
        """
        if not message.reasoning:
            return {}
        return dict.fromkeys(("reasoning_content", "thinking"), self._disarm(message.reasoning))

    def _told(self, roles: rendering.Roles | None, *, think: bool | None = None) -> str:
        """Return the text that the template makes of messages, or raise `_FailureError`."""
        if not self._is_simple:
            answer = _process.ask(*self._program, roles, think)
            if "error" in answer:
                does = "is broken" if roles is None else "fails"
                raise _FailureError(f"{does} ({answer['error']})")
            text = answer.get("text", "")
        else:
            try:
                template = rendering.compiled(*self._program)
                text = "" if roles is None else rendering.rendered(template, roles, think=think)
            except Exception as error:  # noqa: BLE001  a template is a program from a file
                raise _FailureError(f"fails ({error})") from None
        if not text.strip() and any(role["content"].strip() for role in roles or ()):
            raise _FailureError("writes nothing")
        return text

    def _do_without(self, failure: _FailureError) -> None:
        """Take the generic template from now on."""
        self._say(failure)
        self._program = (self._generic, "", "")
        self._is_simple = True

    def _say(self, failure: _FailureError) -> None:
        """Tell once that another template is used, and why."""
        is_new, reason = not self.trouble, " ".join(str(failure).split())
        self.trouble = shorten(reason, _MAX_REASON)
        if is_new:
            logger.warning(
                "The chat template of %s %s, so a generic one is used. Its answers may be worse: "
                "look for another file of this model.",
                self._model,
                self.trouble,
            )


def _without_system(roles: rendering.Roles) -> rendering.Roles:
    """Messages with the system text as the first part of the user's; `_FailureError` if none."""
    if [role["role"] for role in roles[:2]] != ["system", "user"]:
        raise _FailureError
    content = "\n\n".join(role["content"] for role in roles[:2])
    return [{"role": "user", "content": content}, *roles[2:]]
