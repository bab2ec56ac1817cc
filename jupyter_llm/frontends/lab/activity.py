"""What the model does, told to a page for as long as it watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from jupyter_llm.common.workers import Chore
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.frontends.comm.messages import ActivityMessage, PullMessage, WatchActivity
from jupyter_llm.frontends.comm.parts import ActivityData
from jupyter_llm.frontends.comm.pulls import PULLS
from jupyter_llm.frontends.lab.session import PagePart

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.frontends.comm.parts import PullData
    from jupyter_llm.frontends.lab.session import Session

_PAUSE_S = 0.3  # between two messages at the least
_TICK_S = 0.5  # while the cache fills
_NOTHING: Final = ActivityData(state="none")


class ActivityWatch(PagePart):
    """Tells one page what the model does, whenever that changes."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._told: ActivityData | None = None
        self._told_pull: PullData | None = None
        self._ends: tuple[Callable[[], None], ...] = ()
        self._chore = Chore(self._look, "jupyter-llm-lab-activity")
        session.inbox.add({WatchActivity: self._watch})

    def close(self) -> None:
        """Tell nothing any more."""
        self._end()
        self._chore.close()

    def _watch(self, message: WatchActivity) -> None:
        self._end()
        if message.is_on:
            self._told = self._told_pull = None
            llm, ask = self._session.llm, self._chore.ask
            # What cells have made takes memory, too.
            watches = (llm.current.watch_activity, llm.timeline.watch, PULLS.watch)
            self._ends = tuple(watch(ask) for watch in watches)
            ask()

    def _end(self) -> None:
        ends, self._ends = self._ends, ()
        for end in ends:
            end()

    def _look(self) -> tuple[float, bool]:
        if not self._ends:
            return 0.0, False
        now = activity_data(self._session.llm.current, self._told or _NOTHING)
        if now != self._told and self._ends:
            self._told = now
            self._put(ActivityMessage(activity=now))
        pull = PULLS.now
        if pull != self._told_pull and self._ends:
            self._told_pull = pull
            self._put(PullMessage(pull=pull))
        is_writing = now.state == "writing"
        return (_TICK_S if is_writing else _PAUSE_S), is_writing


def activity_data(current: CurrentEngine, known: ActivityData) -> ActivityData:
    """What the model does, and what it holds; what takes long to ask for stays as it was known."""
    import psutil

    activity = current.activity
    share = activity.share
    now = replace(
        known if activity.model == known.model else _NOTHING,
        state=activity.state,
        model=activity.model,
        share=round(share, 2) if share is not None else None,
        process_bytes=round(psutil.Process().memory_info().rss, -7),
        beside=[str(one) for one in current.loaded if one.info.name != activity.model],
    )
    engine = current.active
    # One that reads answers between two batches, each of which may take seconds.
    if engine is None or activity.state not in ("idle", "writing"):
        return now
    try:
        held = engine.status()
    except EngineClosedError:  # unloaded meanwhile
        return now
    return replace(now, kv_used=held.num_used, kv_room=held.room)
