"""What the JupyterLab extension and the kernel say to each other: JSON objects with a `type`.

The kernel writes no cells: it answers the page that asked, and a person takes the answer there. So
of several pages with one notebook only that one changes it. tests/frontends/lab/messages/ holds one
example of every message, read by the tests of both sides.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Union

from msgspec import ValidationError, convert, field

from jupyter_llm.frontends.comm.parts import Data, ProgressData, PullData

PROTOCOL: Final = 1

CellKind = Literal["code", "markdown", "raw"]
Action = Literal["explain", "fix", "document", "test", "review", "continue", "edit"]
LabState = Literal["none", "loading", "idle", "waiting", "reading", "writing"]


def _tag(name: str) -> str:
    """The `type` of a message, by the name of its class: `WatchStatus` is `watch-status`."""
    return re.sub(r"(?<=.)(?=[A-Z])", "-", name.removesuffix("Message")).lower()


# Parts


class DocumentCellData(Data):
    """A cell of the notebook as it stands in the page. Of one that `is_off` nothing may be told."""

    id: str
    kind: CellKind
    source: str
    is_off: bool = False


class TargetCellData(Data):
    """The cell that an action is about, and the error that its outputs show, if they do."""

    id: str
    source: str
    error: str | None = None


class RangeData(Data):
    """A piece of a text, from one place to before another; places count code points."""

    start: int
    end: int


class CompletionUsageData(Data):
    """What a completion cost."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    first_token_s: float


class ChatData(Data):
    """A chat of the notebook, by its name, and how many turns it has."""

    name: str
    num_turns: int


class ModelData(Data):
    """A model that may be chosen, and what stands beside its name in a table of them."""

    name: str
    facts: list[str]
    is_loaded: bool = False


class ModelTableData(Data):
    """Models, and what is told of each."""

    columns: list[str]
    models: list[ModelData]


class LabStatusData(Data):
    """What the model does: one line at the foot of the window.

    `beside` names the other models that are loaded, and what they are used for.
    """

    state: LabState
    model: str | None = None
    share: float | None = None
    kv_used: int = 0
    kv_room: int = 0
    process_bytes: int = 0
    beside: list[str] = field(default_factory=list)


# From the front end


class FromLab(Data, tag_field="type", tag=_tag):
    """What a front end asks for, under an id of its own."""

    id: str


class Hello(FromLab):
    """A page is there; it is answered with `welcome`. `client` names it among others.

    `path` is where its notebook lies below the server's root.
    """

    protocol: int
    client: str
    path: str


class PathMessage(FromLab):
    """The notebook has moved."""

    path: str


class Cells(FromLab):
    """From the cell with the index `at` on, so many go, and others come in their place.

    Revisions count these edits; the first one puts all cells of the notebook where none were.
    """

    revision: int
    at: int
    remove: int
    insert: list[DocumentCellData]


class Complete(FromLab):
    """What may stand between `prefix` and `suffix` in a cell; `num_items` ways to go on.

    Each has at most `max_lines` lines. `is_invoked` says that a person asked for it, and it did not
    come of typing alone.
    """

    revision: int
    cell: str
    prefix: str
    suffix: str
    is_invoked: bool
    num_items: int
    max_lines: int


class Focus(FromLab):
    """A person has gone to a cell: what a completion there would read may be read ahead."""

    revision: int
    cell: str


class Cancel(FromLab):
    """Stop what a request asked for, by its id."""

    target: str


class Shown(FromLab):
    """A completion was taken, or its start: the cell's source holds it. Answered by `accepted`."""

    target: str
    item: int
    source: str


class Act(FromLab):
    """Do something with a cell: explain it, mend it, write what is missing.

    Answered by `proposal`, or by `answer` to explain and review, with `progress` before. A
    selection of no length is where the cursor stands.
    """

    action: Action
    cell: TargetCellData
    selection: RangeData | None
    instruction: str | None


class Draft(FromLab):
    """What stands in a `%%llm` cell that is being written, to be read ahead."""

    cell: str
    source: str


class PanelOpen(FromLab):
    """Show a chat by its name, under an id for the messages to and from it."""

    panel: str
    chat: str


class PanelMessage(FromLab):
    """A message of a chat's front end, as frontends/comm/messages.py has them."""

    panel: str
    message: dict[str, Any]


class PanelClose(FromLab):
    """The chat is not shown any more."""

    panel: str


class ListChats(FromLab):
    """Which chats the notebook has; answered by `chats`."""


class RenameChat(FromLab):
    """Give a chat another name; answered by `chats`."""

    name: str
    new_name: str


class ExportChat(FromLab):
    """A chat as a Markdown text; answered by `exported`."""

    name: str


