"""The context of a prompt: turns, new cells, variables and attachments. Pure functions.

A chat includes each run of a cell once, with the next prompt, and repeats it as it was sent. So a
prompt begins with the tokens of the one before it, and only its end is read. When the prompt
outgrows its budget, the oldest turns and cells are left out in one large cut.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Message
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import conceals, render_cell
from jupyter_llm.notebook.cells.rules import Rules, joined
from jupyter_llm.notebook.values.redaction import without_registered
from jupyter_llm.notebook.values.secrets import HIDDEN, is_concealed

Count = Callable[[tuple[Message, ...]], int]
Cut = frozenset[int | CellEvent]
"""The parts that a branch omits for good: numbers of turns, and cells that no turn includes."""

NO_ROOM = "no longer fits"
HIDDEN_CELL = "hidden"
EARLIER = "of an earlier kernel; --continue includes it"
ALONE = "context none"
IF_ASKED = "with a prompt about it"

_CELLS = "These cells ran in the notebook:\n\n"
_VARIABLES = "Variables:\n\n"
_ATTACHED = "Attached:\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a cell, a variable or an attachment that a prompt includes.

    `asked_for`: the prompt named it, although it includes nothing else of the notebook.
    """

    text: str
    cell: CellEvent | None = None
    variable: str | None = None
    attachment: str | None = None
    asked_for: bool = False

    @property
    def sent(self) -> str:
        """The text as the model reads it, with the name of an attachment before it.

        Secrets that are hidden by now are masked, also in the parts of earlier prompts.
        """
        text, room = without_registered(self.text), len(self.text)
        if self.cell is not None and conceals(self.cell):
            text = f"{render_cell(self.cell, source_chars=room, output_chars=room)}\n"
        elif self.variable is not None and is_concealed(self.variable, None):
            text = f"{self.variable}: {HIDDEN}\n\n"
        if self.attachment is None:
            return text
        return "{}:\n{}\n\n".format(self.attachment, text.strip("\n"))


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and its answer.

    `origin`: the cell of the prompt. `by`: the person who asked, if known. `instruction`: what the
    prompt said about the form of the answer. `parts`: the cells and variables that this prompt
    included and no prompt before it, and its attachments. `number` identifies the turn in its chat
    and grows along each branch. `parent`: the number of the turn before, 0 at the start.
    `finished_at`: seconds since 1970. `cuts`: what the conversations of the chat leave out from
    here on. `code`: a task's answer, with what this kernel knows of its code.
    """

    prompt: str
    completion: Completion
    origin: Hashable = None
    by: str = ""
    parts: tuple[Part, ...] = field(default=(), repr=False)
    number: int = 0
    parent: int = 0
    finished_at: float = field(default=0.0, repr=False, compare=False)
    cuts: Mapping[str, Cut] = field(default_factory=dict, repr=False, compare=False)
    instruction: str = field(default="", repr=False)
    code: Any = field(default=None, repr=False, compare=False)

    @property
    def attachments(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of the attachments of the prompt."""
        parts = self.parts
        return tuple((part.attachment, part.text) for part in parts if part.attachment is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A prompt with its context.

    `turns` come before the prompt and repeat their parts; `cells` and `attachments` are new.
    `variables` are included unless a turn said the same, and an `instruction` right before the
    prompt. `rules` come before the `system` text. `front`: pinned cells of turns that were left
    out, before the first other turn.

    `owned`: the parts that the turn will own. `cut`: what its branch leaves out from then on.
    `is_aside`: the next prompt does not continue this one, so the resident tokens of the chat stay.
    `is_alone`: the prompt leaves out cells that it is not about. `why_out`: why a cell, or a turn
    by its number, is left out; `reason` reads it.
    """

    prompt: str
    system: str | None = None
    rules: Rules | None = None
    turns: tuple[Turn, ...] = ()
    cells: tuple[Part, ...] = ()
    variables: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    front: tuple[Part, ...] = ()
    pinned: frozenset[CellEvent] = frozenset()
    owned: tuple[Part, ...] = ()
    cut: Cut = frozenset()
    is_aside: bool = False
    is_alone: bool = False
    instruction: str = ""
    why_out: Mapping[int | CellEvent, str] = field(default_factory=dict, repr=False, compare=False)

    def reason(self, what: int | CellEvent) -> str:
        """Return why a cell, or a turn by its number, is not in the context."""
        return self.why_out.get(what, NO_ROOM)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that this prompt includes and no prompt before it."""
        known = {part.variable: part.text for turn in self.turns for part in turn.parts}
        news = (part for part in self.variables if known.get(part.variable) != part.text)
        return (*self.cells, *news, *self.attachments)

    def only(self, cells: Container[CellEvent | None] = ()) -> Context:
        """Return the context with some of its new cells, and the pinned ones."""
        kept, out = [], dict(self.why_out)
        for part in self.cells:
            if part.cell in cells or part.cell in self.pinned:
                kept.append(part)
            elif part.cell is not None:
                out[part.cell] = IF_ASKED
        return replace(self, cells=tuple(kept), why_out=out)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages to send; without a prompt, those that any prompt would begin with."""
        system = joined(self.rules, self.system)
        messages = [Message("system", system)] if system else []
        front = self.front
        for turn in self.turns:
            messages.append(_user_message((*front, *turn.parts), turn.instruction, turn.prompt))
            messages.append(turn.completion.message)
            front = ()
        parts = (*front, *self.parts)
        if parts or self.prompt:
            messages.append(_user_message(parts, self.instruction, self.prompt))
        return tuple(messages)

    @property
    def num_droppable(self) -> int:
        """The number of turns and cells that may be left out."""
        return len(self.turns) + sum(part.cell not in self.pinned for part in self.cells)

    def without_oldest(self, count: int) -> Context:
        """Leave out the oldest turns, and then cells; pinned cells move to the front."""
        num_turns = min(count, len(self.turns))
        saved = tuple(
            part
            for turn in self.turns[:num_turns]
            for part in turn.parts
            if part.cell in self.pinned
        )
        num_cells = count - num_turns
        cells: list[Part] = []
        for part in self.cells:
            if num_cells and part.cell not in self.pinned:
                num_cells -= 1
            else:
                cells.append(part)
        return replace(
            self, turns=self.turns[num_turns:], cells=tuple(cells), front=(*self.front, *saved)
        )

    def fitted(self, limit: int, count: Count) -> Context:
        """Return the context if it fits into the budget, or one that takes half of the budget.

        If most of it cannot be left out, a third of the remaining room is filled with the rest.
        """
        if not self.num_droppable or count(self.messages) <= limit:
            return self

        def size(num_dropped: int) -> int:
            return count(self.without_oldest(num_dropped).messages)

        num_fixed = size(self.num_droppable)
        target = max(limit // 2, num_fixed + (limit - num_fixed) // 3)
        candidates = range(1, self.num_droppable)
        least = bisect_left(candidates, True, key=lambda dropped: size(dropped) <= target)  # noqa: FBT003
        return self.without_oldest(least + 1)


def _user_message(parts: Sequence[Part], instruction: str, prompt: str) -> Message:
    """Return a message, made of parts if the prompt includes any."""
    asked = Message("user", prompt).instructed(instruction)
    if not parts:
        return asked
    sections: dict[str, list[str]] = {_CELLS: [], _VARIABLES: [], _ATTACHED: []}
    for part in parts:
        of_values = _VARIABLES if part.attachment is None else _ATTACHED
        sections[of_values if part.cell is None else _CELLS].append(part.sent)
    texts = [text for title, parts in sections.items() if parts for text in (title, *parts)]
    return Message.of_parts("user", [*texts, *(asked.parts or filter(None, [prompt]))])
