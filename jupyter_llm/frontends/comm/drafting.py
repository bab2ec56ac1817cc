"""What stands in the field of a front end: read ahead while it is written, and kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.frontends.comm.messages import DraftMessage

_PATIENCE_S = 0.3  # between two looks whether the cell has ended that runs


class Drafting:
    """Lets the model read the latest draft of a chat, and again when what goes before it changed.

    While a cell runs or an answer is written it waits: what they bring comes before the draft.
    `ask` makes a prompt of a draft, or None where it is none yet. All methods return at once, from
    any thread; in a forked child they do nothing.
    """

    def __init__(self, chat: Chat, ask: Callable[[DraftMessage], Asked | None]) -> None:
        self._chat = chat
        self._ask = ask
        self._draft: DraftMessage | None = None
        self._reading = Chore(self._read, "jupyter-llm-draft")
        again = weakly(self._again)
        self._unwatch = chat.watch(again), chat.timeline.watch(again)

    def take(self, draft: DraftMessage) -> None:
        """Have a draft read in the place of the one before; an empty one drops that."""
        self._draft = draft if draft.text.strip() else None
        self._reading.ask()

    def drop(self) -> None:
        """Let the draft be, since it was sent or nobody writes it any more."""
        self._draft = None

    def close(self) -> None:
        """Read no drafts any more."""
        self.drop()
        self._reading.close()
        for unwatch in self._unwatch:
            unwatch()

    def _again(self) -> None:
        if self._draft is not None:
            self._reading.ask()

    def _read(self) -> tuple[float, bool]:
        draft = self._draft
        if any(not exchange.is_finished for exchange in self._chat.exchanges):
            return 0, False  # the chat tells when it is
        if draft is None:
            self._chat.read_branch()
        elif self._chat.current.is_background_held:
            return _PATIENCE_S, True
        elif (asked := self._ask(draft)) is not None:
            self._chat.read_draft(asked)
        return 0, False
