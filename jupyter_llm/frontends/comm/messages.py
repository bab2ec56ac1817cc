"""What the panel and its kernel side say to each other: JSON objects, each with a `type`.

tests/frontends/panel/messages/ holds one example of every message, read by the tests of both sides.
"""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import (
    Any,
    Final,
    Literal,
    TypedDict,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from jupyter_llm.frontends.comm.parts import (
    AttachmentData,
    CheckedData,
    NoticeData,
    PendingData,
    StatusData,
    SuggestionData,
    SuggestionKind,
    TurnData,
)

PROTOCOL: Final = 1


# From the front end


class Hello(TypedDict):
    """A view is there, or has missed something; it is answered with a snapshot."""

    type: Literal["hello"]
    id: str
    view: str
    protocol: int
    can_write_cells: bool


class Bye(TypedDict):
    """The last view on a page has gone. If there is another page, it is asked whether it is."""

    type: Literal["bye"]
    id: str


class Send(TypedDict):
    """A prompt or a command. With `after` it begins a new branch behind that turn, 0: the start."""

    type: Literal["send"]
    id: str
    text: str
    after: int | None
    attachments: list[AttachmentData]
    seed: int | None
    temperature: float | None


class Regenerate(TypedDict):
    """A new answer to the prompt of a turn, beside the old one."""

    type: Literal["regenerate"]
    id: str
    number: int
    seed: int | None
    temperature: float | None


class Stop(TypedDict):
    """Stop a turn by its number, a request by its id, or all that goes on in the chat."""

    type: Literal["stop"]
    id: str
    target: int | str | None


class Choose(TypedDict):
    """Show the branch through a turn."""

    type: Literal["choose"]
    id: str
    number: int


class Remove(TypedDict):
    """Forget a turn for good."""

    type: Literal["remove"]
    id: str
    number: int


class Dismiss(TypedDict):
    """Put a notice away, in all views."""

    type: Literal["dismiss"]
    id: str
    notice: str


class Complete(TypedDict):
    """What may stand at the cursor; it counts code points, as all places do."""

    type: Literal["complete"]
    id: str
    text: str
    cursor: int


class Describe(TypedDict):
    """What there is to say of a suggestion; `name` is the suggestion's."""

    type: Literal["describe"]
    id: str
    kind: SuggestionKind
    name: str


class Check(TypedDict):
    """Which names in pieces of code exist nowhere; a piece may use what those before define."""

    type: Literal["check"]
    id: str
    sources: list[str]


class Prepare(TypedDict):
    """Make a cell of Python out of a turn, or out of the proposal in a notice."""

    type: Literal["prepare"]
    id: str
    number: int | None
    notice: str | None
    source: str


class Land(TypedDict):
    """Bring code into a cell where the front end cannot: below the next cell that runs."""

    type: Literal["land"]
    id: str
    number: int | None
    notice: str | None
    source: str
    in_place: bool


# To the front end


class _Numbered(TypedDict, total=False):
    """What is sent is numbered from 1 on, so that a view sees when it has missed something.

    Every view of a panel sees everything, also what answers another.
    """

    seq: int


class Ack(_Numbered):
    """A request has arrived."""

    type: Literal["ack"]
    id: str


class ErrorMessage(_Numbered):
    """A request could not be fulfilled; a prompt's or a command's failure is a notice."""

    type: Literal["error"]
    id: str | None
    text: str


class Anybody(_Numbered):
    """A view has said bye. Whoever still shows the chat says hello, or hears nothing more."""

    type: Literal["anybody"]


class Snapshot(_Numbered):
    """All there is, for the view that said hello, or for all; `turns` are those of the path."""

    type: Literal["snapshot"]
    id: str | None
    view: str | None
    protocol: int
    chat: str | None
    turns: list[TurnData]
    path: list[int]
    status: StatusData
    notices: list[NoticeData]
    pending: list[PendingData]


class TurnMessage(_Numbered):
    """A turn is new or has changed; `id` is the request that it answers, once."""

    type: Literal["turn"]
    turn: TurnData
    id: str | None


class PathMessage(_Numbered):
    """The numbers of the turns that are shown, in their order; each has been sent before."""

    type: Literal["path"]
    path: list[int]


class Delta(_Numbered):
    """More text of a turn."""

    type: Literal["delta"]
    number: int
    text: str


class ProgressMessage(_Numbered):
    """How far a pending request (`id`) or a turn (`number`) is before there is text."""

    type: Literal["progress"]
    id: str | None
    number: int | None
    text: str
    share: float | None


class PendingMessage(_Numbered):
    """A request has begun; it ends with a turn, a notice, or `cancelled`."""

    type: Literal["pending"]
    pending: PendingData


class Cancelled(_Numbered):
    """A pending request was stopped before it came to anything."""

    type: Literal["cancelled"]
    id: str


class StatusMessage(_Numbered):
    """The model, or how full it is, has changed."""

    type: Literal["status"]
    status: StatusData


class NoticeMessage(_Numbered):
    """A notice is new or has grown."""

    type: Literal["notice"]
    notice: NoticeData


class Dismissed(_Numbered):
    """A notice was put away."""

    type: Literal["dismissed"]
    id: str


class Transcript(_Numbered):
    """The chat as an output of the cell, for a front end that writes it there itself."""

    type: Literal["transcript"]
    data: dict[str, str]
    metadata: dict[str, Any]


class Suggestions(_Numbered):
    """Answers `complete`."""

    type: Literal["suggestions"]
    id: str
    start: int
    end: int
    items: list[SuggestionData]


class Description(_Numbered):
    """Answers `describe`, in plain text."""

    type: Literal["description"]
    id: str
    text: str


class Checked(_Numbered):
    """Answers `check`."""

    type: Literal["checked"]
    id: str
    results: list[CheckedData]


class Prepared(_Numbered):
    """Answers `prepare`: what the cell holds, and its metadata."""

    type: Literal["prepared"]
    id: str
    source: str
    metadata: dict[str, Any]


class Landed(_Numbered):
    """Answers `land`: where the code is, in words."""

    type: Literal["landed"]
    id: str
    text: str


FromFrontEnd = (
    Hello
    | Bye
    | Send
    | Regenerate
    | Stop
    | Choose
    | Remove
    | Dismiss
    | Complete
    | Describe
    | Check
    | Prepare
    | Land
)
ToFrontEnd = (
    Ack
    | ErrorMessage
    | Anybody
    | Snapshot
    | TurnMessage
    | PathMessage
    | Delta
    | ProgressMessage
    | PendingMessage
    | Cancelled
    | StatusMessage
    | NoticeMessage
    | Dismissed
    | Transcript
    | Suggestions
    | Description
    | Checked
    | Prepared
    | Landed
)


def read_message(content: object) -> FromFrontEnd:
    """Return what a front end sent, checked.

    Raises
    ------
    ValueError
        It is no such message.
    """
    if not any(fits(content, kind) for kind in get_args(FromFrontEnd)):
        kind = content.get("type") if isinstance(content, dict) else None
        raise ValueError(f"The panel sent a message that nobody understands: {kind!r:.40}.")
    return cast("FromFrontEnd", content)


def fits(value: object, hint: Any) -> bool:
    """Whether a JSON value is of a type: one of the above, or what they are made of."""
    if is_typeddict(hint):
        hints = _hints(hint)
        return (
            isinstance(value, dict)
            and hint.__required_keys__ <= value.keys() <= hints.keys()
            and all(fits(value[key], hints[key]) for key in value)
        )
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return hint is Any or type(value) is hint


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
