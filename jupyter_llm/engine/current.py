"""The resident models: which they are, loaded when first needed, watched, unloaded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, showing
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import human_size
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.naming import allow_server, default_server, server_of
from jupyter_llm.engine.options import LOADING, EngineOptions, check_names
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.roles import ROLE_WORDS, ModelRole
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import (
    EngineClosedError,
    JupyterLLMError,
    MissingLibraryError,
    ModelNotFoundError,
    NotAllowedError,
    OptionError,
)

if TYPE_CHECKING:
    import os

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.cluster.engine import ClusterEngine
    from jupyter_llm.engine.info import Work
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.project import Project
    from jupyter_llm.engine.remote.engine import RemoteEngine
    from jupyter_llm.engine.status import Loaded, Status
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.models.machine import FreeMemory

    _Named = ModelEntry | Address
    _Choice = tuple[_Named, EngineOptions]

logger = logging.getLogger(__name__)

_LEAST_WAIT_S = 0.05  # until it is looked again who is idle


@contextmanager
def _waits(said: str) -> Iterator[None]:
    """Let a method that may take long end with one exception, wherever an interrupt meets it."""
    check_may_wait()
    try:
        yield
    except KeyboardInterrupt:
        raise PromptInterrupted(said=f"stopped {said}.") from None


@dataclass(eq=False, slots=True)
class Resident:
    """A model that is loaded, or that a server has; and when it was last used."""

    entry: _Named
    options: EngineOptions
    engine: LocalEngine | RemoteEngine
    used_s: float = field(default_factory=time.monotonic)

    @property
    def local(self) -> LocalEngine | None:
        """Its engine, if that has a file and takes memory here; None for a server's model."""
        return None if isinstance(self.entry, Address) else cast("LocalEngine", self.engine)

    def touch(self) -> None:
        """Note that it is used now."""
        self.used_s = time.monotonic()


def _with_file(entry: _Named) -> ModelEntry:
    """A model that has a file here; `OptionError` if it is one of a server."""
    if isinstance(entry, Address):
        raise OptionError(f"{entry.host} is a server, and this is for models of this machine.")
    return entry


