"""Lets messages of the front end go where it sent them, also while a cell runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_ROUTE = "_reply_subshell_for"


def hear_beside_cells(comm: Any, take: Callable[[Any], None]) -> None:
    """Let `take` have a comm's messages where the front end sent them, and be nothing to cells.

    A front end opens a subshell for a comm, so that its messages need not wait for the cell that
    runs. But ipykernel 7.4 notes on every publish which subshell that came from, and the next
    message of the front end is taken there, whatever it says itself: after one from a cell or from
    a thread of ours, to the main shell (see `Kernel.shell_channel_thread_main`). There is no public
    way out, but None in the place of that method is what comms without it look like. Where there is
    no such method, as in other versions and other kernels, nothing is done about it.

    Besides, a comm's own `handle_msg` lets the shell's `post_execute` be called for every message,
    on the subshell's thread: Matplotlib would take the figure of the cell that runs, and show it
    nowhere. So that is not called.
    """
    try:
        comm.handle_msg = take
        if callable(getattr(comm, _ROUTE, None)):
            setattr(comm, _ROUTE, None)
    except Exception:  # a comm of another making: messages may wait for the cell
        logger.debug("The comm cannot be changed", exc_info=True)
