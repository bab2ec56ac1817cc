"""Reads the prompt of a `%%llm` cell ahead, while it is still being written."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.api import llm
from jupyter_llm.frontends.prompt.options import loaded_magics
from jupyter_llm.frontends.prompt.typed import read, read_draft
from jupyter_llm.notebook.cells.shell import user_namespace

if TYPE_CHECKING:
    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat

_CELL = re.compile(r"\s*%%llm(?![^\s])([^\n]*)\n?(.*)", re.DOTALL)


def read_ahead(source: str, cell_id: str | None = None) -> bool:
    """Let the model read what a cell would send if it ran now, as far as it is a `%%llm` cell.

    Takes any part of a cell. Runs no code of it, loads no model and changes no chat; a later call
    for the same chat takes the place of this one. Takes some milliseconds, so not on the thread of
    a comm. False while a cell runs or an answer is written: what they bring comes before the
    prompt, so ask again.
    """
    if llm.current.is_background_held:
        return False
    found = _prompt(source, cell_id)
    if found is None:
        return True
    chat, asked = found
    if any(not exchange.is_finished for exchange in chat.exchanges):
        return False
    chat.read_draft(asked)
    return True


def _prompt(source: str, cell_id: str | None) -> tuple[Chat, Asked] | None:
    """The prompt of a cell, and the chat that it is for; None if it sends none, or not yet."""
    magics = loaded_magics()
    typed = _CELL.match(source)
    if typed is None or magics is None:
        return None
    read_typed = partial(
        read,
        commands=magics.commands,
        namespace=user_namespace(),
        cells=llm.timeline.snapshot().visible,
        defaults=magics.defaults,
    )
    found = read_draft(read_typed, typed[1], typed[2])
    if found is None or found[1].dry_run:
        return None
    asked, options = found
    chat = llm.chats.peek(options.chat)
    asked = replace(asked, origin=None if cell_id is None else (cell_id, 1))
    if options.format == "code":
        asked = asked.for_code()
    if asked.system is None and chat.system is None and not chat.turns:
        asked = replace(asked, system=magics.system or None)
    return chat, asked
