"""Decides what a prompt of a chat includes: functions of the chat, the cells and variables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.budget import (
    attachment_chars,
    budget,
    includes_code_needs,
    includes_if_named,
    output_chars,
    source_chars,
)
from jupyter_llm.chat.context import ALONE, HIDDEN_CELL, NO_ROOM, Context, Part
from jupyter_llm.chat.script import as_script, literal_names, needed_cells, relevant_turns
from jupyter_llm.common.clipping import clip
from jupyter_llm.notebook.cells.rendering import render_cell
from jupyter_llm.notebook.values.redaction import redact_mixed

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from jupyter_llm.chat.branches import Place
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.context import Count, Cut, Turn
    from jupyter_llm.chat.question import About, ChatQuestion
    from jupyter_llm.chat.script import Script
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.cells.rules import Rules
    from jupyter_llm.notebook.cells.timeline import Snapshot

NUM_RECENT = 5  # cells whose variables may matter


def context_of(
    question: ChatQuestion,
    place: Place,
    notebook: Snapshot,
    info: ModelInfo,
    *,
    system: str | None,
    rules: Rules | None,
    conversation: str,
    names: frozenset[str] | None,
    count: Count,
    about: About,
) -> tuple[Context, Script | None]:
    """Return the prompt with as much context as is good for the answer, and as fits.

    `names`: the variables of the moment when the prompt was first asked, if it was. `about`
    summarizes variables. A request for code may also come as a program.
    """
    cells, is_about, mode = notebook.visible, True, question.context
    if names is not None:
        question = question.asked_again(cells, names)
    needs = question.is_code and includes_code_needs(info, mode)
    if needs:
        cells = needed_cells(cells, question.referenced_cells(cells))
    elif includes_if_named(info, mode):
        relevant = question.referenced_cells(cells)
        cells = tuple(cell for cell in cells if cell in relevant)
        is_about = bool(cells or question.named)
    variables: Sequence[tuple[str, str]] = ()
    if is_about and question.about is not None:
        variables = about(question.about, question.vars, cells[-NUM_RECENT:], names=names)
    if needs:
        typed = literal_names(cells)
        variables = [one for one in variables if one[0] not in typed]
    allowed = budget(info, mode, question.params.max_tokens)
    turns = relevant_turns(question, place.before, notebook.visible)
    whole = full_context(
        question.prompt,
        replace(place, before=turns),
        notebook,
        mode="none" if needs else mode,
        allowed=allowed,
        cut=place.cuts.get(conversation, frozenset()),
        system=system if question.system is None else question.system,
        rules=rules,
        variables=variables,
        attachments=question.attachments,
    )
    whole = replace(whole, instruction=question.instruction)
    parts = (cell_part(cell, allowed) for cell in cells)
    sent = replace(whole, cells=tuple(parts)) if needs else whole.only(cells)
    if needs or turns != place.before:
        fitted = sent.fitted(allowed, count)  # the chat's next prompts tell it as they would have
        fitted = replace(fitted, owned=fitted.attachments, is_aside=True)
        return fitted, as_script(fitted, allowed) if needs else None
    is_alone = not is_about and sent.cells != whole.cells
    fitted = _fitted(sent, place, conversation, mode, allowed=allowed, count=count)
    return replace(fitted, is_alone=is_alone), None


def full_context(
    prompt: str,
    place: Place,
    notebook: Snapshot,
    *,
    mode: ContextMode,
    allowed: int,
    cut: Cut = frozenset(),
    system: str | None = None,
    rules: Rules | None = None,
    variables: Sequence[tuple[str, str]] = (),
    attachments: Sequence[tuple[str, str]] = (),
) -> Context:
    """Return a prompt with all of its context, however long that is."""
    included, most = included_cells(place.before), attachment_chars(allowed, len(attachments))
    why_out = _why_out((*notebook.cells, *included), notebook, mode, cut)
    before = tuple(map(_alone, place.before)) if mode == "none" else place.before
    turns, front = shown_turns(before, cut, notebook, why_out)
    sent = {part.cell: part for part in _parts_before(place)}
    return Context(
        prompt=prompt,
        system=system,
        rules=rules,
        turns=turns,
        cells=tuple(
            sent.get(cell) or cell_part(cell, allowed)
            for cell in notebook.visible
            if cell not in included and cell not in why_out
        ),
        variables=tuple(replace(p, asked_for=mode == "none") for p in variable_parts(variables)),
        attachments=tuple(
            Part(clip(redact_mixed(text).text, most), attachment=name) for name, text in attachments
        ),
        front=front,
        pinned=notebook.pinned,
        cut=cut,
        why_out=why_out,
    )


def variable_parts(variables: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    """Return the parts of variables, given their names and summaries."""
    return tuple(Part(f"{text}\n\n", variable=name) for name, text in variables)


def cell_part(cell: CellEvent, allowed: int) -> Part:
    """Return the part of a run of a cell."""
    chars = {"source_chars": source_chars(allowed), "output_chars": output_chars(allowed)}
    text = render_cell(cell, **chars)
    return Part(f"{text}\n", cell=cell)


def _fitted(
    context: Context,
    place: Place,
    conversation: str,
    mode: ContextMode,
    *,
    allowed: int,
    count: Count,
) -> Context:
    """Leave out what does not fit, and note what later prompts leave out."""
    fitted, cut = context.fitted(allowed, count), context.cut
    before = (part for turn in place.before for part in turn.parts)
    is_filter = isinstance(mode, int) or (mode == "none" and any(map(_is_of_notebook, before)))
    if not is_filter:
        dropped = context.turns[: len(context.turns) - len(fitted.turns)]
        cells = {part.cell for part in context.cells} - {part.cell for part in fitted.cells}
        numbers = range(1, dropped[-1].number + 1) if dropped else ()
        left_out: set[int | CellEvent] = {*numbers, *filter(None, cells)}
        cut |= left_out
    if place.number in place.later_cuts.get(conversation, ()):  # later prompts leave it out by now
        own = (part for part in _parts_before(place) if part.attachment is None)
        return replace(fitted, owned=(*own, *context.attachments), cut=cut, is_aside=True)
    return replace(fitted, owned=fitted.parts, cut=cut, is_aside=is_filter)


def _parts_before(place: Place) -> tuple[Part, ...]:
    """Return the parts of the turn that is replaced."""
    return place.settled.parts if place.settled is not None else ()


def shown_turns(
    turns: Sequence[Turn], cut: Cut, notebook: Snapshot, why_out: Container[int | CellEvent]
) -> tuple[tuple[Turn, ...], tuple[Part, ...]]:
    """Return the included turns, and the pinned cells of the others.

    A cell of two turns, which were sent at the same time, is included once.
    """
    shown: set[CellEvent] = set()
    now = {cell.number: cell for cell in notebook.cells}

    def as_of_now(turn: Turn) -> Turn:
        parts = (
            replace(p, cell=now.get(p.cell.number, p.cell)) if p.cell else p for p in turn.parts
        )
        return replace(turn, parts=tuple(parts))

    def is_shown(part: Part) -> bool:
        if part.cell is None:
            return True
        if part.cell in shown or part.cell in why_out:
            return False
        shown.add(part.cell)
        return True

    turns = tuple(map(as_of_now, turns))
    left_out = [turn for turn in turns if turn.number in cut]
    pinned = [part for turn in left_out for part in turn.parts if part.cell in notebook.pinned]
    front = tuple(filter(is_shown, pinned))
    kept = [
        replace(turn, parts=tuple(filter(is_shown, turn.parts)))
        for turn in turns
        if turn.number not in cut
    ]
    return tuple(kept), front


def _alone(turn: Turn) -> Turn:
    """Return a turn without the notebook's parts, except those that it named."""
    return replace(turn, parts=tuple(part for part in turn.parts if not _is_of_notebook(part)))


