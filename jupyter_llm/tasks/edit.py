"""Changes a cell as somebody asks for in words, or only the lines of it that are selected."""

from __future__ import annotations

from difflib import SequenceMatcher
from textwrap import indent
from typing import TYPE_CHECKING

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.names import unknown_names
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.tasks.hidden import restored
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.shown_cell import cells_before, variables_text

if TYPE_CHECKING:
    from jupyter_llm.tasks.shown_cell import ShownCell
    from jupyter_llm.tasks.task import Task

_EDIT = (
    "Change {title} like this: {instruction}\n\nAnswer with the whole changed cell as one Python "
    "code block, in which everything else stays as it is."
)
_WRITE = "Write the code of the next cell of this notebook, which does this: {instruction}"


def edit(task: Task, cell: ShownCell, instruction: str) -> Proposal:
    """Propose a change as it is asked for; of selected lines nothing but these.

    In an empty cell it is what to write there. `MagicUsageError`: nothing is asked for, no code is
    in the answer, or it changes nothing.
    """
    cell.check_is_python()
    if not instruction.strip():
        raise MagicUsageError("There is no instruction.", "Say what is to be changed.")
    before, rows = cell.source, None
    if before.strip():
        subject = cell.subject(task.cells)
        rows = subject.rows
        parts = [subject.text, variables_text(subject.source, task)]
        request = _EDIT.format(title=subject.title, instruction=instruction.strip())
    else:
        parts = [cells_before(cell, task), variables_text(instruction, task)]
        request = _WRITE.format(instruction=instruction.strip())
    answer = task.code("\n\n".join(filter(None, (*parts, request))), unlike=before)
    cell.check_is_whole(answer.completion)
    source = restored(answer.source, before)
    if rows is not None:
        source = _confined(before, source, rows)
    source = cell.changed(source)
    return Proposal(
        source=source,
        completion=answer.completion,
        cell=cell.event(task.cells),
        unknown_names=unknown_names(source, task.namespace),
    )


def _confined(before: str, after: str, rows: range) -> str:
    """Code in which only some lines are changed, to what they are in other code.

    That may be all of it, or nothing but these lines.
    """
    first = next(line for line in before.split("\n")[rows.start : rows.stop] if line.strip())
    space = first[: len(first) - len(first.lstrip())]
    found = [_merged(before, text, rows) for text in (after, indent(after, space))]
    return next((text for text in found if syntax_error(text) is None), found[0])


def _merged(before: str, after: str, rows: range) -> str:
    old, new = before.split("\n"), after.split("\n")
    lines: list[str] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        first, last = max(i1, rows.start), min(i2, rows.stop)
        if kind == "equal" or first > last:
            lines += old[i1:i2]
            continue
        theirs = new[j1:j2]
        if i2 - i1 == j2 - j1:  # line by line, also where the change goes on beyond these
            theirs = theirs[first - i1 : last - i1]
        lines += [*old[i1:first], *theirs, *old[last:i2]]
    return "\n".join(lines)
