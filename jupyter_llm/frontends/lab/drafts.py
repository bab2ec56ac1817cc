"""What stands in a `%%llm` cell of a page: read ahead while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.lab.messages import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_llm.frontends.lab.messages import FromLab
    from jupyter_llm.frontends.lab.session import Session

_PATIENCE_S = 0.3  # between two looks whether the cell has ended that runs


class Drafts:
    """Lets the model read the latest draft of a page, or later where a cell runs."""

    def __init__(self, _session: Session) -> None:
        self._draft: Draft | None = None
        self._reading = Chore(self._read, "jupyter-llm-cell-draft")

    def by_type(self) -> Mapping[type[FromLab], Callable[[Any], None]]:
        """What takes each kind of message."""
        return {Draft: self._take}

    def close(self) -> None:
        """Read no drafts any more."""
        self._draft = None
        self._reading.close()

    def _take(self, draft: Draft) -> None:
        """Take a draft in the place of the one before; an empty one drops that."""
        self._draft = draft if draft.source.strip() else None
        self._reading.ask()

    def _read(self) -> tuple[float, bool]:
        from jupyter_llm.frontends.prompt.ahead import read_ahead

        draft = self._draft
        is_done = draft is None or read_ahead(draft.source, draft.cell)
        return (0, False) if is_done else (_PATIENCE_S, True)
