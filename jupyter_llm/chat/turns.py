"""The turns of a chat: as branches, kept on disk, and watched by whoever shows them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.archive import restored_turns
from jupyter_llm.chat.draft import Turn
from jupyter_llm.chat.store import ChatState, SavedChat
from jupyter_llm.chat.system import SystemTexts
from jupyter_llm.chat.tree import Exchange, Exchanges, Moment, Writing
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.stream import when_done
from jupyter_llm.errors import TurnNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable
    from concurrent.futures import Future
    from typing import Any

    from jupyter_llm.chat.archive import Archive
    from jupyter_llm.chat.plan import Place
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.cells.timeline import Timeline


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
        self._exchanges = Exchanges()
        self._moments: dict[Hashable, Moment] = {}  # by origin
        self._watchers = Watchers()
        self._lock = threading.RLock()

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
        with self._lock:
            self._take_in_answers()
            return list(self._exchanges.turns())

    @property
    def kept_turns(self) -> list[Turn]:
        """Those of the active branch that may be written to the disk."""
        with self._lock:
            self._take_in_answers()
            turns = self._exchanges.turns()
            return [turn for turn in turns if self._exchanges.is_kept(turn.number)]

    @property
    def num_other_branches(self) -> int:
        """How many branches there are beside the active one."""
        with self._lock:
            return self._exchanges.num_others

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The active branch with the prompts that are being answered."""
        with self._lock:
            self._take_in_answers()
            return self._exchanges.shown()

    def exchange(self, number: int) -> Exchange | None:
        """What stands at a number, on any branch; None if nothing is to be shown of it."""
        with self._lock:
            self._take_in_answers()
            return self._exchanges.exchange(number)

    def turn(self, number: int) -> Turn:
        """A finished turn of any branch.

        Raises
        ------
        TurnNotFoundError
        """
        with self._lock:
            self._take_in_answers()
            turn = self._exchanges.turn(number)
        if turn is None:
            raise TurnNotFoundError(number, self.name)
        return turn

    def is_kept(self, *numbers: int) -> bool:
        """Tell whether all of these turns may be written to the disk; not one that was removed."""
        with self._lock:
            return all(n in self._exchanges and self._exchanges.is_kept(n) for n in numbers)

    def choose(self, number: int) -> None:
        """Make the branch through a turn the active one.

        After that turn it goes on as it did when it was active last.

        Raises
        ------
        TurnNotFoundError
        """
        with self._lock:
            self._take_in_answers()
            self._check(number)
            is_another = self._exchanges.choose(number)
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
        with self._lock:
            self._take_in_answers()
            self._check(number)
            turn, parent = self._exchanges.turn(number), self._exchanges.kept_parent(number)
            prompts = self._exchanges.prompts_with(number)
            writings = self._take_out([number])
            self._archive.remove(self.name, number, parent, turn)
            self._save_state()
        self._drop(writings)
        self._forget_prompts(prompts)
        self._watchers.tell()

    def cancel(self, number: int | None = None) -> None:
        """Stop writing a turn, or all that are being written, on all branches; texts stay.

        Returns at once.
        """
        with self._lock:
            writings = self._exchanges.writings
        for at, writing in writings.items():
            if number in (None, at):
                writing.cancel()

    def forget(self, is_stale: Callable[[Any], bool]) -> None:
        """Forget the turns whose origin is stale; those being written are cancelled."""
        with self._lock:
            self._take_in_answers()
            stale = self._exchanges.of_origin(is_stale)
            writings = self._take_out(stale)
            self._archive.forget(self.name, stale.values())
            if stale:
                self._save_state()
        self._drop(writings)
        if stale:
            self._watchers.tell()

    def reset(self, *, with_prompts: bool = False) -> None:
        """Forget all turns, also those on the disk; those being written are cancelled.

        Where their prompts are forgotten too, they can no longer be verified.
        """
        with self._lock:
            prompts = self._exchanges.prompts() | self._exchanges.past_prompts.keys()
            writings = self._exchanges.clear()
            if self.name is not None:
                self._archive.clear(self.name)
        self._drop(writings)
        if with_prompts:
            self._forget_prompts(prompts)
        self._watchers.tell()

    def rename(self, name: str) -> None:
        """Go by another name from here on, also on the disk."""
        with self._lock:
            self._archive.rename(self.name, name)
            self.name = name
        self._watchers.tell()

    def restore(self, chat: SavedChat) -> None:
        """Take in the turns of an earlier kernel, for whoever goes on from them."""
        with self._lock:
            self._systems.restored = chat.state.system
            self._exchanges = Exchanges(restored_turns(chat))
        self._watchers.tell()

    def resume(self) -> None:
        """Go on from the turns of an earlier kernel: from here on they count as said before."""
        with self._lock:
            self._take_in_answers()
            origins = self._exchanges.resume()
            self._archive.release(self.name, origins)
            self._systems.resume()
            if origins:
                self._save_state()
        if origins:
            self._watchers.tell()

    @property
    def restored(self) -> frozenset[int]:
        """The numbers of the turns of an earlier kernel that nobody has gone on from."""
        with self._lock:
            return self._exchanges.restored

    @property
    def num_restored(self) -> int:
        """How many turns of an earlier kernel nobody has gone on from."""
        return len(self.restored)

    def saved(self) -> SavedChat:
        """The active branch as it is kept on disk, and how many others there are."""
        with self._lock:
            self._take_in_answers()
            return SavedChat(
                name=self.name or "",
                state=ChatState(self.system),
                turns=tuple(self._exchanges.turns()),
                num_other_branches=self._exchanges.num_others,
            )

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `exchanges` has changed; what is returned ends that.

        The call comes on any thread, the engine's too, so it must return at once. Its errors are
        logged.
        """
        return self._watchers.add(callback)

    # A prompt on its way

    def _place(
        self,
        moment: Moment,
        origin: Hashable = None,
        after: int | None = None,
        *,
        goes_on: bool = False,
        is_held: bool = False,
    ) -> Place:
        """Find where a prompt stands, and hold the place for it if that is wanted."""
        with self._lock:
            self._take_in_answers()
            if after:
                self._check(after)
            below = None if goes_on else moment.tick
            place = self._exchanges.place(origin, after, below=below)
            if is_held:
                self._exchanges.hold(place, origin, moment.tick)
            return place

    def _release(self, place: Place) -> None:
        """Let go of a place; if its prompt has not begun, it is gone."""
        with self._lock:
            self._exchanges.release(place)
            self._clear_away(place.number)

    def _begin(
        self,
        place: Place,
        writing: Writing,
        origin: Hashable,
        on_begin: Callable[[int], None] | None,
    ) -> None:
        """Take in a prompt that was sent."""
        with self._lock:
            self._take_in_answers()
            has_begun = self._exchanges.begin(place, writing)
            if has_begun and place.elsewhere is not None:
                self._archive.release(self.name, [origin])
        if not has_begun:  # the chat was reset, or the turn it was to replace removed
            self._drop([writing])
        elif on_begin is not None:
            on_begin(place.number)
        when_done(writing.future, self._finish)
        self._watchers.tell()

    def _finish(self, _future: Future[Completion]) -> None:
        """Take in the end of a prompt, on the engine's thread; it may have no place any more."""
        with self._lock:
            self._take_in_answers()
        self._watchers.tell()

    def _take_in_answers(self) -> None:
        """Take in all answers that are there, first of all that is done under the lock.

        Whoever has waited for an answer may be here before the engine has told us of it.
        """
        for number in self._exchanges.over():
            self._settle(number)

    # What is changed, under the lock

    def _check(self, number: int) -> None:
        if number not in self._exchanges:
            raise TurnNotFoundError(number, self.name)

    def _settle(self, number: int) -> None:
        """Take in an answer that is there, and keep its turn on the disk."""
        writing = self._exchanges.writing(number)
        assert writing is not None
        turn = self._exchanges.settle(number)
        if turn is None:
            self._clear_away(number)
            return
        if turn.origin is not None:
            self._moments.setdefault(turn.origin, writing.moment)
        self._save_state()
        saved = replace(turn, parent=self._exchanges.kept_parent(number))
        self._archive.keep(self.name, saved, is_kept=writing.is_kept)

    def _clear_away(self, number: int) -> None:
        """Take out a place without a turn; what follows it may be on the disk already."""
        if not self._exchanges.is_empty(number):
            return
        has_children = self._exchanges.has_children(number)
        parent = self._exchanges.kept_parent(number)
        self._take_out([number])
        if has_children:
            self._archive.remove(self.name, number, parent, None)
            self._save_state()

    def _drop(self, writings: Iterable[Writing]) -> None:
        """Stop writing what has no place any more, and keep no prompt of it."""
        for writing in writings:
            when_done(writing.future, self._forget_prompt)  # after it was kept
            writing.cancel()

    def _forget_prompt(self, future: Future[Completion]) -> None:
        """Forget the prompt of an answer, unless a turn has the same."""
        made = None if future.exception() is not None else future.result().provenance
        if made is not None:
            with self._lock:
                prompts = {made.prompt_sha256} - self._exchanges.prompts()
            self._forget_prompts(prompts)

    def _forget_prompts(self, prompt_sha256s: Collection[str]) -> None:
        """Forget prompts wherever they are kept."""

    def _take_out(self, numbers: Iterable[int]) -> list[Writing]:
        """Take out turns, and return what was being written of them."""
        writings = []
        for number in numbers:
            writings.append(self._exchanges.writing(number))
            self._exchanges.remove(number)
        return [writing for writing in writings if writing is not None]

    def _save_state(self) -> None:
        turns = self._exchanges.turns()
        self._archive.describe(
            self.name,
            system=self._systems.kept,
            cuts=turns[-1].cuts if turns else {},
            choices=self._exchanges.choices,
        )
