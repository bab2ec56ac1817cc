"""A front end for panels, without a browser: talks over a comm of its own and keeps what it hears.

front = FrontEnd(panel)
front.hello()
front.send("What is 6 * 7?")
front.wait_until(lambda front: front.is_idle and front.texts == ["42"])
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Self, Union

from comm.base_comm import BaseComm
from msgspec import convert, to_builtins
from support.scripted import ScriptedEngine

import jupyter_llm.frontends.lab.target  # noqa: F401  it declares methods
from jupyter_llm.frontends.comm.calls import METHODS
from jupyter_llm.frontends.comm.messages import ChatDocument, StatusData, ToFrontEnd
from jupyter_llm.frontends.panel import ChatPanel

TIMEOUT_S = 20
# By name; tests may declare others for themselves.
DECLARED = {
    method.function.__name__: method
    for method in METHODS.values()
    if method.function.__module__.startswith("jupyter_llm.")
}
Json = dict[str, Any]
PROMPT: Json = {
    "after": None,
    "like": None,
    "seed": None,
    "temperature": None,
    "by": "",
}
KINDS: Any = Union[tuple(ToFrontEnd.__subclasses__())]  # noqa: UP007  made here


def fits(value: object, kind: Any = KINDS) -> bool:
    """Whether a message or a value is one of a type, and has all fields of the type."""
    return _json(to_builtins(convert(value, kind))) == _json(value)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def prompt(text: str, *, attachments: Sequence[Json] = (), is_alone: bool = False) -> Json:
    """Return a prompt as pages send it."""
    return {"text": text, "attachments": list(attachments), "is_alone": is_alone}


def without_seq(message: Json) -> Json:
    """What is sent, but for its number."""
    return {key: value for key, value in message.items() if key != "seq"}


class RecordingComm(BaseComm):
    """A comm that hands what is published to whoever listens."""

    def __init__(self, **options: Any) -> None:
        self.hear: Callable[[Json], None] | None = None
        super().__init__(**options)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **_options: Any) -> None:
        if msg_type == "comm_msg" and data.get("method") == "custom" and self.hear is not None:
            self.hear(data["content"])


class Listener:
    """One end of a comm: it sends messages, and keeps and checks what comes back."""

    _numbers = count(1)

    def __init__(self) -> None:
        self.name = f"{type(self).__name__}{next(self._numbers)}"
        self.heard: list[tuple[float, Json]] = []
        self.wrong: list[str] = []
        self.called: dict[str, str] = {}  # the methods of calls, by their ids
        self._ids = count(1)
        self._changed = threading.Condition()

    def tell(self, content: object) -> None:
        """Send anything, and expect nothing."""
        raise NotImplementedError

    def _hear_more(self) -> None:
        """Wait for a while for a message; what is waited for may be seen elsewhere as well."""
        self._changed.wait(0.1)

    def ask(self, method: str, /, **arguments: Any) -> str:
        """Call a method and return the call's id."""
        request = f"{self.name}-{next(self._ids)}"
        self.called[request] = method
        self.tell({"type": "call", "id": request, "method": method, "arguments": arguments})
        return request

    def reply(self, request: str) -> Any:
        """Wait for the result of a call."""
        answer = self._answer(request)
        assert answer["type"] == "reply", answer
        return answer["value"]

    def answer(self, method: str, /, **arguments: Any) -> Any:
        """Call a method and return the result."""
        return self.reply(self.ask(method, **arguments))

    def refusal(self, method: str, /, **arguments: Any) -> str:
        """Call a method that fails, and return the error's text."""
        answer = self._answer(self.ask(method, **arguments))
        assert answer["type"] == "error", answer
        return str(answer["text"])

    def _answer(self, request: str) -> Json:
        return self.wait_for(lambda m: m.get("id") == request and m["type"] in ("reply", "error"))

    def check(self, message: Json) -> None:
        """Check that a message is what its type says, and a reply what its method declares."""
        assert fits(without_seq(message)), "it is not what its type says"
        method = DECLARED.get(self.called.get(message.get("id", ""), ""))
        if message["type"] == "reply" and method is not None and method.replies != "later":
            assert fits(message["value"], method.types["return"]), "it is not the declared result"

    def wait_for(self, condition: Callable[[Json], bool]) -> Json:
        """Wait until a message has been heard and return it."""
        self.wait_until(lambda front: any(map(condition, front.messages)))
        return next(filter(condition, self.messages))

    def wait_until(self, condition: Callable[[Self], object]) -> None:
        """Wait until something is so, as far as can be told here."""
        end = time.monotonic() + TIMEOUT_S
        with self._changed:
            while not condition(self):
                if time.monotonic() > end:
                    raise AssertionError(f"It did not come to that. Heard: {self.messages[-20:]}")
                self._hear_more()
        assert not self.wrong, self.wrong

    @property
    def messages(self) -> list[Json]:
        return [message for _, message in self.heard]

    def _hear(self, message: Json) -> None:
        with self._changed:
            self.heard.append((time.monotonic(), message))
            try:
                self._take(message)
            except Exception as error:  # noqa: BLE001  whoever sends it is not to fail for us
                self.wrong.append(f"{error!r} at {message}")
            self._changed.notify_all()

    def _take(self, message: Json) -> None:
        """Check a message, and take in what it says."""
        raise NotImplementedError


