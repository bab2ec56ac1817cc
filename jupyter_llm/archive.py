"""The chats of this notebook on disk: written as they grow, restored when they are asked for."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.notebook.context import Cut, Part, Turn

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from pathlib import Path

    from jupyter_llm.engine.base import Completion
    from jupyter_llm.notebook.history import History
    from jupyter_llm.notebook.path import PathChange
    from jupyter_llm.notebook.saved import Json, Origin, SavedChat, SavedTurn

logger = logging.getLogger(__name__)

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
            from jupyter_llm.notebook.history import History

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

    def keep(
        self,
        name: str,
        turn: Turn,
        *,
        system: str | None,
        cuts: Mapping[str, Cut],
        is_kept: bool = True,
    ) -> None:
        """Keep a turn in place of an earlier one of its origin; or forget that one alone."""
        if self._history is not None:
            self._history.describe(name, system=system, state=_state(cuts))
            self._history.record(saved_turn(name, turn), is_kept=is_kept)

    def forget(self, name: str, origins: Iterable[Hashable]) -> None:
        """Forget the turns of some cells."""
        for origin in filter(None, map(_origin, origins)):
            if self._history is not None:
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
    from jupyter_llm.notebook.saved import SavedTurn

    provenance = turn.completion.provenance
    return SavedTurn(
        chat=name,
        prompt=turn.prompt,
        completion=turn.completion,
        told=[_part(part) for part in turn.told],
        provenance=provenance.to_json() if provenance is not None else None,
        origin=_origin(turn.origin),
        number=turn.number,
        finished_at=time.time(),
    )


def saved_chat(
    name: str, turns: Iterable[Turn], *, system: str | None, cuts: Mapping[str, Cut]
) -> SavedChat:
    """Return a chat as it is kept."""
    from jupyter_llm.notebook.saved import SavedChat

    saved = tuple(saved_turn(name, turn) for turn in turns)
    return SavedChat(name=name, system=system, turns=saved, state=_state(cuts))


def restored_turns(chat: SavedChat) -> list[Turn]:
    """Return the turns of a kept chat; what cannot be read of them is left out."""
    return [
        Turn(
            prompt=saved.prompt,
            completion=saved.completion,
            origin=saved.origin,
            told=_told(saved),
            number=saved.number,
        )
        for saved in sorted(chat.turns, key=lambda turn: turn.number)
    ]


def restored_cuts(chat: SavedChat) -> dict[str, Cut]:
    """Return what a kept chat left out."""
    state = chat.state if isinstance(chat.state, dict) else {}
    return {
        conversation: Cut(last_turn=last)
        for conversation, last in state.items()
        if isinstance(last, int)
    }


def finished(completion: Completion) -> Future[Completion]:
    """Return the future of what is there already."""
    future: Future[Completion] = Future()
    future.set_result(completion)
    return future


def _part(part: Part) -> Json:
    from jupyter_llm.notebook.saved_json import part_to_json

    return part_to_json(part.text, cell=part.cell, variable=part.variable)


def _told(saved: SavedTurn) -> tuple[Part, ...]:
    from jupyter_llm.notebook.saved_json import DamagedRecordError, part_from_json

    told = saved.told if isinstance(saved.told, list) else []
    parts = []
    for item in told:
        try:
            text, cell, variable = part_from_json(item)
        except DamagedRecordError as error:
            logger.debug("A part of a turn is damaged: %s", error)
            continue
        # It ran in a kernel that is gone: it is no cell of this one's timeline.
        old = replace(cell, number=-abs(cell.number)) if cell is not None else None
        parts.append(Part(text, cell=old, variable=variable))
    return tuple(parts)


def _state(cuts: Mapping[str, Cut]) -> Json:
    """Return what outlives a kernel of what a chat left out: turns, while cells do not."""
    return {conversation: cut.last_turn for conversation, cut in cuts.items() if cut.last_turn}


def _origin(origin: Hashable) -> Origin | None:
    """Return the cell and the number of a prompt, if that is what tells it from others."""
    match origin:
        case (str() as cell_id, int() as number):
            return cell_id, number
        case _:
            return None