def _is_of_notebook(part: Part) -> bool:
    return part.attachment is None and not part.asked_for


def _why_out(
    cells: Iterable[CellEvent], notebook: Snapshot, mode: ContextMode, cut: Cut
) -> dict[int | CellEvent, str]:
    """Return why cells may not be shown: hidden, left out before, or not among those wanted."""
    wanted = None if mode in ("auto", "all") else _last(notebook, mode)
    others = ALONE if mode == "none" else f"not one of the last {mode}"
    out: dict[int | CellEvent, str] = {}
    for cell in cells:
        if notebook.is_hidden(cell):
            out[cell] = HIDDEN_CELL
        elif wanted is not None and cell not in wanted:
            out[cell] = others
        elif cell in cut and cell not in notebook.pinned:
            out[cell] = NO_ROOM
    return out


def included_cells(turns: Iterable[Turn]) -> set[CellEvent]:
    """Return the runs of cells that turns included."""
    return {part.cell for turn in turns for part in turn.parts if part.cell is not None}


def _last(notebook: Snapshot, mode: ContextMode) -> frozenset[CellEvent]:
    """Return the last cells, as many as wanted, and the pinned ones; none with `none`."""
    if not isinstance(mode, int):
        return frozenset()
    visible = notebook.visible
    return notebook.pinned.union(visible[max(0, len(visible) - mode) :])


def left_out(turns: Sequence[Turn], cut: Cut, notebook: Snapshot) -> tuple[int, int]:
    """Return how many turns are left out, and how many cells of these or of no turn."""
    away = [turn for turn in turns if turn.number in cut]
    cells = (included_cells(away) | cut) - notebook.pinned
    return len(away), sum(cell in cells for cell in notebook.visible)
