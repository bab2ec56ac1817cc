"""Reads ahead the text that a user is typing in a front end; it is stored nowhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jupyter_llm.api import llm
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.watchers import weakly
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.line import Line, Part
from jupyter_llm.frontends.comm.messages import PromptData

Found = tuple[Chat, ChatQuestion] | None
MakePrompt = Callable[[PromptData, str | None], Found]

_PATIENCE_S = 0.3  # between two looks whether the model may read


class Drafting(Part):
    """Lets the model read the latest draft, as `make` makes a prompt of it.

    In the field of a `chat` it is read again when what goes before it has changed, until it is
    sent; without a draft the branch is read. In a forked child nothing is.
    """

    def __init__(self, line: Line, make: MakePrompt, chat: Chat | None = None) -> None:
        super().__init__(line)
        self._make = make
        self._chat = chat
        self._draft: Callable[[], Found] | None = None
        self._reading = Chore(self._look, "jupyter-llm-draft")
        self._unwatch: tuple[Callable[[], None], ...] = ()
        if chat is not None:
            again = weakly(self._again)
            self._unwatch = chat.watch(again), chat.timeline.watch(again)

    def close(self) -> None:
        """Read no drafts any more."""
        for unwatch in self._unwatch:
            unwatch()
        self._draft = None
        self._reading.close()

    @call("at once")
    def draft(self, prompt: PromptData, cell: str | None) -> None:
        """Take a text that is being written and may be sent as it is; an empty one is none.

        In a page it is a whole `%%llm` cell, in a chat the field for a prompt.
        """
        self._draft = partial(self._make, prompt, cell) if prompt.text.strip() else None
        self._reading.ask()

    def _again(self) -> None:
        if self._draft is not None:
            self._reading.ask()

    def leave(self) -> None:
        """Read the draft no longer: it was sent, or the last view has closed."""
        self._draft = None

    def _look(self) -> tuple[float, bool]:
        draft, chat = self._draft, self._chat
        is_done = chat is None or not chat.is_answering
        if draft is not None:
            is_done = is_done and read_draft(draft)
        elif chat is not None and is_done:
            chat.reading.branch()
        return (0, False) if is_done else (_PATIENCE_S, True)


def read_draft(make: Callable[[], Found]) -> bool:
    """Let the model read what would be sent now, and to which chat; False: not now, ask again.

    While a cell runs or an answer is written it waits, since what they bring comes before it.
    """
    if llm.current.is_background_held:
        return False
    found = make()
    if found is None:
        return True
    chat, question = found
    if chat.is_answering:
        return False
    chat.reading.draft(question)
    return True
