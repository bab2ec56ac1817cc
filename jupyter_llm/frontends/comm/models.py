"""The models that may be chosen, pulled and loaded in a front end, and what the loaded one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.roles import ModelRole
from jupyter_llm.errors import EngineClosedError, OptionError
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.jobs import Job
from jupyter_llm.frontends.comm.line import Line, Part
from jupyter_llm.frontends.comm.messages import Activity, ModelData
from jupyter_llm.frontends.comm.pulls import PULLS
from jupyter_llm.frontends.prompt.commands import suggestions
from jupyter_llm.frontends.prompt.loading import overruled
from jupyter_llm.frontends.prompt.model_list import by_name, listed_models, listed_servers
from jupyter_llm.frontends.prompt.options import Options, default_options

_PAUSE_S = 0.3  # between two messages at the least
_TICK_S = 0.5  # while the cache fills
_NOTHING: Final = Activity(state="none")


class ModelChoice(Part):
    """Lists models, and loads those that are chosen, also if the front end goes meanwhile."""

    def __init__(self, line: Line, options: Options | None = None) -> None:
        super().__init__(line)
        self._options = options  # of a chat's prompts

    @call("on a thread")
    def list_models(self) -> messages.ModelLists:
        """List the models on this machine, and those that may be pulled."""
        here = [
            ModelData(name=one.entry.name, note=one.note, roles=list(one.roles))
            for one in by_name(listed_models(self._llm))
        ]
        here += [
            ModelData(
                name=name,
                note=f"text is sent to {server.host}",
                roles=list(self._llm.current.roles_of(server)),
            )
            for name, server in listed_servers()
        ]
        here.sort(key=lambda model: "chat" not in model.roles)
        suited = [ModelData(name=one.entry.name, note=one.note) for one in suggestions()]
        return messages.ModelLists(here=here, suited=suited)

    @call("on a thread")
    def use_model(self, job: Job, /, model: str, role: ModelRole = "chat") -> None:
        """Load a model by its name for a role."""
        self._llm.current.use(model, role=role, show=job.tell)
        said = overruled(self._llm, (self._options or default_options()).model)
        if said and role == "chat":
            raise OptionError(said)

    @call("on a thread")
    def start_pull(self, model: str, accepts_licence: bool) -> None:
        """Begin to pull a model; `ActivityWatch` sends the progress."""
        PULLS.begin(model.strip(), is_accepted=accepts_licence)

    @call("at once")
    def end_pull(self) -> None:
        """Stop the pull that runs, or put the result of the last one away."""
        PULLS.end()


class ActivityWatch(Part):
    """Reports the model's activity to a front end that watches it, whenever the activity changes.

    All views of a chat receive the reports. They end once the last view has closed; a view that
    follows the chat again watches anew.
    """

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._told: Activity | None = None
        self._ends: tuple[Callable[[], None], ...] = ()
        self._chore = Chore(self._look, "jupyter-llm-activity")

    def close(self) -> None:
        """Tell nothing any more."""
        self.leave()
        self._chore.close()

    @call("at once")
    def watch_activity(self, is_on: bool) -> None:
        """Report the model's activity and the progress of a pull from now on, or no longer."""
        self.leave()
        if is_on:
            self._told = None
            llm, ask = self._llm, self._chore.ask
            # What cells have made takes memory, too.
            watches = (llm.current.watch_activity, llm.timeline.watch, PULLS.watch)
            self._ends = tuple(watch(ask) for watch in watches)
            ask()

    def leave(self) -> None:
        """Report nothing any more."""
        ends, self._ends = self._ends, ()
        for end in ends:
            end()

    def _look(self) -> tuple[float, bool]:
        if not self._ends:
            return 0.0, False
        now = activity_now(self._llm.current, self._told or _NOTHING)
        if now != self._told and self._ends:
            self._told = now
            self._put(now)
        is_writing = now.state == "writing"
        return (_TICK_S if is_writing else _PAUSE_S), is_writing


def activity_now(current: CurrentEngine, known: Activity) -> Activity:
    """Return the work and memory of the model; facts that take long to find are the last known."""
    import psutil

    activity = current.activity
    now = replace(
        known if activity.model == known.model else _NOTHING,
        state=activity.state,
        model=activity.model,
        share=activity.share,
        process_bytes=round(psutil.Process().memory_info().rss, -7),
        beside=[str(one) for one in current.loaded if one.info.name != activity.model],
        pull=PULLS.now,
    )
    engine = current.active
    # One that reads answers between two batches, each of which may take seconds.
    if engine is None or engine.info.host or activity.state not in ("idle", "writing"):
        return now
    try:
        held = engine.status()
    except EngineClosedError:  # unloaded meanwhile
        return now
    return replace(now, kv_used=held.num_used, kv_room=held.room)
