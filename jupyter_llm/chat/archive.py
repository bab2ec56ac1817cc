"""The chats of this notebook on disk: written as they grow, restored when they are asked for."""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.branches import START, Branches
from jupyter_llm.chat.draft import Cut, Part, Turn
from jupyter_llm.errors import ProvenanceError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from pathlib import Path

    from jupyter_llm.chat.history import History
    from jupyter_llm.chat.saved import Json, Origin, SavedChat, SavedTurn
    from jupyter_llm.engine.provenance import Provenance
    from jupyter_llm.notebook.cells.path import PathChange

logger = logging.getLogger(__name__)

_CHOSEN = "chosen"  # in a chat's state, beside its conversations, which are named otherwise
_CELL_FLUSH_S = 0.2  # a cell that has ended is not held up for longer


class Archive:
    """Keeps the named chats of one notebook, as long as it is known which notebook that is.

    Nothing is read before a chat is asked for. Safe from any thread.
    """

    def __init__(self) -> None:
        self._history: History | None = None
        self._waiting: dict[str, SavedChat] | None = None  # None: not read yet

    @property
    def path(self) -> Path | None:
        """The notebook's path, if it is known."""
        return self._history.path if self._history is not None else None

    def open(self, path: Path | None) -> None:
        """Keep the chats of this notebook from here on; those of another stay where they are."""
        if path == self.path:
            return
        if self._history is not None:
            self._history.close()
        self._history, self._waiting = None, None
        if path is not None:
            from jupyter_llm.chat.history import History

            self._history = History(path)

    def follow(self, change: PathChange) -> None:
        """Go along with a notebook that was renamed, or turn to another one."""
        if change.is_rename and self._history is not None:
            self._history.moved(change.new)
        else:
            self.open(change.new)

    @property
    def waiting(self) -> dict[str, SavedChat]:
        """The chats of earlier kernels that nobody has asked for in this one."""
        if self._waiting is None:
            self._waiting = self._history.load() if self._history is not None else {}
        return self._waiting

    def take(self, name: str) -> SavedChat | None:
        """Return a chat of an earlier kernel, once."""
        return self.waiting.pop(name, None)

    def describe(
        self,
        name: str | None,
        *,
        system: str | None,
        cuts: Mapping[str, Cut],
        choices: Mapping[int, int],
    ) -> None:
        """Keep what a chat is beside its turns. One without a name is kept nowhere."""
        if self._history is not None and name is not None:
            self._history.describe(name, system=system, state=_state(cuts, choices))

    def keep(self, name: str | None, turn: Turn, *, is_kept: bool = True) -> None:
        """Keep a turn in place of an earlier one of its origin; or forget that one alone."""
        if self._history is not None and name is not None:
            self._history.record(saved_turn(name, turn), is_kept=is_kept)

    def remove(self, name: str | None, number: int, parent: int, turn: Turn | None) -> None:
        """Remove a turn from the disk, if there was one; what followed it follows its parent."""
        if self._history is not None and name is not None:
            from jupyter_llm.chat.saved import TurnRemoved

            finished_at = turn.finished_at if turn is not None else 0.0
            self._history.remove(TurnRemoved(name, number, parent, finished_at))

    def forget(self, name: str | None, origins: Iterable[Hashable]) -> None:
        """Forget the turns of some cells."""
        for origin in filter(None, map(_origin, origins)):
            if self._history is not None and name is not None:
                self._history.forget(name, origin)

    def clear(self, name: str | None = None) -> None:
        """Forget a chat, or all of them, and remove what they said from the disk."""
        if name is None:
            self.waiting.clear()
        else:
            self.waiting.pop(name, None)
        if self._history is not None:
            self._history.clear(name)

    def flush(self) -> None:
        """Wait a moment until what was kept is on the disk."""
        if self._history is not None:
            self._history.flush(_CELL_FLUSH_S)


def saved_turn(name: str, turn: Turn) -> SavedTurn:
    """Return a turn as it is kept."""
    from jupyter_llm.chat.saved import SavedTurn
    from jupyter_llm.chat.saved_json import part_to_json

    provenance = turn.completion.provenance
    return SavedTurn(
        chat=name,
        prompt=turn.prompt,
        completion=turn.completion,
        told=[part_to_json(part) for part in turn.told],
        provenance=provenance.to_json() if provenance is not None else None,
        origin=_origin(turn.origin),
        number=turn.number,
        parent=turn.parent,
        finished_at=turn.finished_at,
    )


