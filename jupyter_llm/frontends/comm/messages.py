"""What front ends and the kernel say to each other: JSON objects, each with a `type`.

A host carries them: the comm of a panel's widget, or the one of a JupyterLab page. What is said to
and by a chat that a page shows lies in its comm as `{"panel": …, "message": …}`. What the kernel
sends is numbered besides, in `seq`, on each line, so that nothing is missed unnoticed.

The kernel changes cells of a page only where a person runs one that asks for it (`put-cells`); else
it answers, and a person takes the answer there. tests/frontends/comm/messages/ has an example of
each message, for the tests of both sides.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Union

from msgspec import Struct, ValidationError, convert

from jupyter_llm.chat.files import FileStart
from jupyter_llm.chat.search import FoundTurn
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.roles import ModelRole
from jupyter_llm.engine.tokens import LikelyPiece
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.document import CellKind, DocumentCell
from jupyter_llm.notebook.code.landing import Landing
from jupyter_llm.tasks.proposal import Former

PROTOCOL: Final = 4

Action = Literal["explain", "fix", "document", "test", "review", "continue", "edit"]
ActivityState = Literal["none", "loading", "idle", "reading", "writing"]
SuggestionKind = Literal["command", "variable", "cell", "file"]
TurnState = Literal["waiting", "reading", "writing", "finished"]
PullState = Literal["running", "stopped", "failed", "licence", "done"]


# Not spelled out below, since mypy does not know that Structs hand `frozen` on.
_STRICT: Any = {"frozen": True, "forbid_unknown_fields": True}


class Data(Struct, **_STRICT):
    """A JSON object that has these fields and no others."""


class AttachmentData(Data):
    """Something that goes along with a prompt: what it is called, and its text.

    Without a text it is a file, called by its path from the notebook's folder, that is told as it
    is when the prompt is sent; somebody has dropped it, so it may lie anywhere.
    """

    label: str
    text: str | FileStart | None


class UsageData(Data):
    """What an answer cost."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    first_token_s: float
    tokens_per_s: float
    reasoning_tokens: int = 0


class TurnData(Data):
    """A prompt and what was written so far; the usage comes at the end.

    `siblings` are the numbers of the turns with the same parent, its own included. The prompt
    includes `num_cells` cells and these variables, and was sent to a `host`, if to any. `request`
    is the id of the request that the turn answers, `progress` how far the prompt is read.
    """

    number: int
    parent: int
    siblings: list[int]
    prompt: str
    attachments: list[str]
    text: str
    state: TurnState
    num_cells: int
    variables: list[str]
    finish_reason: str | None = None
    model: str | None = None
    seed: int | None = None
    temperature: float | None = None
    exact: bool = False
    usage: UsageData | None = None
    by: str = ""
    reasoning: str = ""
    host: str = ""
    request: str | None = None
    progress: Step | None = None


class ProposalData(Data):
    """Code proposed for a cell that was read as `before`; with None for a new one.

    A new one comes below the `cell`, or wherever a person is.
    """

    cell: str | None
    before: str | None
    source: str
    unknown_names: list[str]


class ChoiceData(Data):
    """A command that is offered: what its button says, and what pressing it sends."""

    label: str
    text: str


class PullData(Data):
    """A model that is pulled, or was pulled last: how far it is, or what that has come to.

    `model` is what `/use` loads, `licence` a text with conditions, to be accepted first.
    """

    name: str
    state: PullState
    text: str
    share: float | None = None
    licence: str = ""
    model: str | None = None


class PendingData(Data):
    """A request that has no turn and no notice yet: it loads, reads `{{…}}`, or a command runs."""

    id: str
    text: str
    progress: Step | None = None


class NoticeData(Data):
    """The answer to a command, or why a prompt could not be answered; no turn.

    It is shown behind the turn `after`, 0 at the start. `prompt` is the text that was typed,
    `choices` are what may be done next, `tokens` those of an answer.
    """

    id: str
    after: int
    prompt: str
    markdown: str
    level: Literal["info", "error"] = "info"
    is_finished: bool = True
    proposal: ProposalData | None = None
    choices: list[ChoiceData] = []
    tokens: list[LikelyPiece] = []


