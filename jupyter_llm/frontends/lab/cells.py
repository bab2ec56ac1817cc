"""The cells of a page: prompts that are read ahead, open proposals, and records of their texts."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

from jupyter_llm.api import llm
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.drafting import Drafting
from jupyter_llm.frontends.comm.messages import OpenProposal
from jupyter_llm.frontends.lab.session import Session
from jupyter_llm.frontends.prompt.options import loaded_magics
from jupyter_llm.frontends.prompt.typed import read
from jupyter_llm.frontends.prompt.typed import read_draft as read_typed_draft
from jupyter_llm.notebook.cells.shell import user_namespace

_CELL = re.compile(r"\s*%%llm(?![^\s])([^\n]*)\n?(.*)", re.DOTALL)


class PageCells(Drafting):
    """Prefills a page's `%%llm` cells, keeps its open proposals, and reads records."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, lambda draft, cell: cell_prompt(draft.text, cell))
        self._session, self._proposals = session, session.proposals

    @call("at once")
    def open_proposals(self) -> dict[str, OpenProposal]:
        """Return the proposals that wait for a decision, by the tasks that made them."""
        return self._proposals.all()

    @call("at once")
    def keep_proposal(
        self,
        task: str,
        waiting: OpenProposal | None,
        is_accepted: bool = False,  # noqa: FBT002  by name, as JSON
    ) -> None:
        """Keep the proposal of a task as it is now; None: it was accepted or rejected."""
        self._proposals.keep(task, waiting, self._session, is_accepted=is_accepted)

    @call("on a thread")
    def undo(self) -> str:
        """Undo the last run of written code; return what was done to the variables."""
        return str(llm.undo())

    @call("on a thread")
    def record(self, metadata: dict[str, Any], text: str | None) -> str:
        """Describe how the text of a cell or an output was made, in Markdown."""
        from jupyter_llm.records.audit import record_text

        return record_text(metadata, text)


def cell_prompt(source: str, cell_id: str | None = None) -> tuple[Chat, ChatQuestion] | None:
    """Return the prompt that a cell would send now, and its chat; None if there is none yet.

    Takes any part of a cell. Runs no code of it, loads no model and changes no chat.
    """
    magics = loaded_magics()
    typed = _CELL.match(source)
    if typed is None or magics is None:
        return None
    read_typed = partial(
        read,
        commands=magics.commands,
        namespace=user_namespace(),
        snapshot=llm.timeline.snapshot(),
        defaults=magics.defaults,
        notebook=llm.notebook.path,
    )
    found = read_typed_draft(read_typed, typed[1], typed[2])
    if found is None or found[1].dry_run:
        return None
    question, options = found
    chat = llm.chats.peek(options.chat)
    question = replace(question, cell=None if cell_id is None else (cell_id, 1))
    if options.format == "code":
        question = question.for_code()
    if question.system is None and chat.system is None and not chat.turns:
        question = replace(question, system=magics.system or None)
    return chat, question
