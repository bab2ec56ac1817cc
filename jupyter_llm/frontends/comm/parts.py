"""What the messages between the panel and its kernel side are made of."""

from __future__ import annotations

from typing import Literal, TypedDict

SuggestionKind = Literal["command", "variable", "cell"]
TurnState = Literal["waiting", "reading", "writing", "finished"]


class AttachmentData(TypedDict):
    """Something that goes along with a prompt: what it is called, and its text."""

    label: str
    text: str


class UsageData(TypedDict):
    """What an answer cost."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    first_token_s: float
    tokens_per_s: float


class ToldData(TypedDict):
    """What a prompt told the model of the notebook: so many cells, and these variables."""

    cells: int
    variables: list[str]


class TurnData(TypedDict):
    """A prompt and what was written so far; the usage comes at the end.

    `siblings` are the numbers of the turns with the same parent, oldest first, its own included.
    `attachments` are labels.
    """

    number: int
    parent: int
    siblings: list[int]
    prompt: str
    attachments: list[str]
    text: str
    state: TurnState
    finish_reason: str | None
    model: str | None
    seed: int | None
    temperature: float | None
    exact: bool
    usage: UsageData | None
    told: ToldData


class PartsData(TypedDict):
    """How many tokens of the next prompt each part takes."""

    system: int
    cells: int
    turns: int
    variables: int


class StatusData(TypedDict):
    """The model and how full it is.

    `used` of `allowed` tokens are what the next prompt begins with; `used` counts the chat
    template's own tokens beside the parts. Without a model the numbers are None, or 0.
    """

    model: str | None
    is_loaded: bool
    n_ctx: int | None
    allowed: int | None
    used: int | None
    parts: PartsData
    tokens_per_s: float | None
    cached_share: float | None


class ProposalData(TypedDict):
    """Code proposed for a cell, or for a new one where `before` is None."""

    source: str
    cell_id: str | None
    execution_count: int | None
    before: str | None
    unknown_names: list[str]


class NoticeData(TypedDict):
    """What a command answered, or why a prompt could not be answered; no turn.

    Its id is that of the request it answers, and `prompt` what was typed. It stands behind the turn
    with the number `after`, 0 at the start. Unfinished, it is sent again as it grows.
    """

    id: str
    after: int
    prompt: str
    markdown: str
    level: Literal["info", "error"]
    is_finished: bool
    proposal: ProposalData | None


class ProgressData(TypedDict):
    """How far something is, in words, and as a share from 0 to 1 where that is known."""

    text: str
    share: float | None


class PendingData(TypedDict):
    """A request that has no turn and no notice yet: it loads, reads `{{…}}`, or a command runs."""

    id: str
    text: str
    progress: ProgressData | None


class SuggestionData(TypedDict):
    """What may be typed: `text` takes the place of what stands from `start` to `end`."""

    text: str
    label: str
    kind: SuggestionKind
    name: str
    detail: str


class CheckedData(TypedDict):
    """The names and modules that a piece of code uses and that exist nowhere."""

    source: str
    unknown_names: list[str]
    missing_modules: list[str]