class StatusData(Data):
    """The model and how full it is: the next prompt begins with `used` of `allowed` tokens.

    `used` counts the chat template's own tokens beside the parts. A prompt includes `num_cells`
    cells by itself, or with `is_if_asked` only if it is about them. `remark` is about the model.
    """

    model: str | None = None
    allowed: int | None = None
    used: int | None = None
    parts: dict[str, int] | None = None
    tokens_per_s: float | None = None
    cached_share: float | None = None
    num_cells: int = 0
    is_if_asked: bool = False
    remark: str = ""


class ChatDocument(Data):
    """A chat as its views show it; another `kernel` has another text there.

    `path` holds the numbers of the turns of the active branch, in their order. Turns are stored by
    their numbers, notices and pending requests by their ids. `returned` holds the texts of
    requests that were stopped before they came to anything.
    """

    kernel: str
    name: str | None
    path: list[int]
    turns: dict[str, TurnData]
    notices: dict[str, NoticeData]
    pending: dict[str, PendingData]
    returned: dict[str, str]
    status: StatusData


class SuggestionData(Data):
    """What may be typed: `text` takes the place of what stands from `start` to `end`."""

    text: str
    label: str
    kind: SuggestionKind
    name: str
    detail: str


class CheckedData(Data):
    """The names and modules that a piece of code uses and that exist nowhere.

    `note` says what came of it where it was tried.
    """

    unknown_names: list[str]
    missing_modules: list[str]
    note: str


class TargetCellData(Data):
    """The cell that an action is about, and the error that its outputs show, if they do."""

    id: str
    source: str
    error: str | None = None
    kind: CellKind = "code"


class NewCellData(Data):
    """A cell as it is to be; `body` is its code without the line that says whose it is."""

    source: str
    body: str
    metadata: dict[str, Any]


class ChatData(Data):
    """A chat of the notebook; its title is what was asked first, `when` that of the last turn."""

    name: str
    num_turns: int
    title: str
    when: float | None


class ModelData(Data):
    """A model that may be chosen, what matters of it, and what it is loaded for."""

    name: str
    note: str
    roles: list[ModelRole] = []


def _tag(name: str) -> str:
    """The `type` of a message, by the name of its class: `ListChats` is `list-chats`."""
    return re.sub(r"(?<=.)(?=[A-Z])", "-", name.removesuffix("Message")).lower()


class FromFrontEnd(Data, tag_field="type", tag=_tag):
    """What a front end asks for, under an id of its own."""

    id: str


class ToFrontEnd(Data, tag_field="type", tag=_tag):
    """What a front end is told. All views of a chat hear what any of them is answered."""


# From any


class Stop(FromFrontEnd):
    """Stop a request by its id; in a chat a turn by its number, too, or all that goes on in it."""

    target: int | str | None


class DraftMessage(FromFrontEnd):
    """What is being written and may be sent as it is, to be read ahead; an empty text: nothing.

    In a page it is a whole `%%llm` cell, in a chat what stands in the field for a prompt.
    """

    text: str
    cell: str | None
    attachments: list[AttachmentData]
    is_alone: bool


class WatchActivity(FromFrontEnd):
    """Say from now on what the model does and how far a pull is, or no more."""

    is_on: bool


class ListModels(FromFrontEnd):
    """Which models there are, and which may be pulled; answered by `models`."""


class UseModel(FromFrontEnd):
    """Load a model by its name for a role; answered by `done`, with `progress` before."""

    model: str
    role: ModelRole = "chat"


class StartPull(FromFrontEnd):
    """Pull a model; answered by `done` once that has begun. Who watches is told how far it is."""

    model: str
    accepts_licence: bool


class EndPull(FromFrontEnd):
    """Stop the pull that runs, whoever asked for it, or tell no more of what the last came to."""


# From a page about its notebook


class Hello(FromFrontEnd):
    """A page is there, or its notebook has moved to `path` below the root; "" is no notebook."""

    protocol: int
    client: str
    path: str


