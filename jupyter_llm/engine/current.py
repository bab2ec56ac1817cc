"""The one resident model: which it is, loaded when it is first needed, watched, unloaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from jupyter_llm.common.bars import TICK_S, Step, loading_bar, tuning_bar
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.options import EngineOptions, check_names
from jupyter_llm.engine.stream import check_may_wait
from jupyter_llm.errors import EngineClosedError, ModelNotFoundError, TuneInterrupted

if TYPE_CHECKING:
    import os

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.info import Work
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.project import Project
    from jupyter_llm.engine.status import Status
    from jupyter_llm.engine.tuning.report import TuneReport
    from jupyter_llm.models.discover import ModelEntry

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def _waits(
    ending: Callable[[], PromptInterrupted | TuneInterrupted],
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a method that may take long end with one exception, wherever an interrupt meets it."""

    def interruptible(method: Callable[P, T]) -> Callable[P, T]:
        @wraps(method)
        def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
            check_may_wait()
            try:
                return method(*args, **kwargs)
            except KeyboardInterrupt:
                raise ending() from None

        return waiting

    return interruptible


def _stopped(said: str) -> Callable[[], PromptInterrupted]:
    return partial(PromptInterrupted, said=f"stopped {said}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the resident model does, or how far one is loaded; `share` is from 0 to 1.

    While a model is measured, prompts wait. Where there is none, `state` is "none".
    """

    state: Literal["none", "loading", "waiting"] | Work = "none"
    model: str | None = None
    share: float | None = None


class CurrentEngine:
    """The engine of the resident model. Safe from any thread.

    Nothing is loaded before an engine is asked for, and then exactly once: several threads wait
    for the same model.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards the choice of model and its loading
        self._engine: LocalEngine | None = None
        self._choice: tuple[ModelEntry, EngineOptions] | None = None  # by `use`
        self._resident: tuple[ModelEntry, EngineOptions] | None = None  # what _engine runs
        self._project: Project | None = None
        self._is_background_held = False
        self._watchers = Watchers()
        self._underway: Activity | None = None  # before there is an engine that works
        self._activity_watchers = Watchers()
        self._watchers.add(self._activity_watchers.tell)

    @property
    def activity(self) -> Activity:
        """What goes on, known at once and from any thread."""
        if (underway := self._underway) is not None:
            return underway
        engine = self.resident
        return Activity() if engine is None else Activity(state=engine.work, model=engine.info.name)

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `activity` is another one; what is returned ends that.

        The call comes on any thread and must return at once. Its errors are logged.
        """
        return self._activity_watchers.add(callback)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever a model was loaded or has gone; what is returned ends that.

        The call comes on any thread, with the choice of models locked, so it must return at once.
        Its errors are logged.
        """
        return self._watchers.add(callback)

    @property
    def resident(self) -> Engine | None:
        """The engine of the model that is loaded, or None."""
        engine = self._engine
        return None if engine is None or engine.is_closed else engine

    @_waits(PromptInterrupted)
    def get(
        self, model: str | os.PathLike[str] | None = None, *, show: ShowProgress | None = None
    ) -> Engine:
        """The engine of a model, which is loaded if it is not the resident one.

        Without a model it is the one that `use` chose, or else the default one. `show` is told
        how far it is loaded; without it a line says so.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, PromptInterrupted
        """
        with self._locked(show):
            return self._ensure(*self._chosen(model), show)

    def resident_for(self, model: str | os.PathLike[str] | None = None) -> Engine | None:
        """The engine that `get` would return, or None where it would load or wait for one."""
        engine = self.resident
        if engine is None or not self._lock.acquire(blocking=False):
            return None
        try:
            entry, options = self._chosen(model)
            if self._resident is None or self._resident[1] != options:
                return None
            return engine if self._resident[0].path == entry.path else None
        except ModelNotFoundError:
            return None
        finally:
            self._lock.release()

    @property
    def is_background_held(self) -> bool:
        """Whether nothing is read in the background, since a cell runs."""
        return self._is_background_held

    def named(self, model: str) -> Engine:
        """The engine of a model's name; the resident one need not be found by it."""
        if self._resident is not None and self._resident[0].name == model:
            return self.get(self._resident[0].path)
        return self.get(model)

    @_waits(_stopped("loading; the choice of a model is as it was"))
    def use(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        show: ShowProgress | None = None,
        **options: Any,
    ) -> Status:
        """Load a model and stay with it; without one, the options are for the model in use.

        If the new model cannot be loaded, the old choice stays.
        """
        check_names(options, EngineOptions, "a loading option")
        with self._locked(show):
            if model is None and self._resident is not None:
                entry = self._resident[0]
            else:
                entry = self.find(model)
            choice = (entry, self._options(entry, options))
            self._ensure(*choice, show)
            self._choice = choice
        return self.status()

    @_waits(_stopped("waiting for the model to go"))
    def unload(self) -> None:
        """Free the model's memory. The next `get` loads it again."""
        engine = self._engine
        if engine is None:
            return
        engine.close()  # first: after an interrupt nobody else could
        with self._lock:
            if self._engine is engine:
                self._engine = None
        self._watchers.tell()

    @_waits(_stopped("forgetting; what models have read may not all be gone, so ask again"))
    def forget(self) -> None:
        """Forget what models have read, here and on the disk."""
        from jupyter_llm.engine.local.checkpoint import CheckpointStore
        from jupyter_llm.engine.local.resident import checkpoint_folder

        if (engine := self._engine) is not None:
            try:
                engine.forget()
            except EngineClosedError:  # what it keeps at its end goes, too
                engine.close()
        CheckpointStore(checkpoint_folder(), "", max_bytes=0).clear()

    def status(self) -> Status:
        """What is loaded and what it holds."""
        from jupyter_llm.engine.status import Status

        engine = self._engine
        try:
            if engine is not None:
                return Status(info=engine.info, engine=engine.status())
        except EngineClosedError:
            pass  # unloaded by another thread, or failed
        return Status(info=None, engine=None)

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background, as while a cell runs, or let it go on."""
        self._is_background_held = is_held
        engine = self._engine
        with suppress(EngineClosedError):
            if engine is not None:
                engine.hold_background(is_held=is_held)

    @_waits(TuneInterrupted)
    def tune(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        copy: bool = False,
        lossy: bool = False,
        show: ShowProgress | None = None,
    ) -> TuneReport:
        """Measure a model, and load it with the best settings from then on; see `LLM.tune`."""
        from jupyter_llm.engine.tuning.tuning import tune

        with (
            self._set_aside(model) as (entry, options),
            self._doing("waiting", entry.name),
            tuning_bar(entry.name, show) as on_progress,
        ):
            report = tune(
                entry,
                copy=copy,
                lossy=lossy,
                n_gpu_layers=options.n_gpu_layers,
                on_progress=on_progress,
            )
        return replace(report, asked=str(model) if model is not None else "")

    @_waits(_stopped("waiting; the measured settings may still be there"))
    def forget_tuning(self, model: str | os.PathLike[str] | None = None) -> bool:
        """Remove a model's measured settings and its copy; False if there were none."""
        from jupyter_llm.engine.tuning.figures import forget_tuning

        with self._set_aside(model) as (entry, _options):
            return forget_tuning(entry.path)

    @contextmanager
    def _doing(
        self, state: Literal["loading", "waiting"], model: str
    ) -> Iterator[Callable[[float], None]]:
        """Say what goes on while no engine works; give the function to be told the share."""

        def tell(share: float) -> None:
            self._underway = Activity(state=state, model=model, share=share)
            self._activity_watchers.tell()

        try:
            tell(0.0)
            yield tell
        finally:
            self._underway = None
            self._activity_watchers.tell()

    @contextmanager
    def _set_aside(
        self, model: str | os.PathLike[str] | None
    ) -> Iterator[tuple[ModelEntry, EngineOptions]]:
        """Unload and keep prompts waiting: two programs that compute would measure each other."""
        with self._lock:
            chosen = self._chosen(model)
            self.unload()
            yield chosen

    @contextmanager
    def _locked(self, show: ShowProgress | None) -> Iterator[None]:
        """Choose a model alone, and say so while another one is loaded or measured."""
        while not self._lock.acquire(timeout=TICK_S):
            if show is not None:
                show(Step("Waiting while a model is loaded or measured"))
        try:
            yield
        finally:
            self._lock.release()

    def find(self, model: str | os.PathLike[str] | None = None) -> ModelEntry:
        """The model of a name or path, or the one that is used without one; none is loaded."""
        from jupyter_llm.models.discover import HOW_TO_GET_ONE, default_model, find_model

        if model is not None:
            return find_model(model)
        entry = default_model(self.project().model)
        if entry is None and self._resident is not None:
            return self._resident[0]
        if entry is None:
            raise ModelNotFoundError("", message=f"There is no model yet. {HOW_TO_GET_ONE}")
        return entry

    def _chosen(self, model: str | os.PathLike[str] | None) -> tuple[ModelEntry, EngineOptions]:
        """The model that is meant, with the options that `use` was told for it."""
        if model is None and self._choice is not None:
            return self._choice
        entry = self.find(model)
        if self._choice is not None and self._choice[0].path == entry.path:
            return entry, self._choice[1]
        return entry, self._options(entry, {})

    def project(self, folder: Path | None = None) -> Project:
        """The defaults of the project we are in: those of the working folder when first asked.

        With a folder they are read anew. `MagicUsageError` says what is wrong in them.
        """
        from jupyter_llm.engine.project import project_of

        if self._project is None or folder is not None:
            self._project = project_of(folder or Path.cwd())
        return self._project

    def _options(self, entry: ModelEntry, typed: Mapping[str, Any]) -> EngineOptions:
        """How to load a model: as is typed, as its name says, or as the project does."""
        return EngineOptions(**{**self.project().loading, **dict(entry.options), **typed})

    def _ensure(
        self, entry: ModelEntry, options: EngineOptions, show: ShowProgress | None = None
    ) -> LocalEngine:
        """Make the engine of this file and these options the resident one."""
        from jupyter_llm.engine.local.engine import LocalEngine
        from jupyter_llm.engine.tuning.tuning import tuned
        from jupyter_llm.models.discover import note_used
        from jupyter_llm.models.inspect import inspect

        engine = self._engine
        if engine is not None and not engine.is_closed and self._resident is not None:
            resident, resident_options = self._resident
            if (resident.path, resident_options) == (entry.path, options):
                if not engine.is_outdated:
                    return engine
                logger.warning(
                    "%s has changed on disk since it was loaded, so it is loaded again.", entry.name
                )
        # The old model goes first, since two need not fit into memory; but not for a bad file.
        tuned_entry, settings = tuned(entry)
        size = inspect(tuned_entry.file).size_bytes
        self.unload()

        def take(engine: LocalEngine) -> None:
            # Both at once: an interrupt must not leave an engine that passes for another's.
            self._engine, self._resident = engine, (entry, options)

        with (
            self._doing("loading", entry.name) as tell,
            loading_bar(entry.name, size, show) as on_progress,
        ):

            def on_share(share: float) -> None:
                tell(share)
                on_progress(share)

            engine = LocalEngine(
                tuned_entry, options.filled(settings), on_progress=on_share, on_ready=take
            )
            engine.watch(self._activity_watchers.tell)
        engine.hold_background(is_held=self._is_background_held)
        note_used(entry)
        self._watchers.tell()
        return engine
