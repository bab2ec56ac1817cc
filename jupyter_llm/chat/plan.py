"""Decides what a prompt of a chat is made of: functions of the chat, the cells and variables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.budget import (
    attachment_chars,
    budget,
    output_chars,
    source_chars,
    tells_if_asked,
    tells_what_code_needs,
)
from jupyter_llm.chat.draft import ALONE, NO_ROOM, Draft, Part
from jupyter_llm.chat.script import as_script, literal_names, needed_cells, turns_meant
from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.rendering import render_cell
from jupyter_llm.notebook.values.redaction import redact_mixed

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from jupyter_llm.chat.asked import About, Asked
    from jupyter_llm.chat.branches import Exchange
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.draft import Count, Gone, Turn
    from jupyter_llm.chat.script import Script
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.timeline import Snapshot

NUM_RECENT = 5  # cells whose variables may matter


def draft_of(
    asked: Asked,
    place: Exchange,
    notebook: Snapshot,
    info: ModelInfo,
    *,
    system: str | None,
    conversation: str,
    names: frozenset[str] | None,
    count: Count,
    about: About,
) -> tuple[Draft, Script | None]:
    """What is sent of a prompt: as much as is good for it, and as fits.

    `names` are the variables of when it was first asked, if that was before, and `about` tells of
    variables. Where code is asked for, there may be a program that says the same.
    """
    cells, is_about, mode = notebook.visible, True, asked.context
    if names is not None:
        asked = asked.asked_again(cells, names)
    needs = asked.is_code and tells_what_code_needs(info, mode)
    if needs:
        cells = needed_cells(cells, asked.referenced_cells(cells))
    elif tells_if_asked(info, mode):
        meant = asked.referenced_cells(cells)
        cells = tuple(cell for cell in cells if cell in meant)
        is_about = bool(cells or asked.named)
    variables: Sequence[tuple[str, str]] = ()
    if is_about and asked.about is not None:
        variables = about(asked.about, asked.vars, cells[-NUM_RECENT:], names=names)
    if needs:
        typed = literal_names(cells)
        variables = [one for one in variables if one[0] not in typed]
    allowed = budget(info, mode, asked.params.max_tokens)
    turns = turns_meant(asked, place.before, notebook.visible)
    whole = draft_prompt(
        asked.prompt,
        replace(place, before=turns),
        notebook,
        mode="none" if needs else mode,
        allowed=allowed,
        gone=place.cuts.get(conversation, frozenset()),
        system=system if asked.system is None else asked.system,
        variables=variables,
        attachments=asked.attachments,
    )
    whole = replace(whole, instruction=asked.instruction)
    told = (told_cell(cell, allowed) for cell in cells)
    sent = replace(whole, cells=tuple(told)) if needs else whole.only(cells)
    if needs or turns != place.before:
        fitted = sent.fitted(allowed, count)  # the chat's next prompts tell it as they would have
        fitted = replace(fitted, owned=fitted.attachments, is_aside=True)
        return fitted, as_script(fitted, allowed) if needs else None
    is_alone = not is_about and sent.cells != whole.cells
    fitted = _fitted(sent, place, conversation, mode, allowed=allowed, count=count)
    return replace(fitted, is_alone=is_alone), None


def draft_prompt(
    prompt: str,
    place: Exchange,
    notebook: Snapshot,
    *,
    mode: ContextMode,
    allowed: int,
    gone: Gone = frozenset(),
    system: str | None = None,
    variables: Sequence[tuple[str, str]] = (),
    attachments: Sequence[tuple[str, str]] = (),
) -> Draft:
    """A prompt with all that would go along with it, however long that is."""
    told, most = cells_told(place.before), attachment_chars(allowed, len(attachments))
    why_out = _why_out((*notebook.cells, *told), notebook, mode, gone)
    before = tuple(map(_alone, place.before)) if mode == "none" else place.before
    turns, front = shown_turns(before, gone, notebook, why_out)
    sent = {part.cell: part for part in _told_before(place)}
    return Draft(
        prompt=prompt,
        system=system,
        turns=turns,
        cells=tuple(
            sent.get(cell) or told_cell(cell, allowed)
            for cell in notebook.visible
            if cell not in told and cell not in why_out
        ),
        variables=tuple(replace(p, asked_for=mode == "none") for p in variable_parts(variables)),
        attachments=tuple(
            Part(clip(redact_mixed(text).text, most), attachment=name) for name, text in attachments
        ),
        front=front,
        pinned=notebook.pinned,
        gone=gone,
        why_out=why_out,
    )


def variable_parts(variables: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    """What a chat tells of variables, given their names and summaries."""
    return tuple(Part(f"{text}\n\n", variable=name) for name, text in variables)


def told_cell(cell: CellEvent, allowed: int) -> Part:
    """What a chat tells of a run of a cell."""
    chars = {"source_chars": source_chars(allowed), "output_chars": output_chars(allowed)}
    text = render_cell(cell, **chars)
    return Part(f"{text}\n", cell=cell)


def _fitted(
    draft: Draft,
    place: Exchange,
    conversation: str,
    mode: ContextMode,
    *,
    allowed: int,
    count: Count,
) -> Draft:
    """Leave out of a draft what does not fit, and say what that means for the chat."""
    fitted, gone = draft.fitted(allowed, count), draft.gone
    before = (part for turn in place.before for part in turn.told)
    is_filter = isinstance(mode, int) or (mode == "none" and any(map(_is_of_notebook, before)))
    if not is_filter:
        dropped = draft.turns[: len(draft.turns) - len(fitted.turns)]
        cells = {part.cell for part in draft.cells} - {part.cell for part in fitted.cells}
        numbers = range(1, dropped[-1].number + 1) if dropped else ()
        left_out: set[int | CellEvent] = {*numbers, *filter(None, cells)}
        gone |= left_out
    if place.number in place.later_cuts.get(conversation, ()):  # later prompts leave it out by now
        own = (part for part in _told_before(place) if part.attachment is None)
        return replace(fitted, owned=(*own, *draft.attachments), gone=gone, is_aside=True)
    return replace(fitted, owned=fitted.told, gone=gone, is_aside=is_filter)


def _told_before(place: Exchange) -> tuple[Part, ...]:
    """What was told by the turn that is replaced."""
    return place.settled.told if place.settled is not None else ()


def shown_turns(
    turns: Sequence[Turn], gone: Gone, notebook: Snapshot, why_out: Container[int | CellEvent]
) -> tuple[tuple[Turn, ...], tuple[Part, ...]]:
    """The turns that are not left out, and the pinned cells of those that are.

    A cell that two turns have told, since they were written at the same time, is shown once.
    """
    shown: set[CellEvent] = set()
    now = {cell.number: cell for cell in notebook.cells}

    def as_of_now(turn: Turn) -> Turn:
        told = (replace(p, cell=now.get(p.cell.number, p.cell)) if p.cell else p for p in turn.told)
        return replace(turn, told=tuple(told))

    def is_shown(part: Part) -> bool:
        if part.cell is None:
            return True
        if part.cell in shown or part.cell in why_out:
            return False
        shown.add(part.cell)
        return True

    turns = tuple(map(as_of_now, turns))
    left_out = [turn for turn in turns if turn.number in gone]
    told = [part for turn in left_out for part in turn.told if part.cell in notebook.pinned]
    front = tuple(filter(is_shown, told))
    kept = [
        replace(turn, told=tuple(filter(is_shown, turn.told)))
        for turn in turns
        if turn.number not in gone
    ]
    return tuple(kept), front


def _alone(turn: Turn) -> Turn:
    """A turn without what it told of the notebook, unless that was asked for by name."""
    return replace(turn, told=tuple(part for part in turn.told if not _is_of_notebook(part)))


def _is_of_notebook(part: Part) -> bool:
    return part.attachment is None and not part.asked_for


def _why_out(
    cells: Iterable[CellEvent], notebook: Snapshot, mode: ContextMode, gone: Gone
) -> dict[int | CellEvent, str]:
    """Return why cells may not be shown: hidden, left out before, or not among those wanted."""
    wanted = None if mode in ("auto", "all") else _last(notebook, mode)
    others = ALONE if mode == "none" else f"not one of the last {mode}"
    out: dict[int | CellEvent, str] = {}
    for cell in cells:
        if notebook.is_hidden(cell):
            out[cell] = "hidden"
        elif wanted is not None and cell not in wanted:
            out[cell] = others
        elif cell in gone and cell not in notebook.pinned:
            out[cell] = NO_ROOM
    return out


def cells_told(turns: Iterable[Turn]) -> set[CellEvent]:
    """The runs of cells that turns have told."""
    return {part.cell for turn in turns for part in turn.told if part.cell is not None}


def _last(notebook: Snapshot, mode: ContextMode) -> frozenset[CellEvent]:
    """The last cells, as many as are wanted, and those that are pinned; none at all with `none`."""
    if not isinstance(mode, int):
        return frozenset()
    visible = notebook.visible
    return notebook.pinned.union(visible[max(0, len(visible) - mode) :])


def left_out(turns: Sequence[Turn], gone: Gone, notebook: Snapshot) -> tuple[int, int]:
    """How many turns are left out, and how many cells that they or no turn told."""
    away = [turn for turn in turns if turn.number in gone]
    cells = (cells_told(away) | gone) - notebook.pinned
    return len(away), sum(cell in cells for cell in notebook.visible)
