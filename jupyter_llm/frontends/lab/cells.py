"""The cells of a page: drafts that are read ahead, and what is known of how a text was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.frontends.comm.drafting import Drafting
from jupyter_llm.frontends.comm.messages import CellDraft, Record, TextMessage
from jupyter_llm.frontends.lab.session import PagePart

if TYPE_CHECKING:
    from jupyter_llm.frontends.lab.session import Session


class PageCells(PagePart):
    """Lets the model read a page's `%%llm` cells while they are written, and reads records."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.drafting = Drafting[CellDraft](_read)
        session.inbox.add({CellDraft: self._take})
        session.inbox.answer({Record: _told})

    def close(self) -> None:
        """Read no drafts any more."""
        self.drafting.close()

    def _take(self, draft: CellDraft) -> None:
        self.drafting.take(draft if draft.source.strip() else None)


def _read(draft: CellDraft | None) -> bool:
    from jupyter_llm.frontends.prompt.ahead import read_ahead

    return draft is None or read_ahead(draft.source, draft.cell)


def _told(message: Record) -> TextMessage:
    from jupyter_llm.records.audit import record_text

    return TextMessage(id=message.id, text=record_text(message.metadata, message.text))
