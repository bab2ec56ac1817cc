"""What goes along with a prompt: the cells and variables that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.values.variables import at_names, describe, used

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.values.summaries import Summary

_ASK_S = 0.4  # that the user's own `repr`s may take when a prompt is sent
_NUM_RECENT_CELLS = 2  # whose variables go along unasked
_MAX_VARIABLE_CHARS = 1600  # of all summaries that go along with a prompt: about 500 tokens
_MAX_CELL_CHARS = 8000  # of a cell that is attached, its outputs included
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Describer:
    """What summarises the variables that go along with a prompt, when it is sent.

    The prompt is as it was typed: an `@` in a value that is put in means nothing. Where `names` are
    given, other variables count only if the cells before the prompt use them, or by their `@`.
    """

    prompt: str
    choice: str = "auto"
    deadline_s: float = _ASK_S
    names: frozenset[str] | None = None

    def __call__(self, _sent: str, cells: Sequence[CellEvent]) -> Sequence[Summary]:
        """The summaries, given the cells before the prompt."""
        sources = [cell.source for cell in cells]
        variables = own_variables(current_shell())
        return describe(
            self.prompt,
            sources[-_NUM_RECENT_CELLS:],
            variables,
            choice=self.choice,
            unasked=None if self.names is None else self._known(sources, variables),
            max_chars=_MAX_VARIABLE_CHARS,
            deadline_s=self.deadline_s,
        )

    def meant(self, named: Sequence[str], cells: Sequence[CellEvent]) -> tuple[str, ...]:
        """Those of the variables a prompt names that count, given all cells before it."""
        variables = own_variables(current_shell())
        known = {*at_names(self.prompt, variables), *self.choice.split(","), *(self.names or ())}
        if not known.issuperset(named):
            known |= self._known([cell.source for cell in cells], variables)
        return tuple(name for name in named if name in known)

    def _known(self, sources: Sequence[str], variables: Mapping[str, object]) -> frozenset[str]:
        found = (name for source in sources for name in used(source, variables))
        return (self.names or frozenset()).union(found)


def of_cell(asked: Asked, chat: Chat, origin: Hashable) -> Asked:
    """A prompt of a cell; asked again, it knows the variables of when it was first asked."""
    asked = replace(asked, origin=origin)
    first = chat.first_asked(origin)
    if first is not None and isinstance(asked.describe, Describer):
        tick, names = first
        describer = replace(asked.describe, names=names)
        above = chat.timeline.snapshot().above(tick).visible
        asked = replace(asked, describe=describer, named=describer.meant(asked.named, above))
    return asked


def attach_cells(
    prompt: str, cells: Sequence[CellEvent]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A prompt whose `@In[3]` have become names, and what they attach: cells with what they showed.

    Raises `MagicUsageError` if no such cell has run.
    """
    attachments = tuple(
        (f"In [{number}]", clip(cell_text(find_cell(number, cells)), _MAX_CELL_CHARS))
        for number in dict.fromkeys(_CELL.findall(prompt))
    )
    return _CELL.sub(r"In [\1]", prompt), attachments