def merged(target: object, patch: object) -> Any:
    """What a merge patch makes of a document, as RFC 7396 says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


NOTHING = to_builtins(ChatDocument("", None, [], {}, {}, {}, {}, StatusData()))


class View(Listener):
    """What one view of a panel knows. All it hears is checked, and that nothing is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.document: Json = {**NOTHING}
        self.is_asked = False  # whether it is still there
        self._seq: int | None = None
        self._is_lost = False

    # What it does

    def hello(self, *, can_write_cells: bool = False) -> str:
        """Come to the chat and wait for what there is; return the request's id."""
        request = self.ask("follow", can_write_cells=can_write_cells)
        self.wait_for(lambda m: m["type"] == "document" and m["id"] == request)
        return request

    def send(self, text: str, **options: Any) -> str:
        along = {name: options.pop(name) for name in ("attachments", "is_alone") if name in options}
        return self.ask("send", prompt=prompt(text, **along), **{**PROMPT, **options})

    def say(self, text: str, **options: Any) -> Json:
        """Send a prompt and wait until it is answered; return its turn."""
        return self._answered(self.send(text, **options))

    def regenerate(self, number: int, **options: Any) -> Json:
        """Ask for another answer and wait until it is there; return its turn."""
        options = {"seed": None, "temperature": None, **options}
        return self._answered(self.ask("regenerate", number=number, **options))

    def _answered(self, request: str) -> Json:
        self.wait_until(lambda front: request in front.answered and front.is_idle)
        return self.answered[request]

    def command(self, text: str, **options: Any) -> Json:
        """Send what is answered by a notice, and wait for its final form."""
        return self.notice(self.send(text, **options))

    def notice(self, request: str) -> Json:
        """Wait for the notice that a request ends with."""
        self.wait_until(lambda front: front.notices.get(request, {}).get("is_finished", False))
        notice: Json = self.notices[request]
        return notice

    # What it knows

    @property
    def known(self) -> Json:
        """The document with all its fields, those that are None too."""
        known: Json = to_builtins(convert({"name": None, **self.document}, ChatDocument))
        return known

    @property
    def path(self) -> list[int]:
        return list(self.known["path"])

    @property
    def notices(self) -> Json:
        return dict(self.known["notices"])

    @property
    def pending(self) -> Json:
        return dict(self.known["pending"])

    @property
    def given_back(self) -> Json:
        """What was typed and came to nothing, by its id."""
        return dict(self.known["returned"])

    @property
    def status(self) -> Json:
        return dict(self.known["status"])

    @property
    def shown(self) -> list[Json]:
        known = self.known
        return [known["turns"][str(number)] for number in known["path"]]

    @property
    def answered(self) -> dict[str | None, Json]:
        """The turns on the path, by the requests that they answer."""
        return {turn["request"]: turn for turn in self.shown}

    @property
    def texts(self) -> list[str]:
        return [turn["text"] for turn in self.shown]

    @property
    def is_idle(self) -> bool:
        return not self.pending and all(turn["state"] == "finished" for turn in self.shown)

    def _take(self, message: Json) -> None:
        kind = message["type"]
        seq = message["seq"]
        assert self._seq in (None, seq - 1), "something is missing"
        self._seq = seq
        self.check(message)
        if is_ours := kind == "document" and message["id"].rpartition("-")[0] == self.name:
            self._is_lost = False
        if self._is_lost:
            return
        match kind:
            case "document" if is_ours:
                self.document = merged({}, message["document"])
            case "anybody":  # what is told between this and the next hello may be of turns unknown
                self.is_asked = self._is_lost = True
            case "patch":
                self.document = merged(self.document, message["patch"])
            case "delta":
                number, text, reasoning = (message[k] for k in ("number", "text", "reasoning"))
                turn = {**self.document["turns"][str(number)], "state": "writing"}
                turn |= {"text": turn["text"] + text, "reasoning": turn["reasoning"] + reasoning}
                turn.pop("progress", None)
                self.document["turns"] = {**self.document["turns"], str(number): turn}
        assert sorted(map(str, self.path)) == sorted(self.document["turns"])


class FrontEnd(View):
    """A view of a panel in this process, which acknowledges each message without delay."""

    def __init__(self, panel: ChatPanel) -> None:
        super().__init__()
        self.panel = panel
        self.comm: Any = panel.comm
        self._other = self.comm.hear
        self.comm.hear = self._hear

    def tell(self, content: object) -> None:
        data = {"method": "custom", "content": content}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def ask(self, kind: str, /, **content: Any) -> str:
        request_id = super().ask(kind, **content)
        answers = {m["type"] for m in self.messages if m.get("id") == request_id}
        assert {"ack", "reply", "error"} & answers
        return request_id

    def _hear(self, message: Json) -> None:
        if self._other is not None:
            self._other(message)
        super()._hear(message)


MakeFront = Callable[..., FrontEnd]


def is_done(front: View) -> bool:
    """Whether there is a turn, and nothing goes on."""
    return bool(front.path) and front.is_idle


def hold_on(front: View, scripted: ScriptedEngine) -> str:
    """Send a prompt whose answer stops after its first word; return the request's id."""
    scripted.holds = True
    request = front.send("hold on")
    front.wait_until(lambda front: front.texts == ["word "])
    return request
