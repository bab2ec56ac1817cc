"""The views of a chat in one front end: what they are sent beside the chat's live state."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm import messages
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.documents import merge_patch, status_of
from jupyter_llm.frontends.comm.line import Line, Part
from jupyter_llm.frontends.comm.live_chat import live

GAUGE_S = 1.0


class ChatViews(Part):
    """The views of a chat in one front end, a member of the chat's audience until it closes.

    The status depends on the `mode` of this front end's prompts, so it is measured here. All
    methods return at once, from any thread; in a forked child they do nothing. `on_settled` is
    called when a view has come, a turn has ended or the path has changed.
    """

    def __init__(
        self, line: Line, chat: Chat, mode: ContextMode, on_settled: Callable[[], object]
    ) -> None:
        super().__init__(line)
        self._chat, self._mode = chat, mode
        self._live = live(chat)
        self.writer: str | None = None  # the last `follow` of a page that can write cells
        self._on_settled = on_settled
        self._status = messages.StatusData()
        self.has_views = False
        self._gauge = Chore(self._measure, "jupyter-llm-gauge")
        is_fuller = weakly(self.measure)
        self._unwatch = chat.current.watch(is_fuller), chat.timeline.watch(is_fuller)
        self._live.join(self)

    def close(self) -> None:
        """Leave the audience; the chat's requests run on."""
        self._live.leave(self)
        for unwatch in self._unwatch:
            unwatch()
        self._gauge.close()

    @call("at once")
    def follow(self, request: str, /, can_write_cells: bool) -> None:
        """Send a new view, or one that missed a message, the whole document."""
        with self._live.lock:
            self.writer = request if can_write_cells else self.writer
            whole = messages.ChatDocument(**self._live.current(), status=self._status)
            self.has_views = True  # not before: a change that is sent by then is in the document
            self._put(messages.DocumentMessage(id=request, document=whole))
        self._gauge.ask()
        self._on_settled()

    @call("at once")
    def choose(self, number: int) -> None:
        """Show the branch through a turn."""
        self._chat.choose(number)

    @call("at once")
    def remove(self, target: int | str) -> None:
        """Delete a turn by its number, or put a notice away by its id, in all views."""
        if isinstance(target, int):
            self._chat.remove(target)
        else:
            self._live.remove_notice(target)

    def leave(self) -> None:
        """Send nothing more once the last view has closed; if there is another, it says hello."""
        with self._live.lock:
            self.hear(messages.Anybody())
            self.has_views, self.writer = False, None

    def stop(self, target: int | str | None) -> None:
        """Stop a turn by its number, a request by its id, or all requests of the chat."""
        if not isinstance(target, str):
            self._chat.cancel(target)
        if not isinstance(target, int):
            self._live.stop(target)

    def hear(self, message: messages.ToFrontEnd) -> None:
        """Send a change of the chat to the views."""
        if self.has_views:
            self._put(message)

    def settle(self) -> None:
        """React to a finished turn or another path."""
        self._on_settled()

    def measure(self) -> None:
        """Measure the context again: its tokens or its model may have changed."""
        if self.has_views:
            self._gauge.ask()

    def _measure(self) -> tuple[float, bool]:
        """Send how full the context is."""
        status = status_of(self._chat, self._mode, self._status)
        with self._live.lock:
            if patch := merge_patch(self._status, status):
                self._status = status
                self.hear(messages.Patch({"status": patch}))
        return GAUGE_S, False
