"""Decides what a prompt of a chat is made of. Pure functions of the chat and the timeline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.budget import output_chars, source_chars
from jupyter_llm.chat.draft import Cut, Draft, Part, Turn
from jupyter_llm.chat.script import Script, as_script
from jupyter_llm.notebook.cells.rendering import render_cell
from jupyter_llm.notebook.values.redaction import redact_mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.draft import Count
    from jupyter_llm.engine.request import Message, RawPrompt
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.timeline import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a chat a prompt stands: the turns before it, and the one it replaces.

    `tick` and `names` are the moment when it was first asked in this kernel, and what variables
    there were: what ran for the first time after it stands below its cell, as far as anybody knows.
    `parent` is the number before its own, and `later_cuts` are what the prompts after it leave out
    by now. `is_at_end` says that it goes on with the active branch, rather than begin one or stand
    in the place of an earlier prompt. A turn of its cell that stands `elsewhere` stays there, and
    is the cell's no longer.
    """

    number: int
    tick: int = 0
    names: frozenset[str] = frozenset()
    parent: int = 0
    is_at_end: bool = True
    before: tuple[Turn, ...] = ()
    later_cuts: Mapping[str, Cut] = field(default_factory=dict)
    replaced: Turn | None = None
    elsewhere: int | None = None

    @property
    def cuts(self) -> Mapping[str, Cut]:
        """What is left out here, by conversation."""
        return self.before[-1].cuts if self.before else {}

    def is_left_out(self, conversation: str) -> bool:
        """Whether the prompts after it leave it out by now."""
        return self.number <= self.later_cuts.get(conversation, Cut()).last_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A prompt as it is going to be sent.

    `told` is what its turn is to own, and `cut` what its branch leaves out from then on. A prompt
    aside is not what the next one goes on from, so it leaves alone what is resident of the chat.
    With `is_alone` it goes without cells that it is not about. A `script` asks for the same code as
    the next cell of a program. `left_out` counts the turns and cells that no longer fit.
    """

    draft: Draft
    told: tuple[Part, ...]
    cut: Cut
    is_aside: bool
    is_alone: bool = False
    script: Script | None = None
    left_out: tuple[int, int] = (0, 0)

    @property
    def prompt(self) -> RawPrompt | tuple[Message, ...]:
        """What the model is asked first."""
        return self.script.prompt if self.script is not None else self.draft.messages


def draft_prompt(
    prompt: str,
    place: Place,
    notebook: Snapshot,
    *,
    mode: ContextMode,
    allowed: int,
    cut: Cut = Cut(),  # noqa: B008  a frozen value
    system: str | None = None,
    variables: Sequence[tuple[str, str]] = (),
    attachments: Sequence[tuple[str, str]] = (),
) -> Draft:
    """A prompt with all that would go along with it, however long that is."""
    only = None if mode in ("auto", "all") else _last(notebook, mode)
    before = tuple(map(_alone, place.before)) if mode == "none" else place.before
    turns, front = shown_turns(before, cut, notebook, only)
    own = place.replaced.told if place.replaced is not None else ()
    sent = {part.cell: part for part in own}
    told = cells_told(place.before)
    return Draft(
        prompt=prompt,
        system=system,
        turns=turns,
        cells=tuple(
            sent.get(cell) or told_cell(cell, allowed)
            for cell in (() if mode == "none" else notebook.visible)
            if cell not in told and is_in(cell, cut, notebook, only)
        ),
        variables=tuple(replace(p, asked_for=mode == "none") for p in variable_parts(variables)),
        attachments=tuple(Part(redact_mixed(t).text, attachment=name) for name, t in attachments),
        front=front,
        pinned=notebook.pinned,
    )


def variable_parts(variables: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    """What a chat tells of variables, given their names and summaries."""
    return tuple(Part(f"{text}\n\n", variable=name) for name, text in variables)


def told_cell(cell: CellEvent, allowed: int) -> Part:
    """What a chat tells of a run of a cell."""
    chars = {"source_chars": source_chars(allowed), "output_chars": output_chars(allowed)}
    text = render_cell(cell, **chars)
    return Part(f"{text}\n", cell=cell)


def plan_prompt(
    draft: Draft,
    place: Place,
    conversation: str,
    *,
    mode: ContextMode,
    allowed: int,
    cut: Cut,
    count: Count,
) -> Plan:
    """Leave out of a draft what does not fit, and say what that means for the chat."""
    fitted = draft.fitted(allowed, count)
    before = (part for turn in place.before for part in turn.told)
    is_filter = isinstance(mode, int) or (mode == "none" and any(map(_is_of_notebook, before)))
    if not is_filter:
        dropped = draft.turns[: len(draft.turns) - len(fitted.turns)]
        gone = {part.cell for part in draft.cells} - {part.cell for part in fitted.cells}
        cut = Cut(
            last_turn=dropped[-1].number if dropped else cut.last_turn,
            cells=cut.cells.union(cell for cell in gone if cell is not None),
        )
    if place.is_left_out(conversation):
        replaced = place.replaced.told if place.replaced is not None else ()
        own = (part for part in replaced if part.attachment is None)
        return Plan(draft=fitted, told=(*own, *draft.attachments), cut=cut, is_aside=True)
    return Plan(draft=fitted, told=fitted.told, cut=cut, is_aside=is_filter)


def plan_code(
    draft: Draft, cells: Sequence[CellEvent], *, allowed: int, cut: Cut, count: Count
) -> Plan:
    """A request for code with the cells it needs, aside from what the chat tells of the notebook.

    The turns before it are told without their cells, and nothing of the notebook becomes its own:
    the prompts of the chat tell it as they would have.
    """
    whole = replace(draft, cells=tuple(told_cell(cell, allowed) for cell in cells))
    fitted = whole.fitted(allowed, count)
    script = as_script(fitted, allowed)
    return Plan(draft=fitted, told=fitted.attachments, cut=cut, is_aside=True, script=script)


def shown_turns(
    turns: Sequence[Turn], cut: Cut, notebook: Snapshot, only: frozenset[CellEvent] | None
) -> tuple[tuple[Turn, ...], tuple[Part, ...]]:
    """The turns that are not left out, and the pinned cells of those that are.

    A cell that two turns have told, since they were written at the same time, is shown once.
    """
    shown: set[CellEvent] = set()

    def is_shown(part: Part) -> bool:
        if part.cell is None:
            return True
        if part.cell in shown or not is_in(part.cell, cut, notebook, only):
            return False
        shown.add(part.cell)
        return True

    left_out = [turn for turn in turns if turn.number <= cut.last_turn]
    told = [part for turn in left_out for part in turn.told if part.cell in notebook.pinned]
    front = tuple(filter(is_shown, told))
    kept = [
        replace(turn, told=tuple(filter(is_shown, turn.told)))
        for turn in turns
        if turn.number > cut.last_turn
    ]
    return tuple(kept), front


def _alone(turn: Turn) -> Turn:
    """A turn without what it told of the notebook, unless that was asked for by name."""
    return replace(turn, told=tuple(part for part in turn.told if not _is_of_notebook(part)))


def _is_of_notebook(part: Part) -> bool:
    return part.attachment is None and not part.asked_for


def is_in(
    cell: CellEvent, cut: Cut, notebook: Snapshot, only: frozenset[CellEvent] | None = None
) -> bool:
    """Tell whether a cell may be shown: not hidden, not left out, and one of those wanted."""
    is_left_out = cell in cut.cells and cell not in notebook.pinned
    is_wanted = only is None or cell in only
    return is_wanted and not is_left_out and not notebook.is_hidden(cell)


def cells_told(turns: Iterable[Turn]) -> set[CellEvent]:
    """The runs of cells that turns have told."""
    return {part.cell for turn in turns for part in turn.told if part.cell is not None}


def _last(notebook: Snapshot, mode: ContextMode) -> frozenset[CellEvent]:
    """The last cells, as many as are wanted, and those that are pinned; none at all with `none`."""
    if not isinstance(mode, int):
        return frozenset()
    visible = notebook.visible
    return notebook.pinned.union(visible[max(0, len(visible) - mode) :])