class Cells(FromFrontEnd):
    """From the cell `at` on, so many go and others come; revision 1 brings all that there are."""

    revision: int
    at: int
    remove: int
    insert: list[DocumentCell]


class Complete(FromFrontEnd):
    """What may stand between `prefix` and `suffix`: ways to go on, each of at most `max_lines`.

    `is_invoked` says that a person asked for it: it did not come of typing alone.
    """

    revision: int
    cell_id: str
    kind: CellKind
    prefix: str
    suffix: str
    is_invoked: bool
    num_items: int
    max_lines: int


class Focus(FromFrontEnd):
    """A person has gone to a cell: what a completion there would read may be read ahead."""

    revision: int
    cell: str


class Act(FromFrontEnd):
    """Do something with a cell; answered by `proposal`, or `text`, with `progress` before.

    The selection goes from one place to before another, in code points. Of the proposals before,
    `former` is the last.
    """

    action: Action
    cell: TargetCellData
    selection: list[int] | None
    instruction: str | None
    former: Former | None = None


class Landed(FromFrontEnd):
    """Answers `put-cells`, by its id."""

    target: str
    landing: Landing


class ShowChat(FromFrontEnd):
    """Show a chat by its name, under an id for the messages to and from it; no more without one."""

    panel_id: str
    chat: str | None


class ListChats(FromFrontEnd):
    """Which chats the notebook has, and where these words are in them; answered by `chats`."""

    words: str


class RenameChat(FromFrontEnd):
    """Give a chat another name; answered by `chats`."""

    name: str
    new_name: str


class ExportChat(FromFrontEnd):
    """A chat as a Markdown text; answered by `text`."""

    name: str


class DeleteChat(FromFrontEnd):
    """Forget a chat for good; answered by `chats`."""

    name: str


class Record(FromFrontEnd):
    """How a cell's or output's text was made, by the metadata there; answered by `text`."""

    metadata: dict[str, Any]
    text: str | None


# From the front end of a chat


class Follow(FromFrontEnd):
    """A view is there, or has missed something; answered by `document`."""

    can_write_cells: bool


class Bye(FromFrontEnd):
    """The last view on a page has gone. If there is another page, it is asked whether it is."""


class Send(FromFrontEnd):
    """A prompt or a command. `after` begins a branch behind that turn, 0: at the start.

    With `is_alone` no cells and variables of the notebook go along. `by` is who asks, where several
    people share the notebook. The answer is to look `like` a turn's, unless the text begins with
    its shape.
    """

    text: str
    after: int | None
    like: int | None
    attachments: list[AttachmentData]
    seed: int | None
    temperature: float | None
    is_alone: bool
    by: str


class Regenerate(FromFrontEnd):
    """A new answer to the prompt of a turn, beside the old one."""

    number: int
    seed: int | None
    temperature: float | None


class Choose(FromFrontEnd):
    """Show the branch through a turn."""

    number: int


class Remove(FromFrontEnd):
    """Forget a turn by its number for good, or put a notice away by its id, in all views."""

    target: int | str


class Suggest(FromFrontEnd):
    """What may stand at the cursor; it counts code points, as all places do."""

    text: str
    cursor: int


class Describe(FromFrontEnd):
    """What there is to say of a suggestion; `name` is the suggestion's."""

    kind: SuggestionKind
    name: str


class Check(FromFrontEnd):
    """Which names in pieces of an answer exist nowhere; one may use what those before define.

    With `tries` they are tried first, which waits until no cell runs and no model works.
    """

    number: int | None
    notice: str | None
    sources: list[str]
    tries: bool


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


# To a front end


class Ack(ToFrontEnd):
    """A request has arrived."""

    id: str


class ErrorMessage(ToFrontEnd):
    """A request could not be fulfilled; why a chat's prompt or command failed is a notice."""

    id: str | None
    text: str


class ProgressMessage(ToFrontEnd):
    """How far a request is, and what more, or anew, is written."""

    progress: Step
    id: str
    text: str = ""
    is_new: bool = False


class TextMessage(ToFrontEnd):
    """Answers a request in words: Markdown, or plain text to `describe` and `land`."""

    id: str
    text: str


