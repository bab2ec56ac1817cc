"""What the model is told of the notebook, as a value that shows as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from jupyter_llm.chat.budget import (
    Budget,
    ContextMode,
    budget,
    tells_if_asked,
    tells_what_code_needs,
)
from jupyter_llm.chat.plan import cells_told, told_cell
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import count_of, markdown_table
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import secrets_in
from jupyter_llm.notebook.values.secrets import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.draft import Draft, Turn
    from jupyter_llm.notebook.cells.timeline import Snapshot

_MAX_SNIPPET = 50
_NO_ROOM = "no longer fits"
_EARLIER = "of an earlier kernel; --continue tells it"
_ALONE = "context none"
_IF_ASKED = "with a prompt about it"
_SOME_PROMPT = "?"
_UNCOUNTED = Budget(num_tokens=0)  # without a model nothing is left out


RowKind = Literal["system", "cell", "variable", "turn"]
"""What a row is about; what was attached to a turn counts as the turn's."""


@dataclass(frozen=True, slots=True)
class ContextRow:
    """A cell, a variable, something attached or a turn, how long it is, and whether it is told.

    `num_tokens` is None where it was not counted, as while no model is loaded: each counts its own
    way. `secrets` are the names of what is hidden in it, each as often as it is.
    """

    name: str
    is_in: bool
    state: str
    num_tokens: int | None
    kind: RowKind
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReport:
    """What would go along with the next prompt of a chat, and what would not and why.

    `num_tokens` is all of it, the chat template's own included, and `num_allowed` what the model
    is told at most in this mode; both are None while no model is loaded.
    With `is_if_asked` cells go along only with a prompt that is about them: long contexts harm a
    model of `num_parameters`. With `is_needed_for_code` a request for code goes along with what its
    code may build on, whatever the rows say of other prompts.
    """

    chat: str
    mode: ContextMode
    model: str | None
    rows: tuple[ContextRow, ...]
    num_tokens: int | None = None
    num_allowed: int | None = None
    num_parameters: int = 0
    is_if_asked: bool = False
    is_needed_for_code: bool = False

    @property
    def num_cells(self) -> int:
        """How many cells go along with the next prompt, or do if it is about them."""
        cells = (row for row in self.rows if row.kind == "cell")
        return sum(row.is_in or row.state == _IF_ASKED for row in cells)

    def num_tokens_of(self, kind: RowKind) -> int:
        """How many tokens go along of a kind, without the chat template's own."""
        return sum(row.num_tokens or 0 for row in self.rows if row.is_in and row.kind == kind)

    @property
    def hidden(self) -> Counter[str]:
        """The secrets that are hidden in what goes along, by name, and how often each is."""
        return Counter(name for row in self.rows if row.is_in for name in row.secrets)

    @property
    def headline(self) -> str:
        """One line that says how much of the budget is used."""
        if self.model is None:
            return (
                f"The next prompt of chat *{self.chat}* (context {self.mode}). No model is loaded, "
                "so there is nobody to count tokens."
            )
        return (
            f"The next prompt of chat *{self.chat}* (context {self.mode}), however short, takes "
            f"**{self.num_tokens} of {self.num_allowed} tokens** that {self.model} is told at most."
            f"{self._size_note}"
        )

    @property
    def _size_note(self) -> str:
        size = f"{self.num_parameters / 1e6:.0f}M parameters"
        notes = []
        if self.is_if_asked:
            notes.append(
                f" Long contexts harm a model of {size}: cells and variables go along only with "
                "prompts that name or point at them, or with `-c all`."
            )
        if self.is_needed_for_code:
            notes.append(
                f" For code (`-f code`) a model of {size} is told the cells that import, define or "
                "bind something, the last two and those that are meant, and then the variables, "
                "first as a program that it goes on with."
            )
        return "".join(notes)

    def to_markdown(self) -> str:
        """Everything as a table; texts from the notebook are not made safe."""
        table = [
            (row.name, "in" if row.is_in else "out", row.state, row.num_tokens or "")
            for row in self.rows
        ]
        if not table:
            return f"{self.headline}\n\nNo cell has run yet, and there is no turn."
        rows = markdown_table(("", "", "why", "tokens"), table)
        return f"{self.headline}{self._hidden_line}\n\n{rows}"

    @property
    def _hidden_line(self) -> str:
        hidden = self.hidden
        if not hidden:
            return ""
        names = ", ".join(
            f"`{name}`" + (f" ({num})" if num > 1 else "") for name, num in hidden.items()
        )
        verb = "is" if hidden.total() == 1 else "are"
        return (
            f"\n\n{count_of(hidden.total(), 'secret')} {verb} hidden in it: {names}. "
            "`/show NAME` tells one on purpose."
        )

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(self.to_markdown())

    def __str__(self) -> str:
        return self.to_markdown()


