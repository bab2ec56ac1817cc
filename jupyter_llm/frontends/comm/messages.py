"""The messages between front ends and the kernel: JSON objects, each with a `type`.

The comm of a panel's widget or of a JupyterLab page carries them. Messages to and from a chat that
a page shows are wrapped as `{"panel": …, "message": …}`. The kernel numbers its messages on each
line in `seq`, so that a front end notices a lost one.

A front end sends calls of methods (`calls.call`), and the kernel replies. All other messages of the
kernel are broadcast, or report progress. The kernel changes cells of a page only if the user runs a
cell that asks for it (`put-cells`). tests/frontends/comm/ has an example of each message and call.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from msgspec import Struct, ValidationError, convert

from jupyter_llm.chat.files import FileStart
from jupyter_llm.chat.search import FoundTurn
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.roles import ModelRole
from jupyter_llm.engine.tokens import LikelyPiece
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.document import CellKind

PROTOCOL: Final = 5

Action = Literal[
    "explain", "fix", "document", "test", "review", "continue", "next", "edit", "split"
]
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


class PromptData(Data):
    """A prompt or a command; with `is_alone` the prompt does not include the notebook."""

    text: str
    attachments: list[AttachmentData]
    is_alone: bool


class CodeOrigin(Data):
    """The place of code: a turn by its number, a notice by its id, or neither."""

    number: int | None
    notice: str | None


class UsageData(Data):
    """The cost of an answer."""

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

    A new one comes below the `cell`, or wherever a person is. `runs` are the ids of the cells to
    run with it, in order. If `source` equals `before`, nothing changes, and they only have to run.
    If `source` is empty, the cell is deleted.
    """

    cell: str | None
    before: str | None
    source: str
    unknown_names: list[str]
    runs: list[str]


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
    `proposals` belong together, `choices` are what may be done next, `tokens` those of an answer.
    """

    id: str
    after: int
    prompt: str
    markdown: str
    level: Literal["info", "error"] = "info"
    is_finished: bool = True
    proposals: list[ProposalData] = []
    choices: list[ChoiceData] = []
    tokens: list[LikelyPiece] = []


class StatusData(Data):
    """The model and how full it is: the next prompt begins with `used` of `allowed` tokens.

    `used` counts the chat template's own tokens beside the parts. A prompt includes `num_cells`
    cells by itself, or with `is_if_asked` only if it is about them. `remark` is about the model.
    `rules`: those of the project, if prompts include any.
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
    rules: AttachmentData | None = None


class ChatDocument(Data):
    """A chat as its views show it; another `kernel` has another text there.

    `path` holds the numbers of the turns of the active branch, in their order. Turns are stored by
    their numbers, notices and pending requests by their ids. `returned` holds the texts of
    prompts that were refused, and of requests that were stopped before their first word.
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
    """A suggestion: `text` replaces the range of the typed text that `Suggestions` names."""

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


class CellProposal(ProposalData):
    """The result of an action on a cell; the cause of an error may be in another cell.

    `metadata` are for the cell with the new source. `below` are the sources of new cells below it,
    which are accepted or rejected with it. `kinds`: those of all new cells, in order; if it is
    empty, the page decides.
    """

    metadata: dict[str, Any]
    markdown: str
    below: list[str] = []
    kinds: list[CellKind] = []


class OpenProposal(Data):
    """A proposal that waits for a decision: of an `action` on a `cell`, or of a chat."""

    action: Action | None
    cell: str
    instruction: str | None
    proposal: CellProposal


class ChatList(Data):
    """The chats of the notebook, and the turns that contain the words of a search."""

    chats: list[ChatData]
    found: list[FoundTurn]


class ModelLists(Data):
    """The models on this machine, and those to pull that suit it, best first."""

    here: list[ModelData]
    suited: list[ModelData]


class Suggestions(Data):
    """The texts that may replace the text from `start` to `end`."""

    start: int
    end: int
    items: list[SuggestionData]


class Prepared(Data):
    """Code as a cell holds it, the cell's metadata, and a note on what was mended."""

    source: str
    metadata: dict[str, Any]
    note: str


# From a front end


class MethodCall(Data, tag_field="type", tag="call"):
    """A call of a method that is declared with `calls.call`."""

    id: str
    method: str
    arguments: dict[str, Any]


def read_call(content: object) -> MethodCall:
    """Return the call that a front end sent; `OptionError` if the message is none."""
    match content:
        # Pages of any protocol greet in this form, so it never changes.
        case {"type": "hello", "id": request_id, **arguments}:
            return read_call(
                {"type": "call", "id": request_id, "method": "hello", "arguments": arguments}
            )
    try:
        return convert(content, MethodCall)
    except ValidationError:
        raise misunderstood(content.get("type") if isinstance(content, dict) else None) from None


def misunderstood(kind: object) -> OptionError:
    """Return the error for a message of another protocol."""
    return OptionError(
        f"The page sent a message that nobody understands: {kind!r:.40}. Its jupyter_llm and "
        "the kernel's may differ: install the same version in both places."
    )


# To a front end


def _tag(name: str) -> str:
    """Return the `type` of a message by the name of its class: `PutCells` is `put-cells`."""
    return re.sub(r"(?<=.)(?=[A-Z])", "-", name.removesuffix("Message")).lower()


class ToFrontEnd(Data, tag_field="type", tag=_tag):
    """A message to a front end. In a panel all views receive it."""


class Ack(ToFrontEnd):
    """A call has arrived whose reply may take a while."""

    id: str


class Reply(ToFrontEnd):
    """The result of a call; the method's signature says its type."""

    id: str
    value: Any


class ErrorMessage(ToFrontEnd):
    """A request could not be fulfilled; why a chat's prompt or command failed is a notice."""

    id: str | None
    text: str


class ProgressMessage(ToFrontEnd):
    """The progress of a request, and its text: the next part, or all of it if `is_new`."""

    progress: Step
    id: str
    text: str = ""
    is_new: bool = False


class Activity(ToFrontEnd):
    """The work of the model; `beside` names the other loaded models and their roles.

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


# To a page


class Welcome(ToFrontEnd):
    """Answers `hello`. Pages of any protocol read this form, so it never changes."""

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

    If `before` is still the source of the cell itself, the first of `cells` replaces it. Only the
    page with the name `page`, which runs the cell, puts them.
    """

    id: str
    page: str | None
    cell: str
    before: str | None
    cells: list[NewCellData]


class ShowFix(ToFrontEnd):
    """Show what the button at a failed cell proposes, since a command asks for it."""

    cell: str


class Proposed(ToFrontEnd):
    """A task's proposal waits for a decision; if `waiting` is None, there was a decision."""

    task: str
    waiting: OpenProposal | None


class Resend(ToFrontEnd):
    """Edits are missing: send all cells of the notebook, as revision 1."""


class CompletionMessage(ToFrontEnd):
    """The progress of a completion. `item` counts its alternatives; each text is whole."""

    id: str
    item: int
    text: str
    is_final: bool


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
