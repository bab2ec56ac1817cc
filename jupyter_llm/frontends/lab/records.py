"""Tells a page what is known of how a text in its notebook was made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.frontends.lab.messages import Record, RecordText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.frontends.lab.messages import FromLab
    from jupyter_llm.frontends.lab.session import Session


class Records:
    """Reads the records of one page's cells and outputs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def by_type(self) -> Mapping[type[FromLab], Callable[[Any], None]]:
        """What takes each kind of message."""
        return {Record: lambda message: self._session.work(message.id, partial(_told, message))}

    def close(self) -> None:
        """Nothing goes on here."""


def _told(message: Record) -> RecordText:
    from jupyter_llm.records.record_text import record_text

    return RecordText(id=message.id, markdown=record_text(message.metadata, message.text))
