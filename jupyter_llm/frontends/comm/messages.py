"""What a chat's front end and the kernel say to each other: JSON objects, each with a `type`.

tests/frontends/panel/messages/ holds one example of every message, read by the tests of both sides.
"""

from __future__ import annotations

from typing import Any, Final, Union

from msgspec import ValidationError, convert

from jupyter_llm.frontends.comm.parts import (
    AttachmentData,
    CheckedData,
    Data,
    NoticeData,
    PendingData,
    StatusData,
    SuggestionData,
    SuggestionKind,
    TurnData,
)

PROTOCOL: Final = 1


def _tag(name: str) -> str:
    """The `type` of a message, by the name of its class."""
    return name.removesuffix("Message").lower()


# From the front end


class FromFrontEnd(Data, tag_field="type", tag=_tag):
    """What a front end asks for, under an id of its own."""

    id: str


class Hello(FromFrontEnd):
    """A view is there, or has missed something; it is answered with a snapshot."""

    view: str
    protocol: int
    can_write_cells: bool


class Bye(FromFrontEnd):
    """The last view on a page has gone. If there is another page, it is asked whether it is."""


class Send(FromFrontEnd):
    """A prompt or a command. With `after` it begins a new branch behind that turn, 0: the start.

    With `is_alone` no cells and variables of the notebook go along.
    """

    text: str
    after: int | None
    attachments: list[AttachmentData]
    seed: int | None
    temperature: float | None
    is_alone: bool


class DraftMessage(FromFrontEnd):
    """What stands in the field for a prompt, and may be sent as it is; an empty text: nothing."""

    text: str
    after: int | None
    attachments: list[AttachmentData]
    is_alone: bool


class Regenerate(FromFrontEnd):
    """A new answer to the prompt of a turn, beside the old one."""

    number: int
    seed: int | None
    temperature: float | None


class Stop(FromFrontEnd):
    """Stop a turn by its number, a request by its id, or all that goes on in the chat."""

    target: int | str | None


class Choose(FromFrontEnd):
    """Show the branch through a turn."""

    number: int


class Remove(FromFrontEnd):
    """Forget a turn for good."""

    number: int


class Dismiss(FromFrontEnd):
    """Put a notice away, in all views."""

    notice: str


class Complete(FromFrontEnd):
    """What may stand at the cursor; it counts code points, as all places do."""

    text: str
    cursor: int


class Describe(FromFrontEnd):
    """What there is to say of a suggestion; `name` is the suggestion's."""

    kind: SuggestionKind
    name: str


class Check(FromFrontEnd):
    """Which names in pieces of code exist nowhere; a piece may use what those before define."""

    sources: list[str]


class Prepare(FromFrontEnd):
    """Make a cell of Python out of a turn, or out of the proposal in a notice."""

    number: int | None
    notice: str | None
    source: str


class Land(FromFrontEnd):
    """Bring code into a cell where the front end cannot: below the next cell that runs."""

    number: int | None
    notice: str | None
    source: str
    in_place: bool


# To the front end


class ToFrontEnd(Data, tag_field="type", tag=_tag):
    """What a front end is told; every view of a chat sees everything, also what answers another.

    What is sent is numbered besides, in `seq`, so that a view sees when it has missed something.
    """


class Ack(ToFrontEnd):
    """A request has arrived."""

    id: str


class ErrorMessage(ToFrontEnd):
    """A request could not be fulfilled; a prompt's or a command's failure is a notice."""

    id: str | None
    text: str


class Anybody(ToFrontEnd):
    """A view has said bye. Whoever still shows the chat says hello, or hears nothing more."""


class Snapshot(ToFrontEnd):
    """All there is, for the view that said hello, or for all; `turns` are those of the path.

    `kernel` tells it from the one that was there before: it is another text in each.
    """

    id: str | None
    view: str | None
    protocol: int
    kernel: str
    chat: str | None
    turns: list[TurnData]
    path: list[int]
    status: StatusData
    notices: list[NoticeData]
    pending: list[PendingData]


class TurnMessage(ToFrontEnd):
    """A turn is new or has changed; `id` is the request that it answers, once."""

    turn: TurnData
    id: str | None = None


class PathMessage(ToFrontEnd):
    """The numbers of the turns that are shown, in their order; each has been sent before."""

    path: list[int]


class Delta(ToFrontEnd):
    """More text of a turn, or more of what was thought before it."""

    number: int
    text: str
    reasoning: str = ""


class ProgressMessage(ToFrontEnd):
    """How far a pending request (`id`) or a turn (`number`) is before there is text."""

    text: str
    share: float | None
    id: str | None = None
    number: int | None = None


class PendingMessage(ToFrontEnd):
    """A request has begun; it ends with a turn, a notice, or `cancelled`."""

    pending: PendingData


class Cancelled(ToFrontEnd):
    """A request was stopped before it came to anything; `text` is given back to who typed it."""

    id: str
    text: str


class StatusMessage(ToFrontEnd):
    """The model, or how full it is, has changed."""

    status: StatusData


class NoticeMessage(ToFrontEnd):
    """A notice is new or has grown."""

    notice: NoticeData


class Dismissed(ToFrontEnd):
    """A notice was put away."""

    id: str


class Transcript(ToFrontEnd):
    """The chat as an output of the cell, for a front end that writes it there itself."""

    data: dict[str, str]
    metadata: dict[str, Any]


class Suggestions(ToFrontEnd):
    """Answers `complete`."""

    id: str
    start: int
    end: int
    items: list[SuggestionData]


class Description(ToFrontEnd):
    """Answers `describe`, in plain text."""

    id: str
    text: str


class Checked(ToFrontEnd):
    """Answers `check`."""

    id: str
    results: list[CheckedData]


class Prepared(ToFrontEnd):
    """Answers `prepare`: what the cell holds, and its metadata."""

    id: str
    source: str
    metadata: dict[str, Any]


class Landed(ToFrontEnd):
    """Answers `land`: where the code is, in words."""

    id: str
    text: str


_ANY_REQUEST: Any = Union[tuple(FromFrontEnd.__subclasses__())]  # noqa: UP007  made here


def read_message(content: object) -> FromFrontEnd:
    """What a front end sent, checked; `ValueError` if it is no such message."""
    try:
        message: FromFrontEnd = convert(content, _ANY_REQUEST)
    except ValidationError:
        kind = content.get("type") if isinstance(content, dict) else None
        raise ValueError(
            f"The panel sent a message that nobody understands: {kind!r:.40}."
        ) from None
    return message