class DeleteChat(FromLab):
    """Forget a chat for good; answered by `chats`."""

    name: str


class Record(FromLab):
    """What is known of how a text was made, by the metadata that a cell or output holds.

    `text` is the cell's source, or the output as plain text.
    """

    metadata: dict[str, Any]
    text: str | None


class WatchStatus(FromLab):
    """Say from now on what the model does, or no more."""

    is_on: bool


class ListModels(FromLab):
    """Which models there are, and which may be pulled; answered by `models`."""


class Use(FromLab):
    """Load a model by its name, or the default one; answered by `done`, with `progress` before."""

    model: str | None


class Pull(FromLab):
    """Pull a model; answered by `done` once that has begun. Who watches is told how far it is."""

    model: str
    accepts_licence: bool


class StopPull(FromLab):
    """Stop the pull that runs, whoever asked for it."""


class ForgetPull(FromLab):
    """Tell no more of what has become of the last pull."""


# To the front end


class ToLab(Data, tag_field="type", tag=_tag):
    """What a front end is told. What is sent is numbered besides, in `seq`."""


class Ack(ToLab):
    """A request has arrived."""

    id: str


class ErrorMessage(ToLab):
    """A request could not be fulfilled."""

    id: str | None
    text: str


class Welcome(ToLab):
    """Answers `hello`."""

    id: str
    protocol: int
    version: str
    model: str | None


class ModelMessage(ToLab):
    """This model is loaded from now on, or none."""

    model: str | None


class Resend(ToLab):
    """Edits are missing: send all cells of the notebook, as revision 1."""


class Completion(ToLab):
    """How far a completion is. `item` counts the ways to go on; the text is whole each time."""

    id: str
    item: int
    text: str
    is_final: bool


class Completed(ToLab):
    """Answers `complete`, with what each item cost; `reason` says why there is none."""

    id: str
    usage: list[CompletionUsageData]
    reason: str | None = None


class Accepted(ToLab):
    """Answers `shown`: the record that the cell's metadata are to hold, if there is one."""

    id: str
    metadata: dict[str, Any]


class ProgressMessage(ToLab):
    """How far a request is that is not answered yet, and in Markdown what it has written so far."""

    id: str
    progress: ProgressData
    text: str = ""


class ProposalMessage(ToLab):
    """Answers `act`: what a cell may be changed to, or with `is_below` what may be put under it.

    `before` is the cell as it was when it was read. `metadata` belong to the cell that holds
    `source`. `markdown` says why, if there is something to say.
    """

    id: str
    cell: str
    before: str
    source: str
    is_below: bool
    unknown_names: list[str]
    metadata: dict[str, Any]
    markdown: str


class Answer(ToLab):
    """Answers `act` in words: they are the turn of this chat with this number, or no turn."""

    id: str
    chat: str
    number: int | None
    markdown: str


class PanelMessageBack(ToLab, tag="panel-message"):
    """A message for a chat's front end, as frontends/comm/messages.py has them."""

    panel: str
    message: dict[str, Any]


class Chats(ToLab):
    """The chats of the notebook."""

    id: str
    chats: list[ChatData]


class Exported(ToLab):
    """Answers `export-chat`."""

    id: str
    markdown: str


class RecordText(ToLab):
    """Answers `record`, in Markdown."""

    id: str
    markdown: str


class StatusMessage(ToLab):
    """The model does something else, or holds more or less."""

    status: LabStatusData


class PullMessage(ToLab):
    """How far the pull is, or what the last one has come to; nothing once that is put away."""

    pull: PullData | None


class Models(ToLab):
    """Answers `list-models`: those that are here, and those that suit this machine, best first."""

    id: str
    here: ModelTableData
    suited: ModelTableData


class DoneMessage(ToLab):
    """A request is fulfilled that is answered by nothing else."""

    id: str


_ANY: Any = Union[tuple(FromLab.__subclasses__())]  # noqa: UP007  made here


def is_other_hello(content: object) -> bool:
    """Whether a page says hello in another protocol, so that nothing else it says is understood."""
    match content:
        case {"type": "hello", "protocol": int(protocol), "id": str()}:
            return protocol != PROTOCOL
    return False


def read_message(content: object) -> FromLab:
    """What a front end sent, checked; `ValueError` if it is no such message."""
    try:
        message: FromLab = convert(content, _ANY)
    except ValidationError:
        kind = content.get("type") if isinstance(content, dict) else None
        raise ValueError(
            f"The extension sent a message that nobody understands: {kind!r:.40}. Its version and "
            "jupyter_llm's in the kernel may differ: install the same version in both places."
        ) from None
    return message
