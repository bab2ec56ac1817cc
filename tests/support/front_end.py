"""A front end for panels, without a browser: talks over a comm of its own and keeps what it hears.

front = FrontEnd(panel)
front.hello()
front.send("What is 6 * 7?")
front.wait_until(lambda front: front.is_idle and front.texts == ["42"])
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Self, Union

from comm.base_comm import BaseComm
from msgspec import convert, to_builtins
from support.scripted import ScriptedEngine

from jupyter_llm.frontends.comm.messages import FromFrontEnd, ToFrontEnd
from jupyter_llm.frontends.panel import ChatPanel

TIMEOUT_S = 20
# These say how far a request is; see labextension/src/connection/requests.ts.
NEWS = frozenset({"ack", "progress", "completion"})
Json = dict[str, Any]
PROMPT: Json = {
    "after": None,
    "like": None,
    "attachments": [],
    "seed": None,
    "temperature": None,
    "is_alone": False,
    "by": "",
}


def fits(message: object, kind: type[FromFrontEnd | ToFrontEnd]) -> bool:
    """Whether a message is one of a kind, and says all that there is to say in one."""
    read: Any = convert(message, Union[tuple(kind.__subclasses__())])  # noqa: UP007  made here
    return bool(to_builtins(read) == message)


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
        self._ids = count(1)
        self._changed = threading.Condition()

    def tell(self, content: object) -> None:
        """Send anything, and expect nothing."""
        raise NotImplementedError

    def _hear_more(self) -> None:
        """Wait for a while for a message; what is waited for may be seen elsewhere as well."""
        self._changed.wait(0.1)

    def ask(self, kind: str, /, **content: Any) -> str:
        """Send a message and return its id."""
        request = f"{self.name}-{next(self._ids)}"
        self.tell({"type": kind, "id": request, **content})
        return request

    def answer(self, kind: str, /, **content: Any) -> Json:
        """Ask something and return what answers it, an error too."""
        request = self.ask(kind, **content)
        return self.wait_for(lambda m: m.get("id") == request and m["type"] not in NEWS)

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


class View(Listener):
    """What one view of a panel knows. All it hears is checked, and that nothing is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[int, Json] = {}
        self.path: list[int] = []
        self.notices: dict[str, Json] = {}
        self.pending: dict[str, Json] = {}
        self.given_back: dict[str, str] = {}  # what was typed and came to nothing
        self.status: Json = {}
        self.is_asked = False  # whether it is still there
        self._seq: int | None = None
        self._is_lost = False

    # What it does

    def hello(self, *, can_write_cells: bool = False) -> Json:
        """Come to the chat and wait for what there is."""
        request = self.ask("follow", can_write_cells=can_write_cells)
        return self.wait_for(lambda m: m["type"] == "snapshot" and m["id"] == request)

    def send(self, text: str, **options: Any) -> str:
        return self.ask("send", **{**PROMPT, "text": text, **options})

    def say(self, text: str, **options: Any) -> Json:
        """Send a prompt and wait until it is answered; return its turn."""
        return self._answered(self.send(text, **options))

    def regenerate(self, number: int, **options: Any) -> Json:
        """Ask for another answer and wait until it is there; return its turn."""
        options = {"seed": None, "temperature": None, **options}
        return self._answered(self.ask("regenerate", number=number, **options))

    def _answered(self, request: str) -> Json:
        told = self.wait_for(lambda m: m["type"] == "turn" and m["id"] == request)
        number: int = told["turn"]["number"]
        self.wait_until(lambda front: number in front.path and front.is_idle)
        return self.turns[number]

    def command(self, text: str, **options: Any) -> Json:
        """Send what is answered by a notice, and wait for its final form."""
        return self.notice(self.send(text, **options))

    def notice(self, request: str) -> Json:
        """Wait for the notice that a request ends with."""
        self.wait_until(lambda front: front.notices.get(request, {}).get("is_finished", False))
        return self.notices[request]

    # What it knows

    @property
    def shown(self) -> list[Json]:
        return [self.turns[number] for number in self.path]

    @property
    def texts(self) -> list[str]:
        return [turn["text"] for turn in self.shown]

    @property
    def is_idle(self) -> bool:
        return not self.pending and all(turn["state"] == "finished" for turn in self.shown)

    def _is_own(self, request: str | None) -> bool:
        """Whether a snapshot is for all, or answers what was asked here."""
        return request is None or request.rpartition("-")[0] == self.name

    def _take(self, message: Json) -> None:
        kind = message["type"]
        seq = message["seq"]
        assert self._seq in (None, seq - 1), "something is missing"
        self._seq = seq
        assert fits(without_seq(message), ToFrontEnd), "it is not what its type says"
        if is_ours := kind == "snapshot" and self._is_own(message["id"]):
            self._is_lost = False
        if self._is_lost:
            return
        match kind:
            case "snapshot" if is_ours:
                self.turns = {turn["number"]: dict(turn) for turn in message["turns"]}
                self.path = message["path"]
                self.notices = {notice["id"]: notice for notice in message["notices"]}
                self.pending = {request["id"]: request for request in message["pending"]}
                self.status = message["status"]
                assert list(self.turns) == self.path
            case "turn":
                self.turns[message["turn"]["number"]] = dict(message["turn"])
                self.pending.pop(message["id"], None)
            case "anybody":  # what is told between this and the next hello may be of turns unknown
                self.is_asked = self._is_lost = True
            case "path":
                self.path = message["path"]
                self.turns = {number: self.turns[number] for number in self.path}
            case "delta":
                turn = self.turns[message["number"]]
                turn["text"] += message["text"]
                turn["reasoning"] += message["reasoning"]
                turn["state"] = "writing"
            case "pending":
                self.pending[message["pending"]["id"]] = message["pending"]
            case "cancelled":
                self.pending.pop(message["id"], None)
                self.given_back[message["id"]] = message["text"]
            case "notice":
                self.notices[message["id"]] = without_seq(message)
                self.pending.pop(message["id"], None)
            case "dismissed":
                self.notices.pop(message["id"], None)
            case "status":
                self.status = message


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
        assert {"ack", "error"} & {m["type"] for m in self.messages if m.get("id") == request_id}
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