def _wait_until_idle(resident: Resident, show: ShowProgress | None) -> None:
    """Let a model finish what it does before it makes way."""
    while (engine := resident.local) and engine.is_awaited and not engine.is_closed:
        if show is not None:
            show(Step(f"Waiting for {engine.info.name}, which makes way"))
        time.sleep(TICK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the resident model does, or how far one is loaded; `share` is from 0 to 1.

    Where there is none, `state` is "none".
    """

    state: Literal["none", "loading"] | Work = "none"
    model: str | None = None
    share: float | None = None


class CurrentEngine:
    """The engines of the resident models. Safe from any thread.

    Nothing is loaded before an engine is asked for, and then exactly once: several threads wait
    for the same model. A role may have a model of its own; all else goes to that of chats. Models
    stay loaded beside each other while there is room; then those go that were not used for the
    longest time.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards the choice of models and their loading
        self._residents: tuple[Resident, ...] = ()  # also where their engines have closed
        self._choices: dict[ModelRole, _Choice] = {}  # by `use`
        self._seen: dict[str, ModelEntry] = {}  # by name, what was loaded; the latest one last
        self._embedding: set[Path] = set()  # what of it makes only vectors
        self._default: _Named | None = None  # as it was when somebody looked
        self._allows_remote = True
        self._project: Project | None = None
        self._idle_s: float | None = None
        self._idle_timer: threading.Timer | None = None
        self.is_background_held = False
        """Whether nothing is read in the background, since a cell runs."""
        self.usual: dict[str, Any] = {}
        """Loading options where nobody says anything of them."""
        self.served_at = ""
        """Where models are served to other programs, if they are."""
        self._watchers = Watchers()
        self._underway: Activity | None = None  # before there is an engine that works
        self._activity_watchers = Watchers()
        self._cluster_lock = threading.Lock()
        self._clustered: dict[tuple[object, ...], ClusterEngine] = {}
        self._watchers.add(self._activity_watchers.notify)

    @property
    def _alive(self) -> list[Resident]:
        """The models whose engines work, the latest used last."""
        alive = (one for one in self._residents if not one.engine.is_closed)
        return sorted(alive, key=lambda one: one.used_s)

    def _find(self, place: Path | Address) -> Resident | None:
        """The one that was loaded for a file, or that is asked for at an address."""
        return next((one for one in self._alive if one.entry.path == place), None)

    @property
    def activity(self) -> Activity:
        """What goes on, known at once and from any thread."""
        if (underway := self._underway) is not None:
            return underway
        engine = self.active
        return Activity() if engine is None else Activity(state=engine.work, model=engine.info.name)

    @property
    def active(self) -> Engine | None:
        """The engine that works, or else that of chats."""
        busy = (one.engine for one in reversed(self._alive) if one.engine.work != "idle")
        return next(busy, self.resident)

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        """All models that are loaded, the latest used first."""
        from jupyter_llm.engine.status import Loaded

        return tuple(
            Loaded(info=one.engine.info, roles=self.roles_of(one.entry))
            for one in reversed(self._alive)
        )

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, as `watch` does, whenever `activity` is another one."""
        return self._activity_watchers.add(callback)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever a model was loaded or has gone; what is returned ends that.

        The call comes on any thread, with the choice of models locked, so it must return at once.
        Its errors are logged.
        """
        return self._watchers.add(callback)

    @property
    def resident(self) -> Engine | None:
        """The engine of the model that chats go to, or None where it is not loaded."""
        return self.resident_of("chat")

    def resident_of(self, role: ModelRole) -> Engine | None:
        """The engine that a role goes to as things are, or None. Never waits."""
        found = self._resident_of(role)
        return None if found is None else found.engine

    def _resident_of(self, role: ModelRole) -> Resident | None:
        choices = self._choices.copy()
        meant = [choices[used_for][0] for used_for in (role, "chat") if used_for in choices]
        if "chat" not in choices and self._default is not None:
            meant.append(self._default)
        for entry in meant:
            if (found := self._find(entry.path)) is not None:
                return found
        latest = self._latest([one.entry for one in self._alive])
        return None if latest is None else self._find(latest.path)

    def _latest(self, entries: Sequence[_Named]) -> ModelEntry | None:
        """The last of the models that stands in where none was chosen: none of a server."""
        taken = {entry.path for entry, _ in self._choices.copy().values()} | self._embedding
        here = (entry for entry in reversed(entries) if not isinstance(entry, Address))
        return next((entry for entry in here if entry.path not in taken), None)

    @_waits("before the first word")
    def get(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        role: ModelRole = "chat",
        show: ShowProgress | None = None,
    ) -> Engine:
        """The engine of a model, which is loaded if it is not resident.

        Without a model it is the one that `use` chose for the role, or else for chats, or else the
        default one. `show` is told how far it is loaded; without it a line says so.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, PromptInterrupted
        """
        with self._locked(show):
            return self._ensure(*self._chosen(model, role), show)

    @_waits("before the first word")
    def on_cluster(
        self,
        client: Any,
        model: str | os.PathLike[str] | None = None,
        *,
        role: ModelRole = "chat",
        show: ShowProgress | None = None,
    ) -> ClusterEngine:
        """What `get` returns, but loaded on the workers of a Dask cluster, and not here."""
        try:
            from jupyter_llm.engine.cluster.engine import ClusterEngine
            from jupyter_llm.engine.cluster.worker import check_client
        except ImportError as error:
            raise MissingLibraryError("client=", error, "cluster") from None
        if host := check_client(client):
            self._check_remote(host)
        with self._locked(show):
            entry, options = self._chosen(model, role)
        entry = _with_file(entry)
        key = client, entry.path, options
        with self._cluster_lock:  # nobody else waits until a worker comes
            found = {key: one for key, one in self._clustered.items() if not one.is_closed}
            if key not in found:
                found[key] = ClusterEngine(client, entry, options, show=show)
            self._clustered = found
            return found[key]

    def resident_for(self, model: str | os.PathLike[str] | None = None) -> Engine | None:
        """The engine that `get` would return, or None where it would load or wait for one."""
        if not self._alive or not self._lock.acquire(blocking=False):
            return None
        try:
            entry, options = self._chosen(model)
        except JupyterLLMError:  # whoever asks for an answer is told
            return None
        finally:
            self._lock.release()
        found = self._find(entry.path)
        return found.engine if found is not None and found.options == options else None

    @_waits("before the first word")
    def named(self, model: str) -> Engine:
        """The engine of a model's name; one that was loaded before need not be found by it.

        The name may be somebody else's word, so it is none of a server's model.
        """
        from jupyter_llm.models.discover import find_model

        with self._locked(None):
            entry = self._seen.get(model) or find_model(model)
            found = self._find(entry.path)
            options = self._options_of(entry, is_named=True) if found is None else found.options
            return self._ensure(entry, options)

    @_waits("loading; the choice of a model is as it was")
    def use(
        self,
        model: str | os.PathLike[str] | None = None,
        /,
        *,
        role: ModelRole = "chat",
        show: ShowProgress | None = None,
        allow: bool = False,
        **options: Any,
    ) -> Status:
        """Load a model and stay with it in a role; without one, the options are for that in use.

        The memory of the old model is freed first. If the new one cannot be loaded, the old one is
        loaded again and stays chosen. For `allow` see `LLM.use`.
        """
        if model is None:
            model = options.pop("model", None)
        if (address := server_of(model, options)) is not None:
            options = {}  # they are a part of it
        check_names(options, EngineOptions, "a loading option")
        if allow and model is not None:
            raise OptionError("allow=True is for what pyproject.toml names; give no model with it.")
        if role not in (roles := list(ROLE_WORDS)):
            hint = nearest(str(role), roles, f"There are: {', '.join(roles)}.")
            raise OptionError(f"{role!r:.60} is not what a model can be used for. {hint}")
        with self._locked(show):
            if allow:
                address = allow_server(self.project())
            entry: _Named
            if model is None and address is None:
                entry, chosen = self._chosen(None, role)
                choice = (entry, replace(chosen, **options))
                if options:
                    _with_file(entry)
            else:
                entry = address or self.find(model)
                choice = (entry, self._options(entry, options, is_named=True))
                if role != "chat" and not options:  # as it is loaded for what else it does
                    choice = (entry, self._options_of(entry, is_named=True))
            chosen_before = self._choices.copy()
            if role != "chat" and "chat" not in chosen_before:
                with suppress(JupyterLLMError):
                    chosen_before["chat"] = self._chosen(None)  # chats stay with what they have
            try:
                engine = self._ensure(
                    *choice, show, leaving=self._replaced(role, entry), is_chosen=True
                )
            except KeyboardInterrupt:
                found = self._find(entry.path)
                if found is not None and (entry, found.options) not in self._choices.values():
                    self._end([found])  # it came after all, and nobody chose it
                raise
            self._choices = {  # a file is loaded once, for all that it does
                used: choice if one.path == entry.path else (one, theirs)
                for used, (one, theirs) in chosen_before.items()
            } | {role: choice}
        return self._status_of(engine)

    def _replaced(self, role: ModelRole, entry: _Named) -> list[Resident]:
        """The models that make way for another one in a role."""
        places = {used: one.path for used, (one, _) in self._choices.items()}
        old = places.pop(role, None)
        kept = [entry.path, *places.values()]
        return [
            one
            for one in self._alive
            if one.entry.path not in kept and (role == "chat" or one.entry.path == old)
        ]

    @_waits("waiting for the model to go")
    def unload(self, model: str | os.PathLike[str] | None = None) -> None:
        """Free the memory of all models, or of one. The next `get` loads it again.

        What one that is named was used for beside chats goes to the model of chats again.
        """
        place = None
        if model is not None:  # a file that is loaded need not be there any more
            here = {one.engine.info.name.lower(): one.entry for one in self._residents}
            name = str(model).lower()
            place = (self._seen.get(name) or here.get(name) or self.find(model)).path
        going = [one for one in self._residents if place in (None, one.entry.path)]
        self._end(going)  # at once; another model may be loaded for long
        for one in self._clustered.values():
            if place in (None, one.info.path):
                one.close()
        if place is not None:
            with self._lock:
                for role in self._roles_at(place):
                    if role != "chat":
                        self._choices.pop(role, None)

    def _end(self, going: Sequence[Resident]) -> None:
        """Free the memory of models."""
        for one in going:
            one.engine.close()  # first: after an interrupt nobody else could
        if going:
            with self._lock:
                self._residents = tuple(one for one in self._residents if one not in going)
            self._watchers.notify()

    @_waits("forgetting; what models have read may not all be gone, so ask again")
    def forget(self) -> None:
        """Forget what models have read, here and on the disk."""
        from jupyter_llm.engine.local.kept.checkpoint import CheckpointStore, checkpoint_folder

        for one in self._residents:
            try:
                one.engine.forget()
            except EngineClosedError:  # what it keeps at its end goes, too
                one.engine.close()
        for cluster in self._clustered.values():
            cluster.close()
        CheckpointStore(checkpoint_folder(), "", max_bytes=0).clear()

    def status(self) -> Status:
        """What is loaded and what it holds."""
        return self._status_of(self.resident)

    def _status_of(self, engine: Engine | None) -> Status:
        from jupyter_llm.engine.status import Status
        from jupyter_llm.models.neighbours import neighbours

        status = Status(
            info=None,
            engine=None,
            residents=self.loaded,
            neighbours=neighbours(),
            served_at=self.served_at,
        )
        try:
            if engine is not None:
                return replace(status, info=engine.info, engine=engine.status())
        except EngineClosedError:
            pass  # unloaded by another thread, or failed
        return status

    @property
    def idle_s(self) -> float | None:
        """After how many seconds without use a model's memory is freed; None keeps it."""
        return self._idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float | None) -> None:
        with self._lock:
            self._idle_s = idle_s
            self._wait_for_idleness()

    def _wait_for_idleness(self) -> None:
        """Look again when the model that was not used for the longest time may have to go."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        residents = self._alive
        if self._idle_s is not None and residents:
            left_s = residents[0].used_s + self._idle_s - time.monotonic()
            self._idle_timer = threading.Timer(max(left_s, _LEAST_WAIT_S), self._rest)
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _rest(self) -> None:
        """Free the memory of models that nobody uses."""
        with self._lock:
            if self._idle_s is None:
                return
            residents, last_s = self._alive, time.monotonic() - self._idle_s
            for one in residents:
                if one.engine.work != "idle":
                    one.touch()
            idle = [one for one in residents if one.used_s <= last_s]
            self._end(idle)
            self._wait_for_idleness()

    def name_for(self, role: ModelRole) -> str | None:
        """The model that does what a role is for, if it is loaded."""
        engine = self.resident_of(role)
        return None if engine is None else engine.info.name

    @property
    def allows_remote(self) -> bool:
        """Whether text may be sent to servers that the user has named."""
        return self._allows_remote

    @allows_remote.setter
    def allows_remote(self, is_allowed: bool) -> None:
        self._allows_remote = is_allowed
        if not is_allowed:
            self._end([one for one in self._residents if one.local is None])
            for cluster in self._clustered.values():
                if cluster.info.host:
                    cluster.close()

    def free_alone(self) -> FreeMemory:
        """What would be free if all models went: what another one may take."""
        from jupyter_llm.engine.local.resident import free_beside

        engines = [one.local for one in self._alive if one.local is not None]
        return free_beside(
            [engine.info.size_bytes for engine in engines], [e.held for e in engines]
        )

    def roles_of(self, entry: _Named) -> tuple[ModelRole, ...]:
        """What a model is used for as things are."""
        roles = self._roles_at(entry.path)
        chats = self._resident_of("chat")
        is_default = chats is not None and chats.entry.path == entry.path
        return ("chat", *roles) if is_default and "chat" not in roles else roles

    def _roles_at(self, place: Path | Address) -> tuple[ModelRole, ...]:
        """What the model of a file or an address was chosen for."""
        choices = self._choices.copy().items()
        return tuple(role for role, (one, _) in choices if one.path == place)

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background, as while a cell runs, or let it go on."""
        self.is_background_held = is_held
        for one in self._alive:
            with suppress(EngineClosedError):
                one.engine.hold_background(is_held=is_held)

    @contextmanager
    def _locked(self, show: ShowProgress | None) -> Iterator[None]:
        """Choose a model alone, and say so while another one is loaded."""
        while not self._lock.acquire(timeout=TICK_S):
            if show is not None:
                show(Step("Waiting while a model is loaded"))
        try:
            yield
        finally:
            self._lock.release()

    def find(self, model: str | os.PathLike[str] | None = None) -> ModelEntry | Address:
        """The model of a name, path or address, or the one that is used without one.

        None is loaded, and nothing sent. `NotAllowedError` says that a file beside the notebook
        names a server, and nobody has allowed that.
        """
        from jupyter_llm.models.discover import GET_A_MODEL, default_model, find_model

        if model is not None:
            return server_of(model) or find_model(model)
        project = self.project()
        self._default = default_server(project) or default_model(project.model)
        entry = self._default or self._latest(list(self._seen.values()))
        if entry is None:
            raise ModelNotFoundError("", message=f"There is no model yet. {GET_A_MODEL}")
        return entry

    def _chosen(self, model: str | os.PathLike[str] | None, role: ModelRole = "chat") -> _Choice:
        """The model that is meant, with the options that `use` was told for it."""
        if model is None and (choice := self._choices.get(role) or self._choices.get("chat")):
            return choice
        entry = self.find(model)
        return entry, self._options_of(entry, is_named=model is not None)

    def chosen(self, role: ModelRole) -> ModelEntry | Address:
        """The model that a prompt in a role goes to; none is loaded."""
        return self._chosen(None, role)[0]

    def _options_of(self, entry: _Named, *, is_named: bool) -> EngineOptions:
        """How a model is loaded: as `use` was told, or else by its name and the project."""
        for one, options in self._choices.values():
            if isinstance(one, Address) or isinstance(entry, Address):
                continue
            # Of two names with other options, each stands for its own; a path is only a path.
            if one.path == entry.path and (entry.source == "path" or one.options == entry.options):
                return options
        return self._options(entry, is_named=is_named)

    def project(self, folder: Path | None = None) -> Project:
        """The defaults of the project we are in: those of the working folder when first asked.

        With a folder they are read anew. `MagicUsageError` says what is wrong in them.
        """
        from jupyter_llm.engine.project import project_of

        if self._project is None or folder is not None:
            with suppress(OSError):  # the working folder was deleted
                folder = folder or Path.cwd()
            self._project = project_of(folder or Path())
        return self._project

    def _options(
        self, entry: _Named, typed: Mapping[str, Any] | None = None, *, is_named: bool = False
    ) -> EngineOptions:
        """How to load a model: as is typed, then as its name or the project says.

        The name that was used comes before the project, and the user's default after it. One of a
        server is not loaded here.
        """
        if isinstance(entry, Address):
            return EngineOptions()
        own = {name: value for name, value in entry.options if name in LOADING}
        project = self.project().loading
        known = {**project, **own} if is_named else {**own, **project}
        return EngineOptions(**{**self.usual, **known, **(typed or {})})

    def _ensure(
        self,
        entry: _Named,
        options: EngineOptions,
        show: ShowProgress | None = None,
        leaving: Sequence[Resident] = (),
        *,
        is_chosen: bool = False,
    ) -> Engine:
        """Make the engine of this file and these options a resident one; some models leave.

        One with other options may finish what it writes, but where the user chose these. Servers
        are left, and files for a server, once the other model is there.
        """
        found = self._find(entry.path)
        is_outdated = found is not None and found.local is not None and found.local.is_outdated
        if found is not None and found.options == options:
            if not is_outdated:
                found.touch()
                self._end(leaving)
                return found.engine
            logger.warning(
                "%s has changed on disk since it was loaded, so it is loaded again.", entry.name
            )
        if isinstance(entry, Address):
            reached = self._reach(entry, show)
            self._end(leaving)
            return reached
        servers = [one for one in leaving if one.local is None]
        leaving = [one for one in leaving if one.local is not None]
        if found is not None:
            if not (is_chosen or is_outdated):
                _wait_until_idle(found, show)
            leaving = [found, *leaving]
        going = self._going_for(entry, options, leaving)
        for one in going[len(leaving) :]:
            _wait_until_idle(one, show)
        self._end(going)  # before the other one is loaded: both need not fit
        try:
            loaded = self._load(entry, options, show)
        except JupyterLLMError as error:
            self._bring_back(going, error, show)
            raise
        self._end(servers)
        return loaded

    def _reach(self, address: Address, show: ShowProgress | None) -> Engine:
        from jupyter_llm.engine.remote.engine import RemoteEngine

        if f"//{address.host.replace('localhost', '127.0.0.1')}/" in self.served_at:
            raise OptionError(f"{address.host} is this kernel, so name the model that it serves.")
        self._check_remote(address.host)
        with showing(show) as tell:
            tell(Step(f"Asking {address.host} what it can"))
            found = Resident(address, EngineOptions(), RemoteEngine(address))
        self._residents = (*self._alive, found)
        for told in (found.touch, self._activity_watchers.notify):
            found.engine.watch(told)
        self._check_remote(address.host)  # it may have been forbidden since
        self._wait_for_idleness()
        self._watchers.notify()
        return found.engine

    def _check_remote(self, host: str) -> None:
        """Refuse to send text where that is forbidden, and end what is there."""
        if not self._allows_remote:
            self.allows_remote = False
            raise NotAllowedError(
                f"Nothing is sent to {host}: `LLMMagics.allow_remote` is False. "
                "`%llm /use NAME` takes a model of this machine."
            )

    def _going_for(
        self, entry: ModelEntry, options: EngineOptions, leaving: Sequence[Resident]
    ) -> Sequence[Resident]:
        """The models that go before another one is loaded, if it can be: a bad file moves none."""
        from jupyter_llm.engine.local.native.memory import num_to_go
        from jupyter_llm.engine.local.resident import free_beside
        from jupyter_llm.models.inspect import inspect

        others = [one for one in self._alive if one not in leaving and one.local is not None]
        others.sort(key=lambda one: one.engine.work != "idle")  # what writes goes last of all
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

        def take(engine: LocalEngine) -> None:
            # All at once: an interrupt must not leave an engine that passes for another's.
            resident = Resident(entry, options, engine)
            alive = (one for one in self._residents if not one.engine.is_closed)
            self._residents = (*alive, resident)
            engine.watch(resident.touch)

        file = inspect(entry.path)
        if file.is_embedding:
            self._embedding.add(entry.path)
        what, size = f"Loading {entry.name}", human_size(file.size_bytes)
        try:
            with showing(show) as tell:

                def on_share(share: float) -> None:
                    self._underway = Activity(state="loading", model=entry.name, share=share)
                    self._activity_watchers.notify()
                    tell(Step(f"{what}: {share:.0%} of {size}", share))

                on_share(0.0)
                engine = LocalEngine(entry, options, on_progress=on_share, on_ready=take)
                engine.watch(self._activity_watchers.notify)
        finally:
            self._underway = None
            self._activity_watchers.notify()
        engine.hold_background(is_held=self.is_background_held)
        self._wait_for_idleness()
        self._seen.pop(entry.name, None)
        self._seen[entry.name] = entry
        note_used(entry)
        self._watchers.notify()
        return engine

    def _bring_back(
        self, gone: Sequence[Resident], error: JupyterLLMError, show: ShowProgress | None
    ) -> None:
        """Load again what made way in vain, and let the error say what came of it."""
        for one in gone:
            assert not isinstance(one.entry, Address)  # those take no memory, so none made way
            try:
                self._load(one.entry, one.options, show)
                said = f"{one.entry.name} is loaded again."
            except JupyterLLMError as another:
                said = f"{one.entry.name}, which made way, is not there again: {another}"
            error.args = (f"{error} {said}",)
