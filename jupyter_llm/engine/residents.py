"""The models in memory: loaded, watched, and unloaded when they are idle or must make way."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, showing
from jupyter_llm.common.tables import human_size
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.errors import EngineClosedError, JupyterLLMError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.choices import Choices, Named
    from jupyter_llm.engine.info import Work
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.remote.engine import RemoteEngine
    from jupyter_llm.engine.roles import ModelRole
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.models.machine import FreeMemory

logger = logging.getLogger(__name__)

_LEAST_WAIT_S = 0.05  # between two looks for idle models


@dataclass(eq=False, slots=True)
class Resident:
    """A model that is loaded, or that a server has; and when it was last used."""

    entry: Named
    options: EngineOptions
    engine: LocalEngine | RemoteEngine
    used_s: float = field(default_factory=time.monotonic)

    @property
    def local(self) -> LocalEngine | None:
        """Its engine if it takes memory here; None for a model of a server."""
        return None if isinstance(self.entry, Address) else cast("LocalEngine", self.engine)

    def touch(self) -> None:
        """Note that it is used now."""
        self.used_s = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The work of the active model, or the progress of the one that is loading, from 0 to 1.

    Without a model, `state` is "none".
    """

    state: Literal["none", "loading"] | Work = "none"
    model: str | None = None
    share: float | None = None