def saved_chat(
    name: str, turns: Iterable[Turn], *, system: str | None, num_other_branches: int
) -> SavedChat:
    """Return one branch of a chat as it is kept."""
    from jupyter_llm.chat.saved import SavedChat

    saved = tuple(saved_turn(name, turn) for turn in turns)
    return SavedChat(name=name, system=system, turns=saved, num_other_branches=num_other_branches)


def active_branch(chat: SavedChat) -> SavedChat:
    """Return a kept chat with the turns of its active branch alone."""
    branches = _branches(chat)
    turns = tuple(branches[number] for number in branches.path())
    return replace(chat, turns=turns, num_other_branches=branches.num_others)


def restored_turns(chat: SavedChat) -> Branches[Turn]:
    """Return the turns of a kept chat; what cannot be read of them is left out."""
    branches = _branches(chat)

    def restored(number: int, saved: SavedTurn) -> Turn:
        return Turn(
            prompt=saved.prompt,
            completion=replace(saved.completion, provenance=_provenance(saved)),
            origin=saved.origin,
            told=_told(saved),
            number=number,
            parent=branches.parent(number),
            finished_at=saved.finished_at,
        )

    return branches.mapped(restored)


def _branches(chat: SavedChat) -> Branches[SavedTurn]:
    """Return kept turns as branches.

    A turn whose parent is not there, since it was dropped for want of room or never got to the
    disk, follows the last one from before that. Of turns with the same number, which two kernels
    have written, the later ones get another one.
    """
    branches: Branches[SavedTurn] = Branches()
    known: list[int] = []  # the numbers as they were kept, in their order
    new: list[int] = []  # and as they are now
    for turn in sorted(chat.turns, key=lambda turn: turn.number):
        index = len(known)
        if turn.parent is not None:
            index = bisect_right(known, min(turn.parent, turn.number - 1))
        number = max(turn.number, branches.next_number)
        branches.add(turn, new[index - 1] if index else START, number)
        known.append(turn.number)
        new.append(number)
    branches.restore(_choices(chat))
    return branches


def restored_cuts(chat: SavedChat) -> dict[str, Cut]:
    """Return what a kept chat left out."""
    state = chat.state if isinstance(chat.state, dict) else {}
    return {
        conversation: Cut(last_turn=last)
        for conversation, last in state.items()
        if isinstance(last, int)
    }


def _provenance(saved: SavedTurn) -> Provenance | None:
    from jupyter_llm.engine.provenance import Provenance

    try:
        return Provenance.from_json(saved.provenance) if saved.provenance is not None else None
    except ProvenanceError as error:
        logger.debug("The record of a turn is damaged: %s", error)
        return None


def _told(saved: SavedTurn) -> tuple[Part, ...]:
    from jupyter_llm.chat.saved_json import DamagedRecordError, part_from_json

    told = saved.told if isinstance(saved.told, list) else []
    parts = []
    for item in told:
        try:
            part = part_from_json(item)
        except DamagedRecordError as error:
            logger.debug("A part of a turn is damaged: %s", error)
            continue
        if part.cell is not None:
            # It ran in a kernel that is gone: it is no cell of this one's timeline.
            part = replace(part, cell=replace(part.cell, number=-abs(part.cell.number)))
        parts.append(part)
    return tuple(parts)


def _state(cuts: Mapping[str, Cut], choices: Mapping[int, int]) -> Json:
    """Return what outlives a kernel beside the turns: which of them go along, if not all.

    Cells do not, so the conversations' cuts are numbers of turns. Where a branch was chosen that is
    not the newest, the numbers of both its sides are kept.
    """
    state: dict[str, Json] = {name: cut.last_turn for name, cut in cuts.items() if cut.last_turn}
    if choices:
        state[_CHOSEN] = {str(parent): child for parent, child in choices.items()}
    return state or None


def _choices(chat: SavedChat) -> dict[int, int]:
    chosen = chat.state.get(_CHOSEN) if isinstance(chat.state, dict) else None
    return {
        int(parent): child
        for parent, child in (chosen.items() if isinstance(chosen, dict) else ())
        if parent.isdecimal() and isinstance(child, int)
    }


def _origin(origin: Hashable) -> Origin | None:
    """Return the cell and the number of a prompt, if that is what tells it from others."""
    match origin:
        case (str() as cell_id, int() as number):
            return cell_id, number
        case _:
            return None