class DoneMessage(ToFrontEnd):
    """A request is fulfilled that is answered by nothing else."""

    id: str


class Activity(ToFrontEnd):
    """What the model does; `beside` names the others that are loaded, and what they are for.

    The `pull` is the one that runs, or the last one until that is put away.
    """

    state: ActivityState
    model: str | None = None
    share: float | None = None
    kv_used: int = 0
    kv_room: int = 0
    process_bytes: int = 0
    beside: list[str] = []
    pull: PullData | None = None


class Models(ToFrontEnd):
    """Answers `list-models`: those that are here, and those that suit this machine, best first."""

    id: str
    here: list[ModelData]
    suited: list[ModelData]


# To a page


class Welcome(ToFrontEnd):
    """Answers `hello`."""

    id: str
    protocol: int
    version: str
    model: str | None


class ModelMessage(ToFrontEnd):
    """This model is loaded from now on, or none."""

    model: str | None


class Anybody(ToFrontEnd):
    """Is it still there? A page says hello; a view of a chat follows anew, or hears no more."""


class PutCells(ToFrontEnd):
    """Put code below a cell, in place of what it made before; answered by `landed`.

    If there is a `before`, the first comes in place of the cell itself, while it reads so. Meant
    for the `page` that runs the cell, by its name.
    """

    id: str
    page: str | None
    cell: str
    before: str | None
    cells: list[NewCellData]


class Resend(ToFrontEnd):
    """Edits are missing: send all cells of the notebook, as revision 1."""


class CompletionMessage(ToFrontEnd):
    """How far a completion is. `item` counts the ways to go on; the text is whole each time."""

    id: str
    item: int
    text: str
    is_final: bool


class Completed(ToFrontEnd):
    """Answers `complete`, with what each item cost; `reason` says why there is none."""

    id: str
    usage: list[UsageData]
    reason: str | None = None


class ProposalMessage(ToFrontEnd):
    """Answers `act`: what a cell may be changed to, or what may be put under it.

    The cell need not be the one that was asked about: the cause of an error may be in another.
    `metadata` belong to the one with the new source.
    """

    id: str
    proposal: ProposalData
    metadata: dict[str, Any]
    markdown: str


class ChatsMessage(ToFrontEnd):
    """The chats of the notebook, and what was found in them."""

    id: str
    chats: list[ChatData]
    found: list[FoundTurn]


# To the front end of a chat


class DocumentMessage(ToFrontEnd):
    """Answers `follow`: the whole chat, as a merge patch for an empty document."""

    id: str
    document: ChatDocument


class Patch(ToFrontEnd):
    """The chat has changed: a merge patch (RFC 7396) for its document."""

    patch: dict[str, Any]


class Delta(ToFrontEnd):
    """More text of a turn that is being written, or more of its thoughts."""

    number: int
    text: str
    reasoning: str = ""


class Transcript(ToFrontEnd):
    """The chat as an output of the cell, for a page that writes it there itself.

    Of all pages, only the one that sent the request `writer` writes the output.
    """

    writer: str
    data: dict[str, str]
    metadata: dict[str, Any]


class Suggestions(ToFrontEnd):
    """Answers `suggest`."""

    id: str
    start: int
    end: int
    items: list[SuggestionData]


class Checked(ToFrontEnd):
    """Answers `check`."""

    id: str
    results: list[CheckedData]


class Prepared(ToFrontEnd):
    """Answers `prepare`: what the cell holds, its metadata, and what was mended."""

    id: str
    source: str
    metadata: dict[str, Any]
    note: str


_ANY: Any = Union[tuple(FromFrontEnd.__subclasses__())]  # noqa: UP007  made here


def read_message(content: object) -> FromFrontEnd:
    """What a front end sent, checked; `OptionError` if it is no such message."""
    try:
        message: FromFrontEnd = convert(content, _ANY)
    except ValidationError:
        kind = content.get("type") if isinstance(content, dict) else None
        raise OptionError(
            f"The page sent a message that nobody understands: {kind!r:.40}. Its jupyter_llm and "
            "the kernel's may differ: install the same version in both places."
        ) from None
    return message
