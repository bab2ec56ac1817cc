"""Cells that an agent proposes. They wait in the notebook until a person accepts or rejects them.

Agents may write anything, so the lengths are limited, and invisible characters are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal, Protocol
from uuid import uuid4

from msgspec import Meta, Struct

from jupyter_llm.common.controls import visible
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.document import CellKind, DocumentCell
from jupyter_llm.notebook.code.names import defined_names, unknown_names
from jupyter_llm.notebook.sealed.hidden import Hidden
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tries import Tries

if TYPE_CHECKING:
    from jupyter_llm.notebook.sealed.chain import Chain  # imports what Linux has

_PERIOD_S = 0.2  # between looks at what the person decided
_NOT_TRIED = "not tried: code is not tried here and now"
_HINT = "read_notebook lists the ids."


class CellChange(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """A new cell, or a change of a cell."""

    action: Literal["new", "change", "delete"]
    cell_id: Annotated[
        str, Meta(max_length=200, description="the cell; a new one comes below it, or at the end")
    ] = ""
    source: Annotated[str, Meta(max_length=20_000, description="all of the cell's new text")] = ""
    cell_type: Annotated[
        Literal["code", "markdown"], Meta(description="of a new cell; no change alters it")
    ] = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCell:
    """A proposal at a cell, with a `verdict` on what was seen when it was tried.

    `before` is the source of the cell that changes; None for new cells below it. `sources` has one
    text, an empty one to delete the cell, or the texts of all new cells. `kinds`: those of the new
    cells.
    """

    cell_id: str
    before: str | None
    sources: tuple[str, ...]
    kinds: tuple[CellKind, ...] = ()
    verdict: str = ""
    unknown_names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The proposal in words."""
        if self.before is None:
            return f"{len(self.sources)} new below {self.cell_id}"
        return f"{'change' if self.sources[0] else 'delete'} {self.cell_id}"


class Reviewer(Protocol):
    """The pages that show proposals, and keep them until a person decides."""

    @property
    def is_shown(self) -> bool:
        """Whether a page shows the notebook."""

    def propose(self, cells: Mapping[str, ProposedCell]) -> None:
        """Show proposals by their names."""

    def all(self) -> Collection[str]:
        """Return the names of those that wait."""

    def accepted(self) -> Mapping[str, str]:
        """Return the accepted sources by the names of their proposals."""


reviewer: Reviewer | None = None
"""The pages of this kernel; None until one connects."""

_last: dict[str, ProposedCell] = {}  # the last proposal of an agent, by the names of its parts
_proposing = threading.Lock()


def propose_cells(
    task: Task,
    cells: Annotated[list[CellChange], Meta(min_length=1, max_length=20, description="in order")],
) -> str:
    """Propose cells to the person: new, changed or deleted; the person accepts or rejects each.

    read_notebook lists the ids of the cells. The code is tried in a sealed copy first, one cell
    after the other, and the person sees the outcome. Nothing runs by itself. New cells at one place
    are accepted or rejected together. Call proposal_state then: it waits for the decision.
    """
    global _last  # noqa: PLW0603  bound anew: another thread may read it
    with _proposing:
        pages = _pages()
        if _waiting(task, pages):
            raise OptionError(
                "Another proposal waits for the person. Call proposal_state to wait for the "
                "decision, then propose again."
            )
        proposed = _tried(task, _checked(task, cells))
        name = f"agent-{uuid4().hex[:8]}"
        _last = {f"{name}/{at}": one for at, one in enumerate(proposed, 1)}
        pages.propose(_last)
    return f"The notebook shows the proposal. Call proposal_state.\n\n{_states(task, pages)}"


def proposal_state(
    task: Task,
    wait_s: Annotated[float, Meta(ge=0, le=60, description="how long to wait for decisions")] = 30,
) -> str:
    """Return what the person accepted and rejected of the last proposal; waits for the decisions.

    Call it again while a part is not decided.
    """
    pages = _pages()
    if not _last:
        return "Nothing was proposed."
    end_s, tick = time.monotonic() + wait_s, task.tries.ticking("Waiting for the person")
    while _waiting(task, pages) and time.monotonic() < end_s:
        tick()
        time.sleep(_PERIOD_S)
    return _states(task, pages)


def _pages() -> Reviewer:
    if reviewer is None or not reviewer.is_shown:
        raise OptionError(
            "No page shows this notebook, so nobody can see a proposal. The person has to open it "
            "in JupyterLab or Notebook with the extension of jupyter_llm."
        )
    return reviewer


def _waiting(task: Task, pages: Reviewer) -> list[str]:
    """Return the names of the parts that a person can still decide about."""
    waiting, known = pages.all(), _known(task)
    return [name for name, one in _last.items() if name in waiting and one.cell_id in known]


