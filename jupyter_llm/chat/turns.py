"""The turns of a chat: as branches, kept on disk, and watched by whoever shows them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.archive import ChatState, SavedChat
from jupyter_llm.chat.branches import Branches
from jupyter_llm.chat.store import StoredChats, origins_of
from jupyter_llm.chat.system import SystemTexts
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.errors import TurnNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Any

    from jupyter_llm.chat.archive import Archive
    from jupyter_llm.chat.draft import Turn
    from jupyter_llm.chat.exchange import Exchange, Sending
    from jupyter_llm.chat.plan import Place
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.cells.timeline import Timeline

    When = tuple[int, frozenset[str]]
    """A moment of the kernel, and what variables there were."""


class ChatTurns:
    """The turns of a chat, those being written too, and its system text.

    Safe from any thread. The lock guards all that changes, and the archive hears of a change before
    it is released; whoever watches is called after that.
    """

    def __init__(
        self, timeline: Timeline, archive: Archive, name: str | None, *, system: str | None = None
    ) -> None:
        self.name = name
        self.timeline = timeline
        self._systems = SystemTexts(system)
        self._archive = archive
        self._branches = Branches()
        self._firsts: dict[Hashable, When] = {}  # when each origin was first answered
        self._watchers = Watchers()
        self._lock = threading.RLock()

    @contextmanager
    def _settled(self) -> Iterator[Branches]:
        """All that was said, under the lock, with the answers taken in that are there.

        Whoever has waited for an answer may be here before the engine has told us of it.
        """
        with self._lock:
            for number in self._branches.over():
                self._settle(number)
            yield self._branches

    @property
    def system(self) -> str | None:
        """The system text that goes along with prompts from here on."""
        return self._systems.latest

    @system.setter
    def system(self, text: str | None) -> None:
        self._set_system(text)

    def begin_with(self, system: str | None) -> None:
        """Let a system text hold from the start, if none was given yet."""
        if self._systems.first is None:
            self._systems.first = system

    def _set_system(self, text: str | None, *, is_kept: bool = True) -> None:
        """Let a system text hold from the cell that runs on, or everywhere if there is none."""
        cell = self.timeline.running
        if cell is None:
            self._systems.begin(text, is_kept=is_kept)
        else:
            self._systems.put(("set in", cell), text, self.timeline.tick(), is_kept=is_kept)

    @property
    def turns(self) -> list[Turn]:
        """The turns of the active branch, the oldest first."""
        with self._settled() as branches:
            return list(branches.turns())

    @property
    def kept_turns(self) -> list[Turn]:
        """Those of the active branch that may be written to the disk."""
        return [turn for turn in self.turns if self.is_kept(turn.number)]

    @property
    def num_other_branches(self) -> int:
        """How many branches there are beside the active one."""
        with self._lock:
            return self._branches.num_others

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The active branch with the prompts that are being answered."""
        with self._settled() as branches:
            return branches.shown()

    def exchange(self, number: int) -> Exchange | None:
        """What stands at a number, on any branch; None if nothing is to be shown of it."""
        with self._settled() as branches:
            return branches.exchange(number)

    def turn(self, number: int) -> Turn:
        """A finished turn of any branch.

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
        """Tell whether all of these turns may be written to the disk; not one that was removed."""
        with self._lock:
            return all(map(self._branches.is_kept, numbers))

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one; `Chat.choose` says more."""
        with self._settled() as branches:
            self._check(number)
            is_another = branches.choose(number)
            if is_another:
                self._save_state()
        if is_another:
            self._watchers.tell()

    def remove(self, number: int) -> None:
        """Forget a turn for good, also on the disk; one that is being written is cancelled.

        What followed it follows the turn before it, and can no longer be verified: its prompt told
        the turn, and is forgotten too.

        Raises
        ------
        TurnNotFoundError
        """
        with self._settled() as branches:
            self._check(number)
            prompts = branches.prompts_with(number)
            sendings = self._take_out([number], is_on_disk=True)
        self._drop(sendings)
        self._forget_prompts(prompts)
        self._watchers.tell()

    def cancel(self, number: int | None = None) -> None:
        """Stop writing a turn, or all that are being written, on all branches; texts stay.

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
        self._watchers.tell()

    def reset(self, *, with_prompts: bool = False) -> None:
        """Forget all turns, also those on the disk; those being written are cancelled.

        Where their prompts are forgotten too, they can no longer be verified.
        """
        with self._lock:
            prompts = self._branches.prompts() | self._branches.past_prompts.keys()
            sendings = self._branches.clear()
            if self.name is not None:
                self._archive.clear(self.name)
        self._drop(sendings)
        if with_prompts:
            self._forget_prompts(prompts)
        self._watchers.tell()

    def rename(self, name: str) -> None:
        """Go by another name from here on, also on the disk."""
        with self._lock:
            self._archive.write(StoredChats.rename, self.name, name)
            self.name = name
        self._watchers.tell()

    def restore(self, chat: SavedChat) -> None:
        """Take in the turns of an earlier kernel, for whoever goes on from them."""
        with self._lock:
            self._systems.restored = chat.state.system
            self._branches = Branches(chat)
        self._watchers.tell()

    def resume(self) -> None:
        """Go on from the turns of an earlier kernel: from here on they count as said before."""
        with self._settled() as branches:
            origins = branches.resume()
            self._write_origins(StoredChats.release, origins)
            self._systems.resume()
            if origins:
                self._save_state()
        if origins:
            self._watchers.tell()

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of the turns of an earlier kernel that nobody has gone on from."""
        with self._lock:
            return self._branches.restored

    @property
    def num_restored(self) -> int:
        """How many turns of an earlier kernel nobody has gone on from."""
        return len(self.restored)

    def saved(self) -> SavedChat:
        """The active branch as it is kept on disk, and how many others there are."""
        with self._lock:
            return SavedChat(
                name=self.name or "",
                state=ChatState(self.system),
                turns=tuple(self.turns),
                num_other_branches=self.num_other_branches,
            )

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `exchanges` has changed; what is returned ends that.

        The call comes on any thread, the engine's too, so it must return at once. Its errors are
        logged.
        """
        return self._watchers.add(callback)

    def first_asked(self, origin: Hashable) -> When | None:
        """When a prompt of a cell was first answered in this kernel, if it was."""
        with self._settled():
            return self._firsts.get(origin)

    # A prompt on its way

    def _release(self, place: Place) -> None:
        """Let go of a place; if its prompt has not begun, it is gone."""
        with self._lock:
            if self._branches.release(place):
                self._clear_away(place.number)

    def _begin(self, sending: Sending, on_begin: Callable[[int], None] | None) -> None:
        """Take in a prompt that was sent."""
        place = sending.place
        with self._settled() as branches:
            has_begun = branches.begin(sending)
            if has_begun and place.elsewhere is not None:
                self._write_origins(StoredChats.release, [sending.asked.origin])
        if not has_begun:  # the chat was reset, or the turn it was to replace removed
            self._drop([sending])
        elif on_begin is not None:
            on_begin(place.number)
        sending.future.add_done_callback(self._finish)
        self._watchers.tell()

    def _finish(self, _future: Future[Completion]) -> None:
        """Take in the end of a prompt, on the engine's thread; it may have no place any more."""
        with self._settled():
            pass
        self._watchers.tell()

    # What is changed, under the lock

    def _check(self, number: int) -> None:
        if number not in self._branches:
            raise TurnNotFoundError(number, self.name)

    def _settle(self, number: int) -> None:
        """Take in an answer that is there, and keep its turn on the disk."""
        sending = self._branches.sendings[number]
        turn = self._branches.settle(number)
        if turn is None:
            if self._branches.is_empty(number):
                self._clear_away(number)
            return
        if turn.origin is not None:
            self._firsts.setdefault(turn.origin, (sending.place.tick, sending.place.names))
        self._save_state()
        if sending.asked.is_kept:
            saved = replace(turn, parent=self._branches.kept_parent(number))
            self._archive.write(StoredChats.keep, self.name, saved, size=saved.num_chars)
        else:  # what the same cell said before goes
            self._write_origins(StoredChats.forget, [turn.origin])

    def _clear_away(self, number: int) -> None:
        """Take out a place without a turn; what follows it may be on the disk already."""
        self._take_out([number], is_on_disk=self._branches.has_children(number))

    def _take_out(self, numbers: Iterable[int], *, is_on_disk: bool = False) -> list[Sending]:
        """Take out turns, and return what was being written of them."""
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
        """Stop writing what has no place any more, and keep no prompt of it."""
        for sending in sendings:
            sending.future.add_done_callback(self._forget_prompt)  # after it was kept
            sending.cancel()

    def _forget_prompt(self, future: Future[Completion]) -> None:
        """Forget the prompt of an answer, unless a turn has the same."""
        made = None if future.exception() is not None else future.result().provenance
        if made is not None:
            with self._lock:
                prompts = {made.prompt_sha256} - self._branches.prompts()
            self._forget_prompts(prompts)

    def _forget_prompts(self, prompt_sha256s: Collection[str]) -> None:
        """Forget prompts wherever they are kept."""

    def _write_origins(self, work: Any, origins: Iterable[Hashable]) -> None:
        """Have something done on the disk with the turns of some cells."""
        if known := origins_of(origins):
            self._archive.write(work, self.name, known)

    def _save_state(self) -> None:
        """Keep what the chat is beside its turns.

        Cells do not outlive a kernel, so of its conversations' cuts the numbers of turns are kept.
        """
        turns = self._branches.turns()
        cuts = turns[-1].cuts if turns else {}
        last_turns = {at: cut.last_turn for at, cut in cuts.items() if cut.last_turn}
        state = ChatState(self._systems.kept, last_turns, self._branches.choices)
        self._archive.write(StoredChats.describe, self.name, state)
