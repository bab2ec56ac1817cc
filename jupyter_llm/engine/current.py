"""The models of this kernel: chosen for roles, loaded when first needed, and unloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.bars import TICK_S, ShowProgress, Step, check_show
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.choices import Choices, with_file
from jupyter_llm.engine.clusters import Clusters
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.naming import allow_server, server_of
from jupyter_llm.engine.options import EngineOptions, check_names
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.residents import Activity, Residents
from jupyter_llm.engine.roles import ROLE_WORDS, ModelRole
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import (
    EngineClosedError,
    JupyterLLMError,
    NotAllowedError,
    OptionError,
)

if TYPE_CHECKING:
    import os

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.choices import Choice, Named
    from jupyter_llm.engine.cluster.engine import ClusterEngine
    from jupyter_llm.engine.project import Project
    from jupyter_llm.engine.residents import Resident
    from jupyter_llm.engine.status import Loaded, Status
    from jupyter_llm.models.machine import FreeMemory


@contextmanager
def _waits(stopped: str) -> Iterator[None]:
    """Let a method that may take long raise `PromptInterrupted` at any interrupt."""
    check_may_wait()
    try:
        yield
    except KeyboardInterrupt:
        raise PromptInterrupted(said=f"stopped {stopped}.") from None


class CurrentEngine:
    """The models of this kernel. Safe from any thread.

    `choices` says which model answers in which role, `residents` holds the models in memory, and
    `clusters` those on the workers of clusters. Nothing is loaded before an engine is asked for,
    and then exactly once: several threads wait for the same model. A role may have a model of its
    own; all others have the model of chats.
    """

    def __init__(self) -> None:
        self.choices = Choices()
        self.residents = Residents(self.choices, self._check_remote)
        self.clusters = Clusters()
        self._allows_remote = True

    @property
    def activity(self) -> Activity:
        """Return the progress of the model that is loading, or else the work of the active one."""
        if (loading := self.residents.loading) is not None:
            return loading
        engine = self.active
        return Activity() if engine is None else Activity(state=engine.work, model=engine.info.name)

    @property
    def active(self) -> Engine | None:
        """The engine that works, or else the engine of chats."""
        busy = (one.engine for one in reversed(self.residents.alive) if one.engine.work != "idle")
        return next(busy, self.resident)

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        """All models that are loaded, the latest used first."""
        from jupyter_llm.engine.status import Loaded

        return tuple(
            Loaded(info=one.engine.info, roles=self.roles_of(one.entry))
            for one in reversed(self.residents.alive)
        )

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, as `watch` does, whenever `activity` changes."""
        return self.residents.activity_watchers.add(callback)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever a model was loaded or unloaded; the returned function ends that.

        The call comes on any thread, with the choice of models locked, so it must return at once.
        Its errors are logged.
        """
        return self.residents.watchers.add(callback)

    @property
    def resident(self) -> Engine | None:
        """The engine of the model that answers chats, or None if it is not loaded."""
        return self.resident_of("chat")

    def resident_of(self, role: ModelRole) -> Engine | None:
        """Return the engine that answers in a role now, or None. Never waits."""
        found = self._resident_of(role)
        return None if found is None else found.engine

    def _resident_of(self, role: ModelRole) -> Resident | None:
        for entry in self.choices.candidates(role):
            if (found := self.residents.find(entry.path)) is not None:
                return found
        latest = self.choices.fallback([one.entry for one in self.residents.alive])
        return None if latest is None else self.residents.find(latest.path)

    @_waits("before the first word")
    def get(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        role: ModelRole = "chat",
        show: ShowProgress | None = None,
    ) -> Engine:
        """Return the engine of a model, which is loaded if it is not in memory.

        Without `model` it is the model that `use` chose for the role, or else for chats, or else
        the default model. `show` gets the progress of loading; without it a line shows it.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, PromptInterrupted
        """
        with self._locked(show):
            return self.residents.ensure(*self.choices.chosen(model, role), show)

    @_waits("before the first word")
    def on_cluster(
        self,
        client: Any,
        model: str | os.PathLike[str] | None = None,
        *,
        role: ModelRole = "chat",
        show: ShowProgress | None = None,
    ) -> ClusterEngine:
        """Return what `get` returns, but loaded on the workers of a Dask cluster."""
        if host := self.clusters.host_of(client):
            self._check_remote(host)
        with self._locked(show):
            entry, options = self.choices.chosen(model, role)
        return self.clusters.engine(client, with_file(entry), options, show)

    def resident_for(self, model: str | os.PathLike[str] | None = None) -> Engine | None:
        """Return the engine that `get` would return, or None if `get` would load or wait."""
        if not self.residents.alive or not self.residents.lock.acquire(blocking=False):
            return None
        try:
            entry, options = self.choices.chosen(model)
        except JupyterLLMError:  # `get` raises it
            return None
        finally:
            self.residents.lock.release()
        found = self.residents.find(entry.path)
        return found.engine if found is not None and found.options == options else None

    @_waits("before the first word")
    def named(self, model: str) -> Engine:
        """Return the engine of a model by its name, also of a model that was loaded by its path.

        The name may come from another program, so it never names a model of a server.
        """
        from jupyter_llm.models.discover import find_model

        with self._locked(None):
            entry = self.choices.seen.get(model) or find_model(model)
            found = self.residents.find(entry.path)
            options = (
                self.choices.options_of(entry, is_named=True) if found is None else found.options
            )
            return self.residents.ensure(entry, options)

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
        """Choose a model for a role and load it; without one, change the options of its model.

        The memory of the old model is freed first. If the new one cannot be loaded, the old one is
        loaded again and stays chosen. For `allow` see `LLM.use`.
        """
        if model is None:
            model = options.pop("model", None)
        if (address := server_of(model, options)) is not None:
            options = {}  # they are parts of the address
        check_names(options, EngineOptions, "a loading option")
        if allow and model is not None:
            raise OptionError("allow=True is for what pyproject.toml names; give no model with it.")
        if role not in (roles := list(ROLE_WORDS)):
            hint = nearest(str(role), roles, f"There are: {', '.join(roles)}.")
            raise OptionError(f"{role!r:.60} is not what a model can be used for. {hint}")
        with self._locked(show):
            if allow:
                address = allow_server(self.project())
            choice = self._wanted(model, address, role, options)
            entry, before = choice[0], self.choices.before(role)
            leaving = self.residents.replaced_by(entry, role)
            try:
                engine = self.residents.ensure(*choice, show, leaving=leaving, is_chosen=True)
            except KeyboardInterrupt:
                found = self.residents.find(entry.path)
                if (
                    found is not None
                    and (entry, found.options) not in self.choices.by_role.values()
                ):
                    self.residents.end([found])  # it was loaded after all, but nobody chose it
                raise
            self.choices.choose(role, choice, before)
        return self._status_of(engine)

    def _wanted(
        self,
        model: str | os.PathLike[str] | None,
        address: Address | None,
        role: ModelRole,
        options: dict[str, Any],
    ) -> Choice:
        """Return the model and the options that `use` was called with."""
        if model is None and address is None:
            entry, chosen = self.choices.chosen(None, role)
            if options:
                with_file(entry)
            return entry, replace(chosen, **options)
        entry = address or self.find(model)
        if role != "chat" and not options:  # loaded as for its other roles
            return entry, self.choices.options_of(entry, is_named=True)
        return entry, self.choices.options(entry, options, is_named=True)

    @_waits("waiting for the model to go")
    def unload(self, model: str | os.PathLike[str] | None = None) -> None:
        """Free the memory of all models, or of one. The next `get` loads it again.

        The roles of a model that is named, other than chats, return to the model of chats.
        """
        place = None
        if model is not None:  # the file of a loaded model may have been deleted
            here = {one.engine.info.name.lower(): one.entry for one in self.residents.all}
            name = str(model).lower()
            place = (self.choices.seen.get(name) or here.get(name) or self.find(model)).path
        leaving = [one for one in self.residents.all if place in (None, one.entry.path)]
        self.residents.end(leaving)  # without the lock: another model may be loaded for long
        self.clusters.close_at(place)
        if place is not None:
            with self.residents.lock:
                self.choices.drop(place)

    @_waits("forgetting; what models have read may not all be gone, so ask again")
    def forget(self) -> None:
        """Forget the prompts that models have read, in memory and on the disk."""
        from jupyter_llm.engine.local.kept.checkpoint import CheckpointStore, checkpoint_folder

        self.residents.forget()
        self.clusters.close_at(None)
        CheckpointStore(checkpoint_folder(), "", max_bytes=0).clear()

    def status(self) -> Status:
        """Return which models are loaded and what they hold."""
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
        return self.residents.idle_s

    @idle_s.setter
    def idle_s(self, idle_s: float | None) -> None:
        self.residents.idle_s = idle_s

    @property
    def served_at(self) -> str:
        """The address where models are served to other programs, "" without one."""
        return self.residents.served_at

    @served_at.setter
    def served_at(self, url: str) -> None:
        self.residents.served_at = url

    @property
    def usual(self) -> dict[str, Any]:
        """Loading options for models that nobody gives options."""
        return self.choices.usual

    def name_for(self, role: ModelRole) -> str | None:
        """Return the name of the model that answers in a role, if it is loaded."""
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
            self.residents.end([one for one in self.residents.all if one.local is None])
            self.clusters.close(lambda cluster: bool(cluster.info.host))

    def _check_remote(self, host: str) -> None:
        """Raise if no text may be sent to a host, and close what was connected before."""
        if not self._allows_remote:
            self.allows_remote = False
            raise NotAllowedError(
                f"Nothing is sent to {host}: `LLMMagics.allow_remote` is False. "
                "`%llm /use NAME` takes a model of this machine."
            )

    def free_alone(self) -> FreeMemory:
        """Return the memory that another model may take if all others leave."""
        return self.residents.free_alone()

    def roles_of(self, entry: Named) -> tuple[ModelRole, ...]:
        """Return the roles that a model has now."""
        roles = self.choices.roles_at(entry.path)
        chats = self._resident_of("chat")
        is_default = chats is not None and chats.entry.path == entry.path
        return ("chat", *roles) if is_default and "chat" not in roles else roles

    @property
    def is_background_held(self) -> bool:
        """Whether no model reads in the background, since a cell runs."""
        return self.residents.is_background_held

    def hold_background(self, *, is_held: bool) -> None:
        """Let no model read in the background, as while a cell runs, or let them again."""
        self.residents.hold_background(is_held=is_held)

    @contextmanager
    def _locked(self, show: ShowProgress | None) -> Iterator[None]:
        """Let no other thread choose a model, and show that this thread waits for another."""
        check_show(show)
        while not self.residents.lock.acquire(timeout=TICK_S):
            if show is not None:
                show(Step("Waiting while a model is loaded"))
        try:
            yield
        finally:
            self.residents.lock.release()

    def find(self, model: str | os.PathLike[str] | None = None) -> Named:
        """Return the model of a name, path or address, or the default model.

        Nothing is loaded, and nothing sent. `NotAllowedError` says that a file beside the notebook
        names a server, and nobody has allowed that.
        """
        return self.choices.find(model)

    def chosen(self, role: ModelRole) -> Named:
        """Return the model that answers prompts in a role; nothing is loaded."""
        return self.choices.chosen(None, role)[0]

    def project(self, folder: Path | None = None) -> Project:
        """Return the defaults of the project; see `Choices.project`."""
        return self.choices.project(folder)