def _known(task: Task) -> dict[str, DocumentCell]:
    return {cell.cell_id: cell for cell in task.tries.unrun.visible}


def _states(task: Task, pages: Reviewer) -> str:
    waiting, accepted, known = _waiting(task, pages), pages.accepted(), _known(task)
    lines = []
    for name, one in _last.items():
        is_gone = one.cell_id not in known
        state = "not accepted, and its cell is gone" if is_gone else "rejected"
        state = "not decided yet" if name in waiting else state
        if (source := accepted.get(name)) is not None:
            is_same = source.rstrip() == one.sources[0].rstrip()
            state = "accepted" if is_same else f"accepted in part, as\n{code_block(source)}"
        tried = f" ({one.verdict})" if one.verdict else ""
        lines.append(f"{name.partition('/')[2]}. {one.title}{tried}: {state}")
    return redact_mixed("\n".join(lines)).text


def _checked(task: Task, cells: Sequence[CellChange]) -> list[tuple[CellChange, DocumentCell]]:
    """Return each change with its cell; `OptionError` says which of them makes no sense."""
    known = _known(task)
    found, changed = [], list[str]()
    for number, one in enumerate(cells, 1):
        cell_id = one.cell_id or (next(reversed(known), "") if one.action == "new" else "")
        if cell_id not in known:
            hint = nearest(cell_id, list(known), _HINT)
            raise OptionError(f"Cell {number}: there is no cell {visible(cell_id)[:80]!r}. {hint}")
        cell = known[cell_id]
        reason = ""
        if one.action == "delete" and one.source:
            reason = "a cell to delete has no source"
        elif one.action != "delete" and not one.source.strip():
            reason = "the source is empty; the action `delete` deletes a cell"
        elif one.action == "change" and one.source.rstrip() == cell.source.rstrip():
            reason = "it changes nothing"
        elif one.action == "change" and one.cell_type == "markdown" and cell.kind == "code":
            reason = "a change keeps the cell's type; delete the cell and propose a new one"
        elif (shown := visible(one.source)) != one.source:
            at = next(at for at, c in enumerate(one.source) if shown[at : at + 1] != c)
            reason = f"no reader sees the character U+{ord(one.source[at]):04X}; write an escape"
        elif cell_id in changed and one.action != "new":
            reason = "an earlier one changes the same cell"
        if reason:
            raise OptionError(f"Cell {number}: {reason}.")
        changed += [cell_id] * (one.action != "new")
        found.append((one, cell))
    deleted = {cell.cell_id for one, cell in found if one.action == "delete"}
    if any(one.action == "new" and cell.cell_id in deleted for one, cell in found):
        raise OptionError("A new cell cannot come below a deleted one. Change that one instead.")
    return found


def _tried(task: Task, cells: Sequence[tuple[CellChange, DocumentCell]]) -> list[ProposedCell]:
    """Return the proposals as they were seen when they ran one after the other."""
    tries = replace(task.tries, hidden=Hidden(task.hidden, is_guest=True))
    chain = tries.chain(lambda _names: None)
    proposed: list[ProposedCell] = []
    bound = set[str]()
    try:
        # Consecutive new cells at one place belong together.
        for (action, cell_id), group in groupby(cells, lambda one: (one[0].action, one[1].cell_id)):
            members = list(group)
            sources, cell = tuple(one.source for one, _ in members), members[0][1]
            verdicts, unknown = list[str](), list[str]()
            new_kinds = tuple(one.cell_type for one, _ in members) if action == "new" else ()
            for source, kind in zip(sources, new_kinds or (cell.kind,), strict=True):
                if action == "delete" or kind != "code":
                    continue  # there is nothing to try
                unknown += [n for n in unknown_names(source, tries) if n not in bound]
                verdicts.append(_verdict(tries, chain, source, bound))
                bound |= defined_names(source)
            one = ProposedCell(
                cell_id=cell_id,
                before=None if action == "new" else cell.source,
                sources=sources,
                kinds=new_kinds,
                verdict="; ".join(dict.fromkeys(verdicts)),
                unknown_names=tuple(dict.fromkeys(unknown)),
            )
            proposed.append(one)
    finally:
        if chain is not None:
            chain.close()
    return proposed


def _verdict(tries: Tries, chain: Chain | None, source: str, bound: AbstractSet[str]) -> str:
    """Return what was seen when a cell ran after the cells before it, which bind names."""
    if why := tries.unrun.missing([source], bound | tries.namespace.keys()):
        return f"not tried: {why}"
    if chain is None:
        return _NOT_TRIED
    seen = chain.push(source, tick=tries.ticking("Trying the proposal"))
    return f"the code {seen.text}" if seen.was_tried else seen.text
