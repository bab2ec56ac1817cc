"""What is being written in a front end: read ahead meanwhile, and kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from jupyter_llm.common.workers import Chore

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat

T = TypeVar("T")

_PATIENCE_S = 0.3  # between two looks whether the model may read


class Drafting(Generic[T]):
    """Lets the model read the latest draft, and again when what goes before it changed.

    `read` is given it, or None where there is none, and says whether it was done: while a cell runs
    or an answer is written it waits, since what they bring comes before the draft. All methods
    return at once, from any thread; in a forked child they do nothing.
    """

    def __init__(self, read: Callable[[T | None], bool]) -> None:
        self._read = read
        self._draft: T | None = None
        self._reading = Chore(self._look, "jupyter-llm-draft")

    def take(self, draft: T | None) -> None:
        """Have a draft read in the place of the one before; None drops that."""
        self._draft = draft
        self._reading.ask()

    def again(self) -> None:
        """Have it read once more, since something before it is another."""
        if self._draft is not None:
            self._reading.ask()

    def drop(self) -> None:
        """Let it be, since it was sent or nobody writes it any more."""
        self._draft = None

    def close(self) -> None:
        """Read no drafts any more."""
        self.drop()
        self._reading.close()

    def _look(self) -> tuple[float, bool]:
        return (0, False) if self._read(self._draft) else (_PATIENCE_S, True)


def read_draft(chat: Chat, asked: Callable[[], Asked | None] | None) -> bool:
    """Let the model read what would be sent now, or the branch alone; False: not now.

    `asked` makes the prompt of it, or None where it is none yet.
    """
    if any(not exchange.is_finished for exchange in chat.exchanges):
        return False
    if asked is None:
        chat.read_branch()
    elif chat.current.is_background_held:
        return False
    elif (prompt := asked()) is not None:
        chat.read_draft(prompt)
    return True