class Residents:
    """All models in memory, and the servers in use. Safe from any thread.

    Models stay loaded beside each other while there is room; then the model leaves that was not
    used for the longest time. `check_remote` raises if no text may be sent to a host.
    """

    def __init__(self, choices: Choices, check_remote: Callable[[str], None]) -> None:
        self.lock = threading.RLock()  # guards the choice of models and their loading
        self.all: tuple[Resident, ...] = ()  # also models whose engines have closed
        self.is_background_held = False
        self.served_at = ""
        self.watchers = Watchers()
        self.activity_watchers = Watchers()
        self.watchers.add(self.activity_watchers.notify)
        self.loading: Activity | None = None
        """How much of a model is loaded; None if none is being loaded."""
        self._choices = choices
        self._check_remote = check_remote
        self._idle_s: float | None = None
        self._idle_timer: threading.Timer | None = None

    @property
    def alive(self) -> list[Resident]:
        """The models whose engines work, the latest used last."""
        alive = (one for one in self.all if not one.engine.is_closed)
        return sorted(alive, key=lambda one: one.used_s)

    def find(self, place: Path | Address) -> Resident | None:
        """Return the model of a file or an address if it is in memory."""
        return next((one for one in self.alive if one.entry.path == place), None)

    def replaced_by(self, entry: Named, role: ModelRole) -> list[Resident]:
        """Return the models that make way for another one in a role."""
        places = {used: one.path for used, (one, _) in self._choices.by_role.items()}
        old = places.pop(role, None)
        kept = [entry.path, *places.values()]
        return [
            one
            for one in self.alive
            if one.entry.path not in kept and (role == "chat" or one.entry.path == old)
        ]

    def end(self, leaving: Sequence[Resident]) -> None:
        """Free the memory of models."""
        for one in leaving:
            one.engine.close()  # first: after an interrupt nobody else could
        if leaving:
            with self.lock:
                self.all = tuple(one for one in self.all if one not in leaving)
            self.watchers.notify()

    def hold_background(self, *, is_held: bool) -> None:
        """Let no model read in the background, as while a cell runs, or let them again."""
        self.is_background_held = is_held
        for one in self.alive:
            with suppress(EngineClosedError):
                one.engine.hold_background(is_held=is_held)

    def forget(self) -> None:
        """Forget the prompts that models have read."""
        for one in self.all:
            try:
                one.engine.forget()
            except EngineClosedError:  # closing writes states to the disk, so wait for its end
                one.engine.close()

    def free_alone(self) -> FreeMemory:
        """Return the memory that another model may take if all these leave."""
        from jupyter_llm.engine.local.resident import free_beside

        engines = [one.local for one in self.alive if one.local is not None]
        return free_beside(
            [engine.info.size_bytes for engine in engines], [e.held for e in engines]
        )

    # -- loading ---------------------------------------------------------------------------------

    def ensure(
        self,
        entry: Named,
        options: EngineOptions,
        show: ShowProgress | None = None,
        leaving: Sequence[Resident] = (),
        *,
        is_chosen: bool = False,
    ) -> Engine:
        """Return the engine of this model with these options; load it if needed.

        The models in `leaving` are unloaded. If the same file is loaded with other options, that
        engine first finishes its answers, unless the user chose the new options. Servers leave, and
        files leave for a server, once the new model is there.
        """
        resident = self.find(entry.path)
        is_outdated = (
            resident is not None and resident.local is not None and resident.local.is_outdated
        )
        if resident is not None and resident.options == options:
            if not is_outdated:
                resident.touch()
                self.end(leaving)
                return resident.engine
            logger.warning(
                "%s has changed on disk since it was loaded, so it is loaded again.", entry.name
            )
        if isinstance(entry, Address):
            reached = self._reach(entry, show)
            self.end(leaving)
            return reached
        servers = [one for one in leaving if one.local is None]
        leaving = [one for one in leaving if one.local is not None]
        if resident is not None:
            if not (is_chosen or is_outdated):
                _wait_until_idle(resident, show)
            leaving = [resident, *leaving]
        all_leaving = self._leaving_for(entry, options, leaving)
        for one in all_leaving[len(leaving) :]:
            _wait_until_idle(one, show)
        self.end(all_leaving)  # before the new one is loaded: the memory may not hold both
        try:
            loaded = self._load(entry, options, show)
        except JupyterLLMError as error:
            self._bring_back(all_leaving, error, show)
            raise
        self.end(servers)
        return loaded

    def _reach(self, address: Address, show: ShowProgress | None) -> Engine:
        from jupyter_llm.engine.remote.engine import RemoteEngine

        if f"//{address.host.replace('localhost', '127.0.0.1')}/" in self.served_at:
            raise OptionError(f"{address.host} is this kernel, so name the model that it serves.")
        self._check_remote(address.host)
        with showing(show) as tell:
            tell(Step(f"Asking {address.host} what it can"))
            resident = Resident(address, EngineOptions(), RemoteEngine(address))
        self.all = (*self.alive, resident)
        for callback in (resident.touch, self.activity_watchers.notify):
            resident.engine.watch(callback)
        self._check_remote(address.host)  # the user may have forbidden it since
        self._wait_for_idleness()
        self.watchers.notify()
        return resident.engine

    def _leaving_for(
        self, entry: ModelEntry, options: EngineOptions, leaving: Sequence[Resident]
    ) -> Sequence[Resident]:
        """Return the models that must leave before another is loaded; raise if it cannot be."""
        from jupyter_llm.engine.local.native.memory import num_to_go
        from jupyter_llm.engine.local.resident import free_beside
        from jupyter_llm.models.inspect import inspect

        others = [one for one in self.alive if one not in leaving and one.local is not None]
        others.sort(key=lambda one: one.engine.work != "idle")  # a model that works leaves last
        residents = [*leaving, *others]
        count = num_to_go(
            inspect(entry.path),
            options,
            free_beside([one.engine.info.size_bytes for one in residents]),
            [one.local.held for one in residents if one.local is not None],
            least=len(leaving),
        )
        return residents[:count]

    def _load(
        self, entry: ModelEntry, options: EngineOptions, show: ShowProgress | None
    ) -> LocalEngine:
        from jupyter_llm.engine.local.engine import LocalEngine
        from jupyter_llm.models.discover import note_used
        from jupyter_llm.models.inspect import inspect

        def add(engine: LocalEngine) -> None:
            # In one assignment: after an interrupt no engine may pass for another's.
            resident = Resident(entry, options, engine)
            alive = (one for one in self.all if not one.engine.is_closed)
            self.all = (*alive, resident)
            engine.watch(resident.touch)

        file = inspect(entry.path)
        if file.is_embedding:
            self._choices.embedding.add(entry.path)
        what, size = f"Loading {entry.name}", human_size(file.size_bytes)
        try:
            with showing(show) as tell:

                def on_share(share: float) -> None:
                    self.loading = Activity(state="loading", model=entry.name, share=share)
                    self.activity_watchers.notify()
                    tell(Step(f"{what}: {share:.0%} of {size}", share))

                on_share(0.0)
                engine = LocalEngine(entry, options, on_progress=on_share, on_ready=add)
                engine.watch(self.activity_watchers.notify)
        finally:
            self.loading = None
            self.activity_watchers.notify()
        engine.hold_background(is_held=self.is_background_held)
        self._wait_for_idleness()
        self._choices.seen.pop(entry.name, None)
        self._choices.seen[entry.name] = entry
        note_used(entry)
        self.watchers.notify()
        return engine

    def _bring_back(
        self, ended: Sequence[Resident], error: JupyterLLMError, show: ShowProgress | None
    ) -> None:
        """Load models again that made way in vain, and add the result to the error."""
        for one in ended:
            assert not isinstance(one.entry, Address)  # servers take no memory, so none made way
            try:
                self._load(one.entry, one.options, show)
                result = f"{one.entry.name} is loaded again."
            except JupyterLLMError as another:
                result = f"{one.entry.name}, which made way, is not there again: {another}"
            error.args = (f"{error} {result}",)

    # -- idleness --------------------------------------------------------------------------------

    @property
    def idle_s(self) -> float | None:
        """After how many seconds without use a model's memory is freed; None keeps it."""
        return self._idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float | None) -> None:
        with self.lock:
            self._idle_s = idle_s
            self._wait_for_idleness()

    def _wait_for_idleness(self) -> None:
        """Look again when the model that was not used for the longest time may have to leave."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        residents = self.alive
        if self._idle_s is not None and residents:
            left_s = residents[0].used_s + self._idle_s - time.monotonic()
            self._idle_timer = threading.Timer(max(left_s, _LEAST_WAIT_S), self._rest)
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _rest(self) -> None:
        """Free the memory of models that nobody uses."""
        with self.lock:
            if self._idle_s is None:
                return
            residents, last_s = self.alive, time.monotonic() - self._idle_s
            for one in residents:
                if one.engine.work != "idle":
                    one.touch()
            self.end([one for one in residents if one.used_s <= last_s])
            self._wait_for_idleness()


def _wait_until_idle(resident: Resident, show: ShowProgress | None) -> None:
    """Let a model finish its answers before it makes way."""
    while (engine := resident.local) and engine.is_awaited and not engine.is_closed:
        if show is not None:
            show(Step(f"Waiting for {engine.info.name}, which makes way"))
        time.sleep(TICK_S)
