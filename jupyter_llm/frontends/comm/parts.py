"""What messages to and from front ends are made of: values, as JSON holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from jupyter_llm.common.bars import Step
    from jupyter_llm.engine.completion import Usage

ActivityState = Literal["none", "loading", "idle", "waiting", "reading", "writing"]
CellKind = Literal["code", "markdown", "raw"]
SuggestionKind = Literal["command", "variable", "cell"]
TurnState = Literal["waiting", "reading", "writing", "finished"]
PullState = Literal["running", "stopped", "failed", "licence", "done"]


# Not spelled out below, since mypy does not know that Structs hand `frozen` on.
_STRICT: Any = {"frozen": True, "forbid_unknown_fields": True}


class Data(Struct, **_STRICT):
    """A JSON object that has these fields and no others."""


class AttachmentData(Data):
    """Something that goes along with a prompt: what it is called, and its text."""

    label: str
    text: str


class UsageData(Data):
    """What an answer cost."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    first_token_s: float
    tokens_per_s: float
    reasoning_tokens: int = 0


def usage_data(usage: Usage) -> UsageData:
    """What an answer cost, as the front end knows it."""
    return UsageData(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        first_token_s=round(usage.first_token_s, 3),
        tokens_per_s=round(usage.tokens_per_s, 2),
    )


class ToldData(Data):
    """What a prompt told the model of the notebook: so many cells, and these variables."""

    cells: int
    variables: list[str]


class TurnData(Data):
    """A prompt and what was written so far; the usage comes at the end.

    `siblings` are the numbers of the turns with the same parent, its own included.
    """

    number: int
    parent: int
    siblings: list[int]
    prompt: str
    attachments: list[str]
    text: str
    state: TurnState
    told: ToldData
    finish_reason: str | None = None
    model: str | None = None
    seed: int | None = None
    temperature: float | None = None
    exact: bool = False
    usage: UsageData | None = None
    reasoning: str = ""


class PartsData(Data):
    """How many tokens of the next prompt each part takes."""

    system: int = 0
    cells: int = 0
    turns: int = 0
    variables: int = 0


class StatusData(Data):
    """The model and how full it is: the next prompt begins with `used` of `allowed` tokens.

    `used` counts the chat template's own tokens beside the parts. So many cells go along by
    themselves, or with `is_if_asked` with a prompt that is about them.
    """

    model: str | None = None
    is_loaded: bool = False
    n_ctx: int | None = None
    allowed: int | None = None
    used: int | None = None
    parts: PartsData = PartsData()
    tokens_per_s: float | None = None
    cached_share: float | None = None
    num_cells: int = 0
    is_if_asked: bool = False


class ProposalData(Data):
    """Code proposed for a cell, or for a new one where `before` is None."""

    source: str
    cell_id: str | None
    execution_count: int | None
    before: str | None
    unknown_names: list[str]


class ChoiceData(Data):
    """A command that is offered: what its button says, and what pressing it sends."""

    label: str
    text: str


class NoticeData(Data):
    """What a command answered, or why a prompt could not be answered; no turn.

    Its id is that of the request, `prompt` what was typed. It stands behind the turn `after`, 0 at
    the start, and is sent again as it grows. `choices` are what may be done next.
    """

    id: str
    after: int
    prompt: str
    markdown: str
    level: Literal["info", "error"] = "info"
    is_finished: bool = True
    proposal: ProposalData | None = None
    choices: list[ChoiceData] = []


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


class ProgressData(Data):
    """How far something is, in words, and as a share from 0 to 1 where that is known."""

    text: str
    share: float | None


def progress_data(step: Step) -> ProgressData:
    """What goes on, as the front end knows it."""
    share = round(step.share, 3) if step.share is not None else None
    return ProgressData(text=step.text, share=share)


class PendingData(Data):
    """A request that has no turn and no notice yet: it loads, reads `{{…}}`, or a command runs."""

    id: str
    text: str
    progress: ProgressData | None = None


class SuggestionData(Data):
    """What may be typed: `text` takes the place of what stands from `start` to `end`."""

    text: str
    label: str
    kind: SuggestionKind
    name: str
    detail: str


class CheckedData(Data):
    """The names and modules that a piece of code uses and that exist nowhere."""

    source: str
    unknown_names: list[str]
    missing_modules: list[str]


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


class ActivityData(Data):
    """What the model does; `beside` names the others that are loaded, and what they are for."""

    state: ActivityState
    model: str | None = None
    share: float | None = None
    kv_used: int = 0
    kv_room: int = 0
    process_bytes: int = 0
    beside: list[str] = field(default_factory=list)
