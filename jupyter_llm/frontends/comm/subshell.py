"""Lets messages of the front end go where it sent them, also while a cell runs."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

_ROUTE = "_reply_subshell_for"


def keep_subshell(comm: Any) -> None:
    """Switch off that ipykernel sends a comm's next message to where the last one came from.

    A front end opens a subshell for a comm, so that its messages need not wait for the cell that
    runs. But ipykernel 7.4 notes on every publish which subshell that came from, and the next
    message of the front end is taken there, whatever it says itself: after one from a cell or from
    a thread of ours, to the main shell (see `Kernel.shell_channel_thread_main`). There is no public
    way out, but None in the place of that method is what comms without it look like. Where there is
    no such method, as in other versions and other kernels, nothing is done.
    """
    if callable(getattr(comm, _ROUTE, None)):
        try:
            setattr(comm, _ROUTE, None)
        except Exception:  # a comm of another making: messages may wait for the cell
            logger.debug("The comm's route could not be set", exc_info=True)
