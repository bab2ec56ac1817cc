"""What goes along with a prompt: turns, cells that were not told yet, variables. Pure functions.

A chat tells the model each run of a cell once, with the next prompt, and repeats it as it was sent.
So a prompt begins with the tokens of the one before it, and only its end is read. When it outgrows
its budget, the oldest turns and cells are left out in one large cut, and then it grows again.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Message
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import conceals, render_cell
from jupyter_llm.notebook.values.redaction import without_registered
from jupyter_llm.notebook.values.secrets import HIDDEN, is_concealed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Mapping, Sequence

    Count = Callable[[tuple[Message, ...]], int]
    Gone = frozenset[int | CellEvent]
    """What a branch leaves out for good: turns, by number, and cells that no turn told."""

NO_ROOM = "no longer fits"
EARLIER = "of an earlier kernel; --continue tells it"
ALONE = "context none"
IF_ASKED = "with a prompt about it"

_CELLS = "These cells ran in the notebook:\n\n"
_VARIABLES = "Variables:\n\n"
_ATTACHED = "Attached:\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """Something that was told with a prompt: a run of a cell, a variable, or an attachment.

    What is `asked_for` went along although the notebook did not: it was named to do so.
    """

    text: str
    cell: CellEvent | None = None
    variable: str | None = None
    attachment: str | None = None
    asked_for: bool = False

    @property
    def sent(self) -> str:
        """The text as the model reads it; an attachment is told by its name.

        What is hidden by now is left out, also of what an earlier prompt has told.
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
    """A prompt and what the model wrote.

    `origin` is the cell it came from, `by` who asked, if known. The `instruction` told the model
    what the answer was to look like.

    `told` are the cells and variables that went with the prompt and with none before it, and what
    was attached to it. `number` tells the turns of a chat apart and grows along each branch of it,
    `parent` is that of the turn before, 0 at the start. `finished_at` is in seconds since 1970, and
    `cuts` are what the chat's conversations leave out from here on.
    """

    prompt: str
    completion: Completion
    origin: Hashable = None
    by: str = ""
    told: tuple[Part, ...] = field(default=(), repr=False)
    number: int = 0
    parent: int = 0
    finished_at: float = field(default=0.0, repr=False, compare=False)
    cuts: Mapping[str, Gone] = field(default_factory=dict, repr=False, compare=False)
    instruction: str = field(default="", repr=False)

    @property
    def attachments(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of what was attached to the prompt."""
        told = self.told
        return tuple((part.attachment, part.text) for part in told if part.attachment is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prompt with all that goes along with it.

    `turns` come before it and tell what they told, `cells` and `attachments` are told with it.
    `variables` are told where none of the turns has said the same, and an `instruction` right
    before the prompt. Pinned cells whose turn was left
    out stand in `front`, before the first of the others.

    Of one that is going to be sent, `owned` is what its turn is to own, and `gone` what its branch
    leaves out from then on. A prompt aside is not what the next one goes on from, so it leaves
    alone what is resident of the chat. With `is_alone` it goes without cells that it is not about.
    `why_out`: the reasons why cells, and turns by their numbers, are left out; see `reason`.
    """

    prompt: str
    system: str | None = None
    turns: tuple[Turn, ...] = ()
    cells: tuple[Part, ...] = ()
    variables: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    front: tuple[Part, ...] = ()
    pinned: frozenset[CellEvent] = frozenset()
    owned: tuple[Part, ...] = ()
    gone: Gone = frozenset()
    is_aside: bool = False
    is_alone: bool = False
    instruction: str = ""
    why_out: Mapping[int | CellEvent, str] = field(default_factory=dict, repr=False, compare=False)

    def reason(self, what: int | CellEvent) -> str:
        """Return why a cell, or a turn by its number, is not in the draft."""
        return self.why_out.get(what, NO_ROOM)

    @property
    def told(self) -> tuple[Part, ...]:
        """What is told with this prompt and with none before it."""
        known = {part.variable: part.text for turn in self.turns for part in turn.told}
        news = (part for part in self.variables if known.get(part.variable) != part.text)
        return (*self.cells, *news, *self.attachments)

    def only(self, cells: Container[CellEvent | None] = ()) -> Draft:
        """This draft, of whose cells only some and the pinned ones are told with it."""
        kept, out = [], dict(self.why_out)
        for part in self.cells:
            if part.cell in cells or part.cell in self.pinned:
                kept.append(part)
            elif part.cell is not None:
                out[part.cell] = IF_ASKED
        return replace(self, cells=tuple(kept), why_out=out)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages to send; without a prompt, what any prompt would begin with."""
        messages = [Message("system", self.system)] if self.system else []
        front = self.front
        for turn in self.turns:
            messages.append(_user_message((*front, *turn.told), turn.instruction, turn.prompt))
            messages.append(turn.completion.message)
            front = ()
        told = (*front, *self.told)
        if told or self.prompt:
            messages.append(_user_message(told, self.instruction, self.prompt))
        return tuple(messages)

    @property
    def num_droppable(self) -> int:
        """How many turns and cells may be left out."""
        return len(self.turns) + sum(part.cell not in self.pinned for part in self.cells)

    def without_oldest(self, count: int) -> Draft:
        """Leave out the oldest turns, and then cells; what is pinned moves to the front."""
        num_turns = min(count, len(self.turns))
        saved = tuple(
            part
            for turn in self.turns[:num_turns]
            for part in turn.told
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

    def fitted(self, limit: int, count: Count) -> Draft:
        """This draft if it is within the budget, or one that takes half of it.

        Where much cannot be left out, a third of the room beside it is filled with what can.
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


def _user_message(told: Sequence[Part], instruction: str, prompt: str) -> Message:
    """A message that is only made of parts if something is told with the prompt."""
    asked = Message("user", prompt).instructed(instruction)
    if not told:
        return asked
    sections: dict[str, list[str]] = {_CELLS: [], _VARIABLES: [], _ATTACHED: []}
    for part in told:
        of_values = _VARIABLES if part.attachment is None else _ATTACHED
        sections[of_values if part.cell is None else _CELLS].append(part.sent)
    texts = [text for title, parts in sections.items() if parts for text in (title, *parts)]
    return Message.of_parts("user", [*texts, *(asked.parts or filter(None, [prompt]))])
