"""Makes of what somebody typed what is sent: values put in, variables and cells that go along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.clipping import clip
from jupyter_llm.frontends.prompt.expressions import interpolate
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.values.variables import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_llm.chat.conversation import Describe
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.values.summaries import Summary

ASK_S = 0.4  # that the user's own `repr`s may take when a prompt is sent
_NUM_RECENT_CELLS = 2  # whose variables go along unasked
_MAX_VARIABLE_CHARS = 1600  # of all summaries that go along with a prompt: about 500 tokens
_MAX_CELL_CHARS = 8000  # of a cell that is attached, its outputs included
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")


def expander(namespace: Mapping[str, Any]) -> Callable[[str], str]:
    """Return what puts the value of each `{{expression}}` into a text.

    An expression sees a copy of the namespace: it is to read variables, not to set them.
    """
    copy = dict(namespace)
    return lambda text: interpolate(text, lambda source: eval(source, copy))  # noqa: S307  theirs


def describer(
    prompt: str,
    variables: Callable[[], Mapping[str, Any]],
    *,
    choice: str = "auto",
    deadline_s: float = ASK_S,
) -> Describe:
    """Return what summarises the variables that go along with a prompt, when it is sent.

    The prompt is as it was typed: an `@` in a value that is put in means nothing.
    """

    def summaries(_prompt: str, cells: Sequence[CellEvent]) -> Sequence[Summary]:
        return describe(
            prompt,
            [cell.source for cell in cells[-_NUM_RECENT_CELLS:]],
            variables(),
            choice=choice,
            max_chars=_MAX_VARIABLE_CHARS,
            deadline_s=deadline_s,
        )

    return summaries


@dataclass(frozen=True, slots=True)
class Attaching:
    """A prompt, and the cells that its `@In[3]` attach, as pairs of a label and a text."""

    prompt: str
    attachments: tuple[tuple[str, str], ...] = ()


def attach_cells(prompt: str, cells: Sequence[CellEvent]) -> Attaching:
    """Take the `@In[3]` of a prompt for the cells they name: their sources and what they showed.

    Raises
    ------
    MagicUsageError
        No such cell has run.
    """
    numbers = dict.fromkeys(_CELL.findall(prompt))
    attachments = tuple(
        (f"In [{number}]", clip(cell_text(find_cell(number, cells)), _MAX_CELL_CHARS))
        for number in numbers
    )
    return Attaching(_CELL.sub(r"In [\1]", prompt), attachments)