def context_report(
    chat: Chat, mode: ContextMode, *, goes_on: bool = False, counts_all: bool = True
) -> ContextReport:
    """Say what would go along with the next prompt of a chat; loads no model.

    With `goes_on` that is one that goes on from what an earlier kernel kept.

    With `counts_all=False` only the tokens of what goes along are counted, which takes no longer in
    a long chat than in a short one.
    """
    engine = chat.current.resident
    allowed = budget(engine.info, mode, None) if engine is not None else _UNCOUNTED
    # Some chat templates refuse messages that do not end with a prompt.
    draft = replace(chat.next_draft(allowed, mode, goes_on=goes_on), prompt=_SOME_PROMPT)
    is_if_asked = engine is not None and tells_if_asked(engine.info, mode)
    waiting = frozenset[CellEvent | None]()
    if is_if_asked:
        waiting = frozenset(part.cell for part in draft.cells)
        draft = draft.only()
    if engine is not None:
        draft = draft.fitted(allowed, engine.count_tokens)
    earlier = frozenset[int]() if goes_on else chat.restored
    listed = _Listing(draft, chat.timeline.snapshot(), mode, allowed, waiting, earlier)
    items = [*listed.system(), *listed.turns(chat.turns), *listed.cells(chat.turns)]
    counts: dict[int, int] = {}
    if engine is not None:
        counted = {n: item for n, item in enumerate(items) if counts_all or item.is_in}
        token_ids = engine.tokenize_texts([item.text for item in counted.values()])
        counts = {
            n: len(ids) + counted[n].num_more for n, ids in zip(counted, token_ids, strict=True)
        }
    return ContextReport(
        chat=chat.name or "without a name",
        mode=mode,
        model=engine.info.name if engine is not None else None,
        rows=tuple(
            ContextRow(
                item.name, item.is_in, item.state, counts.get(number), item.kind, item.secrets
            )
            for number, item in enumerate(items)
        ),
        num_tokens=engine.count_tokens(draft.messages) if engine is not None else None,
        num_allowed=allowed.num_tokens if engine is not None else None,
        num_parameters=engine.info.num_parameters if engine is not None else 0,
        is_if_asked=is_if_asked,
        is_needed_for_code=engine is not None and tells_what_code_needs(engine.info, mode),
    )


@dataclass(frozen=True, slots=True)
class _Item:
    """A row before its tokens are counted: those of `text` and `num_more` of an answer."""

    kind: RowKind
    name: str
    text: str
    is_in: bool
    state: str
    num_more: int = 0
    secrets: tuple[str, ...] = ()


class _Listing:
    """Lists what is in a draft and what is not, in the order of the conversation."""

    def __init__(
        self,
        draft: Draft,
        notebook: Snapshot,
        mode: ContextMode,
        allowed: Budget,
        waiting: frozenset[CellEvent | None],
        earlier: frozenset[int],
    ) -> None:
        self._draft = draft
        self._notebook = notebook
        self._mode = mode
        self._allowed = allowed
        self._waiting = waiting  # for a prompt that is about them
        self._earlier = earlier
        told = (part for turn in draft.turns for part in turn.told)
        self._cells_in = {part.cell for part in (*draft.front, *told, *draft.cells)}
        self._turns_in = {turn.number: turn for turn in draft.turns}

    def system(self) -> Iterator[_Item]:
        """List the system text."""
        if self._draft.system:
            yield _Item("system", "system text", self._draft.system, is_in=True, state="always")

    def turns(self, turns: Sequence[Turn]) -> Iterator[_Item]:
        """List the turns, each after what it told."""
        for number, turn in enumerate(turns, 1):
            sent = self._turns_in.get(turn.number)
            gone = _EARLIER if turn.number in self._earlier else _NO_ROOM
            for part in turn.told:
                if part.cell is not None:
                    yield self._cell(part.cell, part.sent, f"told in turn {number}", gone)
                    continue
                is_in = sent is not None and part in sent.told
                state = f"told in turn {number}" if is_in else gone if sent is None else _ALONE
                if part.attachment is not None:
                    name = f"attached {_code(part.attachment)}"
                    secrets = ("attached",) * part.sent.count(HIDDEN)
                    yield _Item("turn", name, part.sent, is_in, state, secrets=secrets)
                else:
                    name = f"variable {_code(part.variable)}"
                    secrets = (part.variable or "",) * part.sent.count(HIDDEN)
                    yield _Item("variable", name, part.sent, is_in, state, secrets=secrets)
            name = f"turn {number}: {_code(turn.prompt)}"
            usage = turn.completion.usage
            num_answer = usage.completion_tokens - usage.reasoning_tokens
            is_in, state = sent is not None, gone if sent is None else ""
            yield _Item("turn", name, turn.prompt, is_in, state, num_answer)

    def cells(self, turns: Sequence[Turn]) -> Iterator[_Item]:
        """List the cells that no turn has told."""
        told = cells_told(turns)
        for cell in self._notebook.cells:
            if cell not in told:
                part = told_cell(cell, self._allowed)
                yield self._cell(cell, part.text, "with the next prompt")

    def _cell(self, cell: CellEvent, text: str, where: str, gone: str = _NO_ROOM) -> _Item:
        number = cell.execution_count if cell.execution_count is not None else " "
        name = f"In [{number}] {_code(cell.source)}"
        if self._notebook.is_hidden(cell):
            return _Item("cell", name, text, is_in=False, state="hidden")
        if cell in self._cells_in:
            pinned = "pinned, " if cell in self._notebook.pinned else ""
            # Of a cell of an earlier kernel only the marks are left.
            num_hidden = text.count(HIDDEN)
            secrets = (*secrets_in(cell), *("a secret",) * num_hidden)[:num_hidden]
            return _Item("cell", name, text, is_in=True, state=f"{pinned}{where}", secrets=secrets)
        if gone == _EARLIER:
            state = gone
        elif self._mode == "none":
            state = _ALONE
        elif isinstance(self._mode, int):
            state = f"not one of the last {self._mode}"
        else:
            state = _IF_ASKED if cell in self._waiting else _NO_ROOM
        return _Item("cell", name, text, is_in=False, state=state)


def _code(text: str | None) -> str:
    """The beginning of a text as a code span."""
    line = next(iter((text or "").strip().splitlines()), "").replace("`", "'")
    return f"`{line[:_MAX_SNIPPET]}…`" if len(line) > _MAX_SNIPPET else f"`{line}`"
