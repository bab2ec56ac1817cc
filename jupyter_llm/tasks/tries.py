"""Trying code before it lands: what is seen when it runs in a sealed copy of the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.bars import Step
from jupyter_llm.notebook.cells.shell import current_shell, user_namespace
from jupyter_llm.notebook.cells.unrun import Unrun
from jupyter_llm.notebook.sealed.hidden import Hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.notebook.cells.timeline import Timeline
    from jupyter_llm.notebook.sealed.chain import Chain
    from jupyter_llm.notebook.sealed.seen import Seen

TIMEOUT_S = 5.0
"""How long code is let run, in seconds; what takes longer is neither right nor wrong."""


BUSY = "a cell is running"
"""Why code is not tried beside a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """Tries code in a copy of the notebook's variables, as they are at this moment.

    Nothing here changes the variables, or anything else. Without `is_allowed` no code runs.
    `hidden`: variables that the code does not see. `unrun`: cells that have not run yet; code that
    needs their names is not tried.
    """

    namespace: Mapping[str, Any] = field(default_factory=dict, repr=False)
    shell: Any = field(default=None, repr=False)
    show_progress: ShowProgress | None = field(default=None, repr=False)
    is_allowed: bool = True
    hidden: Hidden = field(default_factory=Hidden, repr=False)
    unrun: Unrun = field(default_factory=Unrun, repr=False, compare=False)
    _seen: dict[tuple[str, ...], Seen] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def here(cls, timeline: Timeline, **how: Any) -> Tries:
        """Tries with the shell of this process, without the cells that are hidden now."""
        shell, snapshot = current_shell(), timeline.snapshot()
        hidden = Hidden(snapshot.hidden)
        unrun = Unrun(timeline.document, snapshot, timeline.running)
        names = shell.user_ns if shell is not None else {}
        return cls(namespace=names, shell=shell, hidden=hidden, unrun=unrun, **how)

    def __contains__(self, name: object) -> bool:
        """Whether code may use a name: of a variable, or of one that an unrun cell binds."""
        return name in user_namespace() or name in self.unrun.names

    def seen(
        self,
        *sources: str,
        mended: str | None = None,
        look: Callable[[dict[str, Any]], object] | None = None,
        timeout_s: float = TIMEOUT_S,
        step: str = "Trying the code",
    ) -> Seen:
        """Run some pieces of code one after the other, and return the result; see `Seen`.

        `look` is called with the variables afterwards, in the copy; its result is returned.
        `mended` is as in `try_code`. `step`: the text of the progress. The same code is tried once,
        unless there is a `look`.

        Raises
        ------
        KeyboardInterrupt
            The user interrupted; nothing runs any more.
        """
        from jupyter_llm.notebook.sealed.main_thread import MainThreadBusy
        from jupyter_llm.notebook.sealed.seen import untried
        from jupyter_llm.notebook.sealed.trying import try_code

        if why := self.unrun.missing(sources, self.namespace):
            return untried(why)
        if not self.is_allowed:
            return untried("that is switched off")
        if look is None and sources in self._seen:
            return self._seen[sources]

        tick = self.ticking(step)
        try:
            seen = try_code(
                sources,
                self.namespace,
                shell=self.shell,
                hidden=self.hidden,
                mended=mended,
                timeout_s=timeout_s,
                look=look,
                tick=tick,
                make=self._make(tick),
            )
        except MainThreadBusy:
            kernel = getattr(self.shell, "kernel", None)
            is_served = getattr(kernel, "io_loop", None) is not None
            return untried(BUSY if is_served else "this kernel tries code in cells alone")
        if look is None and seen.outcome in ("runs", "raises", "refused"):
            self._seen[sources] = seen  # the rest may come out otherwise another time
        return seen

    def chain(self, look: Callable[[dict[str, Any]], object]) -> Chain | None:
        """Return a chain of copies of the variables; None if code is not tried here and now.

        `look` is called after each cell, see `Chain`.
        """
        from jupyter_llm.notebook.sealed.main_thread import MainThreadBusy
        from jupyter_llm.notebook.sealed.trying import why_not

        if not self.is_allowed or why_not():
            return None
        from jupyter_llm.notebook.sealed.chain import Chain  # imports what Linux has

        make = self._make(self.ticking("Copying the variables"))
        try:
            return Chain(self.namespace, shell=self.shell, hidden=self.hidden, look=look, make=make)
        except MainThreadBusy:
            return None

    def ticking(self, step: str) -> Callable[[], None]:
        """Return a function that shows the progress of a try."""

        def tick() -> None:
            if self.show_progress is not None:
                self.show_progress(Step(step))

        return tick

    def _make(self, tick: Callable[[], None]) -> Callable[[Callable[[], Any]], Any] | None:
        """Return how to fork on another thread than the main one, as in a panel."""
        from jupyter_llm.notebook.sealed.main_thread import in_main_thread, is_main_thread

        kernel = getattr(self.shell, "kernel", None)
        return None if is_main_thread() else partial(in_main_thread, kernel, tick=tick)


NO_TRIES = Tries(is_allowed=False)
"""Those that try nothing."""
