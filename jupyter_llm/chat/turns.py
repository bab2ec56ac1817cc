"""The turns of a chat: on branches, stored on the disk, and watched by whoever shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.branches import Branches, Exchange, Sending
from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.store import ChatState, SavedChat, StoredChats, origin_of
from jupyter_llm.chat.system import SystemTexts
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import Completion
from jupyter_llm.errors import TurnNotFoundError

When = tuple[int, frozenset[str]]
"""The timeline's tick, and the names of the variables at that tick."""


class ChatTurns:
    """The turns of a chat, its system texts and the code that was written last (`last_draft`).

    Safe from any thread. The lock guards everything that changes. The archive hears of a change
    before the lock is released; watchers are called after that.
    """

    def __init__(
        self, answers: AnswerLog, archive: Archive, name: str | None, system: str | None
    ) -> None:
        self.name = name
        self.last_draft = ""
        self._answers = answers
        self._archive = archive
        self._systems = SystemTexts(system)
        self._branches = Branches()
        self._firsts: dict[Hashable, When] = {}  # when each origin was first answered
        self._watchers = Watchers()
        self._reset_watchers = Watchers()
        self._lock = threading.RLock()

    @contextmanager
    def _settled(self) -> Iterator[Branches]:
        """Hold the lock, settle the answers that are complete, and yield the branches."""
        with self._lock:
            for number in self._branches.over():
                self._settle(number)
            yield self._branches

    def settle(self) -> None:
        """Settle the answers that are complete, so that the archive writes them."""
        with self._settled():
            pass

    @property
    def turns(self) -> list[Turn]:
        """The turns of the active branch, the oldest first."""
        with self._settled() as branches:
            return list(branches.turns())

    @property
    def kept_turns(self) -> list[Turn]:
        """The turns of the active branch that may be written to the disk."""
        return [turn for turn in self.turns if self.is_kept(turn.number)]

    @property
    def num_other_branches(self) -> int:
        """The number of branches beside the active one."""
        with self._lock:
            return self._branches.num_others

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The active branch, with the prompts that are being answered."""
        with self._settled() as branches:
            return branches.shown()

    @property
    def is_answering(self) -> bool:
        """Whether a prompt of the active branch is being answered."""
        return any(not exchange.is_finished for exchange in self.exchanges)

    def turn(self, number: int) -> Turn:
        """Return a finished turn of any branch.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            turn = branches.turn(number)
        if turn is None:
            raise TurnNotFoundError(number, self.name)
        return turn

    def is_kept(self, *numbers: int) -> bool:
        """Whether all of these turns may be written to the disk; False for a removed one."""
        with self._lock:
            return all(map(self._branches.is_kept, numbers))

    def is_active(self, number: int) -> bool:
        """Whether a number is on the active branch."""
        with self._settled() as branches:
            return number in branches.path()

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one, with the turns that were active after it.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            self._check(number)
            is_another = branches.choose(number)
            if is_another:
                self._save_state()
        if is_another:
            self._watchers.notify()

    def remove(self, number: int) -> None:
        """Forget a turn for good, also on the disk; cancel it if it is being written.

        The turns after it follow the turn before it. They can no longer be verified: their prompts
        included the turn, and are forgotten too.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            self._check(number)
            prompts = branches.prompts_with(number)
            sendings = self._take_out([number], is_on_disk=True)
        self._drop(sendings)
        self._answers.forget(prompts)
        self._watchers.notify()

    def cancel(self, number: int | None = None) -> None:
        """Stop writing a turn, or all turns on all branches; the texts so far stay.

        Returns at once.
        """
        with self._lock:
            sendings = dict(self._branches.sendings)
        for at, sending in sendings.items():
            if number in (None, at):
                sending.cancel()

    def forget(self, is_stale: Callable[[Any], bool]) -> None:
        """Forget the turns whose origin is stale; those being written are cancelled."""
        with self._settled() as branches:
            stale = branches.of_origin(is_stale)
            if not stale:
                return
            sendings = self._take_out(stale)
            self._write_origins(StoredChats.forget, stale.values())
            self._save_state()
        self._drop(sendings)
        self._watchers.notify()

    def reset(self, *, with_prompts: bool = False) -> None:
        """Forget all turns, also those on the disk, and the code that was written last.

        Answers that are being written are cancelled. `with_prompts`: forget the prompts too, so the
        answers can no longer be verified.
        """
        self.last_draft = ""
        with self._lock:
            prompts = self._branches.prompts() | self._branches.past_prompts.keys()
            sendings = self._branches.clear()
            if self.name is not None:
                self._archive.clear(self.name)
        self._drop(sendings)
        if with_prompts:
            self._answers.forget(prompts)
        self._reset_watchers.notify()
        self._watchers.notify()

    def rename(self, name: str) -> None:
        """Change the name, also on the disk."""
        with self._lock:
            self._archive.write(StoredChats.rename, self.name, name)
            self.name = name
        self._watchers.notify()

    def restore(self, chat: SavedChat) -> None:
        """Add the turns of an earlier kernel, for somebody to continue."""
        with self._lock:
            self._systems.restored = chat.state.system
            self._branches = Branches(chat)
        self._watchers.notify()

    def resume(self) -> None:
        """Continue the turns of an earlier kernel: from here on they count as turns of this one."""
        with self._settled() as branches:
            origins = branches.resume()
            self._write_origins(StoredChats.release, origins)
            self._systems.resume()
            if origins:
                self._save_state()
        if origins:
            self._watchers.notify()

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of the turns of an earlier kernel that this kernel has not continued."""
        with self._lock:
            return self._branches.restored

    def saved(self) -> SavedChat:
        """Return the active branch as it is stored, and how many others there are."""
        with self._lock:
            turns = self.turns
            return SavedChat(
                name=self.name or "",
                state=ChatState(self._systems.latest),
                turns=tuple(turns),
                num_other_branches=self.num_other_branches,
                passing=frozenset(t.number for t in turns if not self.is_kept(t.number)),
            )

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, on any thread, whenever `exchanges` changes; return the end of that.

        The call must return at once. Its errors are logged.
        """
        return self._watchers.add(callback)

    def watch_resets(self, callback: Callable[[], None]) -> None:
        """Call `callback`, which must return at once, whenever the chat forgets all its turns."""
        self._reset_watchers.add(callback)

    def _check(self, number: int) -> None:
        if number not in self._branches:
            raise TurnNotFoundError(number, self.name)

    def _settle(self, number: int) -> None:
        """Make a turn of a complete answer, and store it."""
        sending = self._branches.sendings[number]
        turn = self._branches.settle(number)
        if turn is None:
            if self._branches.is_empty(number):
                self._clear_away(number)
            return
        if turn.origin is not None:
            self._firsts.setdefault(turn.origin, (sending.place.tick, sending.place.names))
        self._save_state()
        if sending.question.is_kept:
            saved = replace(turn, parent=self._branches.kept_parent(number))
            self._archive.write(StoredChats.keep, self.name, saved)
        else:  # what the same cell said before goes
            self._write_origins(StoredChats.forget, [turn.origin])

    def _clear_away(self, number: int) -> None:
        """Remove a place without a turn; the turns after it may be on the disk already."""
        self._take_out([number], is_on_disk=self._branches.has_children(number))

    def _take_out(self, numbers: Iterable[int], *, is_on_disk: bool = False) -> list[Sending]:
        """Remove turns, and return their prompts that are being answered."""
        sendings = []
        for number in numbers:
            parent, turn = self._branches.kept_parent(number), self._branches.turn(number)
            sendings.append(self._branches.remove(number))
            if is_on_disk:
                finished_at = turn.finished_at if turn is not None else None
                self._archive.write(StoredChats.remove, self.name, number, parent, finished_at)
                self._save_state()
        return [sending for sending in sendings if sending is not None]

    def _drop(self, sendings: Iterable[Sending]) -> None:
        """Stop writing answers that have no place any more, and forget their prompts."""
        for sending in sendings:
            sending.future.add_done_callback(self._forget_prompt)  # after it was kept
            sending.cancel()

    def _forget_prompt(self, future: Future[Completion]) -> None:
        """Forget the prompt of an answer, unless a turn has the same prompt."""
        made = None if future.exception() is not None else future.result().provenance
        if made is not None:
            with self._lock:
                prompts = {made.prompt_key} - self._branches.prompts()
            self._answers.forget(prompts)

    def _write_origins(self, work: Any, origins: Iterable[Hashable]) -> None:
        """Let the archive work on the turns of some cells."""
        if known := [one for origin in origins if (one := origin_of(origin)) is not None]:
            self._archive.write(work, self.name, known)

    def _save_state(self) -> None:
        """Store the state of the chat beside its turns; cells do not outlive a kernel."""
        turns = self._branches.turns()
        cuts = turns[-1].cuts if turns else {}
        numbers = {at: [one for one in cut if isinstance(one, int)] for at, cut in cuts.items()}
        last_turns = {at: max(turns) for at, turns in numbers.items() if turns}
        state = ChatState(self._systems.kept, last_turns, self._branches.choices)
        self._archive.write(StoredChats.describe, self.name, state)
